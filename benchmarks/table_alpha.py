"""What `alpha="auto"` comes to, and half and twice as much: the table of "Choosing an encoder".

    python benchmarks/table_alpha.py [--activations activations.npz] [--output doc/alpha_table.inc]
        [--quick]

Fits `GradSparseCoder`, `SAEEncoder` and `JumpReLUSAE` with ``n_components=2 * n_features`` on rows
of each data set, and prints for rows that were held out how many codes of a sample are not zero,
which share of the atoms that is, which share of the atoms fires on no row, and the fraction of
variance unexplained. The activations are float arrays `train` and `test` of an npz file.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from _list_table import to_rst
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skamort import GradSparseCoder, JumpReLUSAE, SAEEncoder
from skamort.datasets import load_image_patches, make_published_signal
from skamort.metrics import dead_fraction, mean_l0

FACTORS = (0.5, 1, 2)
ESTIMATORS = (GradSparseCoder, SAEEncoder, JumpReLUSAE)
MAX_ITER = 30
HEAD = ["data", "estimator", "times auto", "active", "of the atoms", "dead", "FVU"]


def load_data(activations, quick):
    """Return rows to fit and rows to judge by, by name."""
    rng = np.random.default_rng(0)
    digits = rng.permutation(load_digits().data)
    whole = {
        "digits, raw": digits,
        "digits, standardized": StandardScaler().fit_transform(digits),
        "photo patches": load_image_patches(2000, patch_size=8, random_state=0),
        "published signal": make_published_signal()[0],
        "noise around 5": rng.normal(5, 1, (2000, 20)),
    }
    data = {name: np.split(X, [3 * len(X) // 4]) for name, X in whole.items()}
    if activations:
        stored = np.load(activations)
        data["SmolLM2 activations"] = [stored[n][:1500] for n in ("train", "test")]
    n_rows = 300 if quick else None
    return {
        name: [np.asarray(X[:n_rows], dtype=np.float32) for X in parts]
        for name, parts in data.items()
    }


def measure(Estimator, X, X_test):
    """Yield the factor and the figures of each fit."""
    coder = Estimator(2 * X.shape[1], max_iter=MAX_ITER, tol=1e-2, random_state=0)
    auto = coder.fit(X).alpha_
    for factor in FACTORS:
        # Thresholds, in the unit of the data, are to be half and twice as high.
        power = 2 if Estimator is JumpReLUSAE else 1
        coder.set_params(alpha=auto * factor**power).fit(X)
        codes = coder.transform(X_test)
        l0 = mean_l0(codes)
        yield factor, l0, l0 / codes.shape[1], dead_fraction(codes), 1 - coder.score(X_test)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--activations", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--quick", action="store_true", help="few rows")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for name, (X, X_test) in load_data(args.activations, args.quick).items():
        for Estimator in ESTIMATORS:
            for factor, l0, share, dead, fvu in measure(Estimator, X, X_test):
                label = f":class:`~skamort.{Estimator.__name__}`"
                figures = [f"{l0:.1f}", f"{share:.1%}", f"{dead:.1%}", f"{fvu:.3f}"]
                rows.append([name, label, f"{factor:g}", *figures])
                print(name, Estimator.__name__, f"{factor:g}", *figures, flush=True)
    if args.output:
        args.output.write_text(to_rst("table_alpha.py", HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
