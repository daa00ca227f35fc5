"""What CUDA graphs gain: steps of models of several sizes, and 50 small models.

    python benchmarks/table_step_graphs.py [--output doc/step_graphs.inc] [--quick]

Prints microseconds a step, operator by operator and by graphs, of the median epoch after the first
two; then seconds of `fit_many` with 50 models, and of one fit after the other, of which
three are measured. Above which size graphs gain nothing is what `skamort.training._step_graph`
holds. Nothing else may run on the GPU. `--quick` runs on a CPU too, where there are no graphs.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from _clock import Clock
from _list_table import to_rst
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skamort import JumpReLUSAE, LISTAEncoder, MLPEncoder, SAEEncoder, TopKSAE
from skamort.estimators import fit_many
from skamort.training import _step_graph

# Estimators, n_features, rows of a batch.
SIZES = (
    (SAEEncoder(16), 8, 1024),
    (TopKSAE(16, k=2), 8, 1024),
    (MLPEncoder(16, hidden_layer_sizes=(16,)), 8, 1024),
    (LISTAEncoder(16), 8, 1024),
    (SAEEncoder(512), 64, 1024),
    (JumpReLUSAE(512), 64, 1024),
    (TopKSAE(512, k=8), 64, 1024),
    (TopKSAE(2048, k=32), 768, 1024),
    (TopKSAE(4096, k=32), 768, 1024),
    (TopKSAE(8192, k=32), 768, 1024),
    (TopKSAE(4096, k=32), 768, 4096),
    (TopKSAE(16_384, k=32), 768, 1024),
)
QUICK = ((SAEEncoder(16), 8, 32), (TopKSAE(64, k=2), 8, 32))
N_STEPS = 20  # of an epoch
WAYS = {"operators": 0, "graphs": 1 << 60}


def seconds_of(device, work, *args):
    """Return how long a call takes, the device being done with it."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    work(*args)
    wait()
    return time.perf_counter() - start


def steps(sizes, device, n_epochs):
    """Yield rows of the table of steps."""
    for model, n_features, n_rows in sizes:
        model = model.set_params(batch_size=n_rows, tol=0, random_state=0, device=device)
        X = torch.randn(N_STEPS * n_rows, n_features, device=device)
        slow, fast = (1e6 * step_time(model, X, n_epochs, most) for most in WAYS.values())
        kind = f"{type(model).__name__}, {n_features} x {model.n_components}, {n_rows} rows"
        yield kind, f"{slow:.0f}", f"{fast:.0f}", f"{slow / fast:.1f}"


def step_time(model, X, n_epochs, most):
    """Return the seconds of a step of one way."""
    clock = Clock(X.device.type)
    with mock.patch.object(_step_graph, "_MOST_NUMBERS", most):
        clone(model).set_params(max_iter=n_epochs + 2, callbacks=[clock]).fit(X)
    return np.median(clock.seconds()[1:]) / N_STEPS


def many(n_models, n_rows, n_epochs, device):
    """Yield rows of the table of many models."""
    X = torch.randn(N_STEPS * n_rows, 8, device=device)
    for model in (SAEEncoder(16), TopKSAE(16, k=2)):
        model = model.set_params(max_iter=n_epochs, batch_size=n_rows, tol=0, device=device)
        for name, first_steps in (("operators", 1 << 60), ("graphs", 3)):
            with mock.patch.object(_step_graph, "_FIRST_STEPS", first_steps):
                fit_many(clone(model).set_params(max_iter=1), X, {}, range(n_models))
                together = seconds_of(device, fit_many, model, X, {}, range(n_models))
                alone = [clone(model).set_params(random_state=seed) for seed in range(3)]
                loop = sum(seconds_of(device, one.fit, X) for one in alone) / 3 * n_models
            kind = f"{type(model).__name__}, by {name}"
            yield kind, f"{together:.2f}", f"{loop:.1f}", f"{loop / together:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not arguments.quick:
        sys.exit("table_step_graphs: torch sees no GPU; nothing was measured.")
    warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps tell the speed
    sizes, n_epochs, settings = SIZES, 9, (50, 1024, 50)
    if arguments.quick:
        sizes, n_epochs, settings = QUICK, 1, (4, 32, 2)
    tables = []
    for head, rows in (
        (("a step of", "operators, µs", "graphs, µs", "times"), steps(sizes, device, n_epochs)),
        ((f"{settings[0]} models", "fit_many, s", "a loop, s", "times"), many(*settings, device)),
    ):
        found = []
        for row in rows:
            print(*row, sep=" | ", flush=True)
            found.append(row)
        tables.append(to_rst("table_step_graphs.py", head, found))
    if arguments.output:
        arguments.output.write_text("\n".join(tables))


if __name__ == "__main__":
    main()
