"""Thresholds that are learned beside a fixed number of codes: the table of "Training an encoder".

    python benchmarks/table_thresholds.py [--output doc/thresholds_table.inc] [--quick]

Fits `TopKSAE` and `JumpReLUSAE` with 288 atoms to 8,000 photo patches of 12 x 12 pixels, one seed,
with their defaults beside what is named, and prints for 1,000 other patches how many codes of a
sample are not zero and which share of the variance is unexplained.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from _list_table import to_rst
from sklearn.exceptions import ConvergenceWarning

from skamort import JumpReLUSAE, TopKSAE
from skamort.datasets import load_image_patches
from skamort.metrics import mean_l0

N_COMPONENTS, N_TEST = 288, 1000
MODELS = [
    TopKSAE(k=16),
    JumpReLUSAE(alpha=0.003),
    JumpReLUSAE(alpha=0.003, bandwidth=0.3),
    TopKSAE(k=32),
    JumpReLUSAE(alpha=0.001),
]
HEAD = ["estimator", "active", "unexplained", "epochs"]


def measure(model, X, X_test):
    """Return the row of a model that is fitted here."""
    label = repr(model)
    model.set_params(n_components=N_COMPONENTS, random_state=0).fit(X)
    l0 = mean_l0(model.transform(X_test))
    return [f"``{label}``", f"{l0:.1f}", f"{1 - model.score(X_test):.1%}", str(model.n_iter_)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--quick", action="store_true", help="few rows and epochs")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    n_samples = 600 if args.quick else 8000
    X = load_image_patches(n_samples + N_TEST, random_state=0).astype(np.float32)
    X, X_test = np.split(X, [n_samples])
    rows = []
    for model in MODELS:
        if args.quick:
            model.set_params(max_iter=2)
        rows.append(measure(model, X, X_test))
        print(*rows[-1], flush=True)
    if args.output:
        args.output.write_text(to_rst("table_thresholds.py", HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
