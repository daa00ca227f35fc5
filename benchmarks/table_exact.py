"""How near k-sparse solvers come to the best codes: the table of doc/certificate.rst.

    python benchmarks/table_exact.py [--output doc/exact_table.inc] [--peers] [--quick]

On the published synthetic signals with their own dictionary (16 sources, 8 features, 3 of them
active, codes non-negative), for five seeds: the correlation of codes and sources (mean latent MCC,
and the worst seed), the share of samples whose support is that of the sources, the share of the
variance that is unexplained, and microseconds a sample, compiled kernels in one thread.

With ``--peers``, on a few samples of three sizes with noise, one at a time and codes of any sign:
squared residuals and milliseconds of l0bnb (at the penalty of each non-zero that leaves k, found by
bisection) and OKRidge, where they are installed, beside "exact". Both give up after two seconds on
a problem.
"""

import argparse
import sys
import time
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import numpy as np

from skamort.datasets import make_published_signal, make_sparse_coded_signal
from skamort.metrics import fraction_variance_unexplained, latent_mcc
from skamort.solvers import sparse_encode

K, _FIRST_SEED = 3, 20240625
# After which peers give up on a problem.
_SECONDS = 2
# What `sparse_encode` is asked for, by row.
SOLVERS = {
    'L1 optimum, ``"cd"``, ``alpha=0.0025``': {"algorithm": "cd", "alpha": 0.0025},
    '``"omp"``': {"algorithm": "omp"},
    '``"ormp"``': {"algorithm": "ormp"},
    '``"exchange"``': {"algorithm": "exchange"},
    '``"exchange"``, ``beam_width=4``': {"algorithm": "exchange", "beam_width": 4},
    '``"exchange"``, ``beam_width=16``': {"algorithm": "exchange", "beam_width": 16},
    '``"exchange"``, ``beam_width=64``': {"algorithm": "exchange", "beam_width": 64},
    '``"exact"``': {"algorithm": "exact"},
}


def signals(seed, n_samples):
    """Return X, the dictionary and the sources."""
    X, dictionary, sources = make_published_signal(_FIRST_SEED + seed)
    return X[-n_samples:], dictionary, sources[-n_samples:]


def measure(seed, n_samples, options):
    """Return latent MCC, share of supports found, FVU and microseconds a sample."""
    X, dictionary, sources = signals(seed, n_samples)
    options = {"positive": True, "n_jobs": 1, **options}
    if "alpha" not in options:
        options["n_nonzero_coefs"] = K
    sparse_encode(X[:2], dictionary, **options)  # compiles
    start = time.process_time()
    codes = sparse_encode(X, dictionary, **options)
    seconds = time.process_time() - start
    found = ((codes > 1e-6) == (sources > 0)).all(axis=1).mean()
    fvu = fraction_variance_unexplained(X, codes @ dictionary)
    return latent_mcc(sources, codes), found, fvu, 1e6 * seconds / n_samples


def rows(seeds, n_samples):
    """Yield the cells of each solver."""
    yield "codes", "latent MCC", "worst seed", "supports", "FVU", "µs a sample"
    for name, options in SOLVERS.items():
        figures = np.array([measure(seed, n_samples, options) for seed in seeds])
        mcc, found, fvu, speed = figures.mean(axis=0)
        yield (
            name,
            f"{mcc:.3f}",
            f"{figures[:, 0].min():.3f}",
            f"{found:.1%}",
            f"{fvu:.4f}",
            f"{speed:.0f}",
        )


def as_rst(cells):
    """Return a list table."""
    lines = [
        ".. Written by benchmarks/table_exact.py.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
    ]
    for row in cells:
        lines += ["", f"   * - {row[0]}", *(f"     - {cell}" for cell in row[1:])]
    return "\n".join(lines) + "\n"


def by_l0bnb(x, dictionary, k):
    """Return codes of l0bnb: those of the least penalty a non-zero that leaves at most k."""
    from l0bnb import BNBTree

    high, best = float(x @ x) / 2, np.zeros(len(dictionary))
    low = 1e-4 * high
    for _ in range(8):
        penalty, largest = np.sqrt(low * high), 50 * np.abs(x).max()
        tree = BNBTree(dictionary.T.copy(), x)
        z = tree.solve(penalty, 1e-6, largest, gap_tol=1e-4, time_limit=_SECONDS).beta
        if np.count_nonzero(z) <= k:
            high, best = penalty, z
        else:
            low = penalty
    return best


def by_okridge(x, dictionary, k):
    """Return codes of OKRidge with k non-zeros, with next to no ridge."""
    from okridge.tree import BNBTree

    with redirect_stdout(StringIO()):
        tree = BNBTree(X=dictionary.T.copy(), y=x, lambda2=1e-6)
        return tree.solve(k=k, gap_tol=1e-4, verbose=False, time_limit=_SECONDS)[1]


def by_skamort(**options):
    """Return a function that gives codes of one sample."""
    return lambda x, dictionary, k: sparse_encode(
        x[None], dictionary, n_nonzero_coefs=k, n_jobs=1, **options
    )[0]


def compare_peers(n_samples):
    """Print residuals and milliseconds a sample of what is installed."""
    solvers = {
        "exact": by_skamort(algorithm="exact"),
        "exchange, 16 beams": by_skamort(algorithm="exchange", beam_width=16),
    }
    solvers |= {"l0bnb": by_l0bnb} if find_spec("l0bnb") else {}
    solvers |= {"OKRidge": by_okridge} if find_spec("okridge") else {}
    for n_components, n_features, k in ((16, 8, 3), (32, 32, 5), (64, 64, 5)):
        X, dictionary, _ = make_sparse_coded_signal(
            n_samples, n_components=n_components, n_features=n_features, n_nonzero_coefs=k,
            noise=0.1, random_state=0,
        )  # fmt: skip
        for name, solve in solvers.items():
            if name == "OKRidge" and n_components > n_features:
                continue  # which it fails on
            solve(X[0], dictionary, k)  # compiles
            start = time.process_time()
            left = [refit(x, solve(x, dictionary, k), dictionary, k) for x in X]
            milliseconds = 1e3 * (time.process_time() - start) / len(X)
            print(
                f"{n_components} atoms, {n_features} features, k={k}: {name:20} "
                f"residual {np.mean(left):.5f}  {milliseconds:9.2f} ms",
                flush=True,
            )


def refit(x, z, dictionary, k):
    """Return the squared residual of least squares on the support."""
    atoms = dictionary[np.abs(z).argsort()[-k:]]
    return float(((x - np.linalg.lstsq(atoms.T, x, rcond=None)[0] @ atoms) ** 2).sum())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="file to write the table to")
    parser.add_argument("--peers", action="store_true", help="compare with l0bnb and OKRidge")
    parser.add_argument("--quick", action="store_true", help="few samples of one seed")
    options = parser.parse_args()
    seeds, n_samples = ([0], 60) if options.quick else (range(5), 1024)
    table = as_rst(rows(seeds, n_samples))
    print(table)
    if options.output:
        options.output.write_text(table, encoding="utf-8")
    if options.peers:
        compare_peers(1 if options.quick else 3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
