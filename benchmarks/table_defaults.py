"""How every estimator behaves out of the box, on three data sets: the table of "Choosing an
encoder".

    python benchmarks/table_defaults.py [--output doc/defaults_table.inc] [--quick]

Fits ``Estimator(n_components=2 * n_features, random_state=0)`` on standardized digits, on photo
patches and on the published synthetic signal, and prints FVU, the mean share of active atoms, the
dead fraction, seconds and epochs. It fails where a default breaks its promise: convergence without
a warning, 2 to 50 % of the atoms active, fewer than 20 % dead, FVU under 0.5.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

import skamort
from skamort.datasets import load_image_patches, make_published_signal
from skamort.metrics import dead_fraction, mean_l0


def load_data(quick):
    """Return the data sets by name."""
    n_patches = 3000 if quick else 20_000
    return {
        "digits, standardized": StandardScaler().fit_transform(load_digits().data),
        "photo patches": load_image_patches(n_patches, random_state=0),
        "synthetic": make_published_signal(n_samples=1024)[0],
    }


def measure(name, X):
    """Fit one estimator with its defaults; return its row of figures and its warnings."""
    estimator = getattr(skamort, name)(n_components=2 * X.shape[1], random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        estimator.fit(X)
        seconds = time.perf_counter() - start
        codes = estimator.transform(X)
    row = {
        "FVU": 1 - estimator.score(X),
        "active": mean_l0(codes) / codes.shape[1],
        "dead": dead_fraction(codes),
        "seconds": seconds,
        "iterations": getattr(estimator, "n_iter_", "-"),
    }
    return row, [str(warning.message) for warning in caught]


def keeps_promise(row, complaints):
    """Whether a row is what the defaults promise."""
    return (
        not complaints and 0.02 <= row["active"] <= 0.5 and row["dead"] < 0.2 and row["FVU"] < 0.5
    )


def as_rst(rows):
    """Return the rows as a reStructuredText list-table."""
    lines = [
        ".. Written by benchmarks/table_defaults.py.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - data",
        "     - estimator",
        "     - FVU",
        "     - active atoms",
        "     - dead atoms",
        "     - seconds",
        "     - iterations",
    ]
    for data, name, row in rows:
        lines += [
            f"   * - {data}",
            f"     - :class:`~skamort.{name}`",
            f"     - {row['FVU']:.3f}",
            f"     - {row['active']:.1%}",
            f"     - {row['dead']:.1%}",
            f"     - {row['seconds']:.1f}",
            f"     - {row['iterations']}",
        ]
    return "\n".join(lines) + "\n"


def main():
    """Print the table; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the table there as reStructuredText")
    parser.add_argument("--quick", action="store_true", help="3,000 patches instead of 20,000")
    args = parser.parse_args()
    rows, broken = [], []
    for data, X in load_data(args.quick).items():
        for name in sorted(skamort.__all__):
            row, complaints = measure(name, X)
            rows.append((data, name, row))
            kept = keeps_promise(row, complaints)
            if not kept:
                broken.append((data, name, complaints))
            print(
                f"{data:>20} {X.shape!s:>12} {name:>16}: FVU {row['FVU']:.3f}, "
                f"active {row['active']:6.1%}, dead {row['dead']:6.1%}, {row['seconds']:5.1f} s, "
                f"{row['iterations']} iterations" + ("" if kept else "  <- BROKEN"),
                flush=True,
            )
    if args.output:
        args.output.write_text(as_rst(rows), encoding="utf-8")
    sys.exit(f"defaults that break their promise: {broken}" if broken else 0)


if __name__ == "__main__":
    main()
