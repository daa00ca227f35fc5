"""How near k-sparse solvers come to the best codes: the table of doc/certificate.rst.

    python benchmarks/table_exact.py [--output doc/exact_table.inc] [--peers] [--quick]

On the published synthetic signals with their own dictionary (16 sources, 8 features, 3 of them
active, codes non-negative), for five seeds: the correlation of codes and sources (mean latent MCC,
and the worst seed), the share of samples whose support is that of the sources, the share of the
variance that is unexplained, and microseconds a sample, compiled kernels in one thread.

With ``--peers``, on 40 of these samples with noise of a tenth of their norm, codes of any sign: the
codes of l0bnb (at the penalty of each non-zero that leaves 3, found by bisection) and of OKRidge
beside those of "exact", where these packages are installed.
"""

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from skamort.datasets import make_published_signal
from skamort.metrics import fraction_variance_unexplained, latent_mcc
from skamort.solvers import sparse_encode

K, _FIRST_SEED = 3, 20240625
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


def by_l0bnb(x, dictionary):
    """Return codes of l0bnb with at most K non-zeros, at the least penalty that gives them."""
    from l0bnb import BNBTree

    tree, low, high, best = BNBTree(dictionary.T.copy(), x), 0.0, float(x @ x) / 2, None
    for _ in range(12):
        penalty = (low + high) / 2
        result = tree.solve(penalty, 1e-8, 10 * np.abs(x).max() * 5, gap_tol=1e-6)
        z = np.zeros(len(dictionary))
        z[result.support] = result.beta
        if len(result.support) <= K:
            high, best = penalty, z
        else:
            low = penalty
    return best if best is not None else np.zeros(len(dictionary))


def by_okridge(x, dictionary):
    """Return codes of OKRidge with K non-zeros, refitted without its ridge."""
    from okridge.tree import BNBTree

    tree = BNBTree(X=dictionary.T.copy(), y=x, lambda2=1e-6)
    _, z, _, _, _ = tree.solve(k=K, gap_tol=1e-6, verbose=False, time_limit=60)
    return z


def compare_peers(n_samples):
    """Print residuals and milliseconds a sample of what is installed."""
    X, dictionary, _ = signals(0, n_samples)
    noise = np.random.default_rng(0).standard_normal(X.shape)
    X = X + 0.1 * np.linalg.norm(X, axis=1, keepdims=True) * noise / np.sqrt(X.shape[1])
    ours = lambda x, D: sparse_encode(x[None], D, algorithm="exact", n_nonzero_coefs=K)[0]  # noqa: E731
    beams = lambda x, D: sparse_encode(  # noqa: E731
        x[None], D, algorithm="exchange", n_nonzero_coefs=K, beam_width=16
    )[0]
    solvers = {"exact": ours, "exchange, 16 beams": beams}
    solvers |= {"l0bnb": by_l0bnb} if find_spec("l0bnb") else {}
    solvers |= {"okridge": by_okridge} if find_spec("okridge") else {}
    for name, solve in solvers.items():
        solve(X[0], dictionary)
        start = time.process_time()
        residuals = [refit(x, solve(x, dictionary), dictionary) for x in X]
        seconds = time.process_time() - start
        print(f"{name:20} residual {np.mean(residuals):.6f}  {1e3 * seconds / len(X):8.2f} ms")


def refit(x, z, dictionary):
    """Return the squared residual of least squares on the support."""
    atoms = dictionary[np.abs(z).argsort()[-K:]]
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
        compare_peers(5 if options.quick else 40)
    return 0


if __name__ == "__main__":
    sys.exit(main())
