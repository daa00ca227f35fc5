"""What 50 small models ask of a GPU: operators and waits, one after the other and by `fit_many`.

    python benchmarks/count_fit_many.py [--output doc/count_fit_many.inc] [--quick]

It takes no GPU: the device that `tests/device.py` emulates counts. One fit is counted, and taken 50
times. Each epoch is one batch and there are as many as said, for ``tol=0`` ends none before.
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from _list_table import to_rst
from sklearn.exceptions import ConvergenceWarning

from skamort import SAEEncoder
from skamort.estimators import fit_many

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from device import emulated_cuda

N_MODELS, N_FEATURES = 50, 8
# Estimators, rows: without looks for dead latents, and with all that is the default.
MODELS = ((SAEEncoder(16, alpha=0.1), 256), (SAEEncoder(16), 5000))
N_EPOCHS = (40, 300, 1000)
HEAD = ("``fit_many`` of", "epochs", "operators", "a loop", "times", "waits", "a loop", "times")


def asked(counts, run):
    """Return the operators and the waits that a call asks for."""
    counts.clear()
    run()
    waits, _, operators = counts.totals()
    return np.array([operators, waits])


def rows_of(counts, all_epochs):
    """Yield rows of texts."""
    SAEEncoder(device="cuda", max_iter=5).fit(np.eye(9))  # what is made once a process
    for model, n_rows in MODELS:
        X = np.random.default_rng(0).standard_normal((n_rows, N_FEATURES), dtype=np.float32)
        told = f"``{model}``, {n_rows:,} rows"
        model.set_params(batch_size=n_rows, tol=0, random_state=0, device="cuda")
        for n_epochs in all_epochs:
            model.set_params(max_iter=n_epochs)
            loop = N_MODELS * asked(counts, partial(model.fit, X))
            many = asked(counts, partial(fit_many, model, X, {}, range(N_MODELS)))
            pairs = zip(many, loop, strict=True)
            cells = [f"{a:,} {b:,} {b / a:.0f}".split() for a, b in pairs]
            yield (told, f"{n_epochs:,}", *cells[0], *cells[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # noise, of which nothing is learned
    rows = []
    with emulated_cuda() as counts:
        for row in rows_of(counts, (2,) if arguments.quick else N_EPOCHS):
            print(*row, sep="\t", flush=True)
            rows.append(row)
    if arguments.output:
        arguments.output.write_text(to_rst("count_fit_many.py", HEAD, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
