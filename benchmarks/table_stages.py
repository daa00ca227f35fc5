"""Dictionaries learned through stages: a table of "A given number of codes, at which cost".

    python benchmarks/table_stages.py --activations activations.npz
        [--output doc/stages_table.inc] [--quick]

Trains `TopKSAE(2304, k=32)` on the first 18,000 rows `train` of an npz file, with and without
`n_stages`, and prints the processor's seconds, one thread, and the share that non-negative codes
leave unexplained of the first 2,000 rows `test`, of their squares about the mean of the former: the
encoder's, generalized OMP on from these by stages, and ORMP's. Without activations, image patches,
256 atoms and k=8.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from _list_table import to_rst
from sklearn.exceptions import ConvergenceWarning

from skamort import TopKSAE
from skamort.datasets import load_image_patches
from skamort.solvers import sparse_encode

TRAININGS = [(8, None), (20, None), (8, 1), (4, 2), (8, 2)]
STAGES = (2, 3, 4)
HEAD = [
    "trained as",
    "seconds",
    "the encoder",
    *(f"{n} stages" for n in STAGES),
    '"ormp"',
]


def load_rows(activations):
    """Return rows to learn from and to test, about one mean, and the sizes of the model."""
    if activations is None:
        X, sizes = load_image_patches(6000, patch_size=8, random_state=0), {"k": 8}
        X, X_test, sizes["n_components"] = X[1000:], X[:1000], 256
    else:
        with np.load(activations) as stored:
            X, X_test = (stored[name].astype(np.float32) for name in ("train", "test"))
        X, X_test, sizes = X[:18_000], X_test[:2000], {"n_components": 2304, "k": 32}
    mean = X.mean(axis=0)
    return X - mean, X_test - mean, sizes


def train(X, sizes, n_epochs, n_stages):
    """Return a trained model and the processor's seconds."""
    sae = TopKSAE(
        **sizes, n_stages=n_stages, max_iter=n_epochs, n_iter_no_change=n_epochs, random_state=0
    )
    start = time.process_time()
    return sae.fit(X), time.process_time() - start


def unexplained(sae, X):
    """Return what the encoder's codes, and better ones, leave unexplained of rows."""
    codes, centered, atoms = sae.transform(X), X - sae.intercept_, sae.components_
    asked = {"n_nonzero_coefs": sae.k, "positive": True}
    gomp = [{"algorithm": "gomp", "n_stages": n, "init": codes} for n in STAGES]
    found = [
        sparse_encode(centered, atoms, **asked, **options)
        for options in (*gomp, {"algorithm": "ormp"})
    ]
    total = np.square(X, dtype=float).sum()
    return [np.square(centered - z @ atoms, dtype=float).sum() / total for z in (codes, *found)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--activations", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--quick", action="store_true", help="few epochs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, X_test, sizes = load_rows(args.activations)
    train(X[:600], sizes, 1, 2)  # kernels are compiled
    rows = []
    for n_epochs, n_stages in TRAININGS:
        sae, seconds = train(X, sizes, 1 if args.quick else n_epochs, n_stages)
        name = f"{n_epochs} epochs" + (f", ``n_stages={n_stages}``" if n_stages else "")
        left = [f"{100 * fvu:.1f} %" for fvu in unexplained(sae, X_test)]
        rows.append([name, f"{seconds:.1f}", *left])
        print(*rows[-1], sep="   ", flush=True)
    if args.output:
        args.output.write_text(to_rst("table_stages.py", HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
