"""What an encoder learns by heart: the table of "Few rows" in "Choosing an encoder".

    python benchmarks/table_few_rows.py [--activations activations.npz]
        [--output doc/few_rows_table.inc] [--quick]

Fits to 2,400 activations of unit norm and to 100 digits, one seed, with the defaults beside what is
named, and prints the share of the variance that is unexplained on these rows and on others, and the
epochs. The activations are float arrays `train` and `test` of an npz file.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from _list_table import to_rst
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

from skamort import GradSparseCoder, TopKSAE

MODELS = [
    TopKSAE(128),
    TopKSAE(128, early_stopping=True),
    TopKSAE(64),
    GradSparseCoder(128),
]
HEAD = ["data", "estimator", "own rows", "other rows", "epochs"]


def load_data(activations, quick):
    """Return rows to fit and others, by name."""
    digits = np.random.default_rng(0).permutation(load_digits().data)
    data = {"100 digits": (digits[:100], digits[100:])}
    if activations:
        stored = np.load(activations)
        n_rows = 300 if quick else 2400
        parts = stored["train"][:n_rows], stored["test"][:2000]
        parts = tuple(normalize(part.astype(np.float32)) for part in parts)
        data = {f"{n_rows:,} activations": parts} | data
    return data


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--activations", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--quick", action="store_true", help="few rows and epochs")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for name, (X, X_other) in load_data(args.activations, args.quick).items():
        for model in MODELS:
            fitted = clone(model).set_params(random_state=0)
            if args.quick:
                fitted.set_params(max_iter=2)
            fitted.fit(X)
            left = [f"{1 - fitted.score(part):.1%}" for part in (X, X_other)]
            rows.append([name, f"``{model!r}``", *left, str(fitted.n_iter_)])
            print(*rows[-1], flush=True)
    if args.output:
        args.output.write_text(to_rst("table_few_rows.py", HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
