"""Throughput on a GPU: training, solvers, many models at once, transform.

Rows a second of what runs there, after a first run that is not counted, the device being waited
for at both ends. Training, whose start does not count, is beside a bare loop of torch: autograd
through `topk`, dense products, fused Adam, the same batches. Packages of `--python` take as many of
their own trainer's steps, of batches that lie on the card, by autocast to bfloat16 where that is
asked; their dead latents are left alone, as ours are. Solvers count the rows whose duality gap met
the tolerance. The table is one of reStructuredText, under a line that names card, driver and torch.

    python benchmarks/bench_gpu.py [--quick] [--python sae-lens=/path/to/python ...]
    python benchmarks/bench_gpu.py --quick --device cpu  # whether it runs at all

Without a GPU it says so and ends with 1.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import nullcontext
from itertools import chain

import numpy as np
import torch
from _list_table import to_rst
from _training_peers import Peer, add_arguments, interpreters
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skamort import SAEEncoder, TopKSAE
from skamort.estimators import fit_many
from skamort.solvers import sparse_encode

# (n_features, n_components, k), batch sizes, rows of a solver, (models, rows, epochs)
REAL = ((768, 16_896, 32), (4096, 8192), 8192, (50, 1024, 100))
QUICK = ((32, 256, 4), (256,), 128, (4, 256, 3))
STEPS = 50
# A package whose step is of one precision, whatever is asked.
ONLY = {"eai-sparsify": "bfloat16"}


def seconds_of(work, device):
    """Return how long it takes, the device being done with all before and with it."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def rate(n_rows, work, device):
    """Return rows a second of the second run."""
    seconds_of(work, device)
    return n_rows / seconds_of(work, device)


def rate_of_steps(model, X, device):
    """Return rows a second of the steps of a fit, whose start does not count."""
    fits = [clone(model).set_params(max_iter=n) for n in (1, 1, 3)]
    _, short, long = (seconds_of(lambda fit=fit: fit.fit(X), device) for fit in fits)
    return 2 * len(X) / (long - short)


def train_bare(X, n_components, k, batch_size, precision):
    """Train as one would write it: autograd, dense products, all in torch."""
    W = torch.nn.Parameter(torch.randn(n_components, X.shape[1], device=X.device) * 0.02)
    D = torch.nn.Parameter(W.detach().clone())
    b = torch.nn.Parameter(torch.zeros(n_components, device=X.device))
    optimizer = torch.optim.Adam([W, D, b], lr=1e-3, fused=True)
    half = precision == "bfloat16"
    for x in X.split(batch_size):
        with torch.autocast(X.device.type, torch.bfloat16) if half else nullcontext():
            values, places = torch.nn.functional.linear(x, W, b).topk(k, dim=1)
            codes = torch.zeros(len(x), n_components, device=X.device, dtype=values.dtype)
            loss = (codes.scatter(1, places, values.relu()) @ D - x).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            D /= D.norm(dim=1, keepdim=True)


class Peers:
    """Other packages, each in one process, whatever it trains.

    Parameters
    ----------
    arguments : argparse.Namespace
        The options.
    device : str
        Where they train.
    """

    def __init__(self, arguments, device):
        self.arguments, self.device, self.started = arguments, device, {}
        pythons = interpreters(arguments)
        self.pythons = {name: python for name, python in pythons.items() if name != "skamort"}

    def rates(self, sizes, batch_size, precision):
        """Yield rows a second of each, None for one that has no such step."""
        n_features, n_components, k = sizes
        X = np.random.default_rng(0).standard_normal((4 * batch_size, n_features), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/train.npy", X)
            settings = {
                "train": f"{folder}/train.npy", "n_components": n_components, "k": k, "seed": 0,
                "learning_rate": 1e-3, "batch_size": batch_size, "n_steps": 2 * STEPS,
                "threads": self.arguments.threads, "debug": self.arguments.debug,
                "device": self.device, "precision": precision,
            }  # fmt: skip
            for name in self.pythons:
                if ONLY.get(name, precision) == precision:
                    peer = self._start(name, settings)
                    peer.train(STEPS)
                    yield STEPS * batch_size / peer.train(STEPS)[0]
                else:
                    yield None

    def _start(self, name, settings):
        if name in self.started:
            self.started[name].start(settings)
        else:
            self.started[name] = Peer(name, self.pythons[name], settings)
        return self.started[name]


def training(sizes, batch_sizes, device, peers):
    """Yield rows of the table: training of one model."""
    n_features, n_components, k = sizes
    for batch_size in batch_sizes:
        X = torch.randn(STEPS * batch_size, n_features, device=device)
        for precision in ("full", "tf32", "bfloat16"):
            model = TopKSAE(
                n_components, k=k, batch_size=batch_size, max_iter=1, precision=precision,
                device=device, dead_latents=None, schedule=None, random_state=0,
            )  # fmt: skip
            ours = rate_of_steps(model, X, device)
            others = []
            if precision != "tf32":
                given = (X, n_components, k, batch_size, precision)
                others = [rate(len(X), lambda given=given: train_bare(*given), device)]
                others += peers.rates(sizes, batch_size, precision)
            yield f"fit, batch {batch_size}, {precision}", ours, *others


def solving(sizes, n_rows, device):
    """Yield rows of the table: codes for a dictionary."""
    n_features, n_components, k = sizes
    generator = torch.Generator(device).manual_seed(0)
    given = {"generator": generator, "device": device}
    D = torch.nn.functional.normalize(torch.randn(n_components, n_features, **given))
    places = torch.rand(n_rows, n_components, **given).topk(k).indices
    values = 2 + torch.randn(n_rows, k, **given).abs()
    X = torch.zeros(n_rows, n_components, device=device).scatter(1, places, values) @ D
    asked = {"fista": {"alpha": 0.5}, "cd": {"alpha": 0.5}, "omp": {"n_nonzero_coefs": k}}
    for algorithm, limits in asked.items():
        done = []

        def solve(algorithm=algorithm, limits=limits, done=done):
            _, info = sparse_encode(X, D, algorithm=algorithm, return_info=True, **limits)
            done.append(int(info.converged.sum()))

        speed = rate(n_rows, solve, device)
        yield f"{algorithm}, rows that met their tolerance", speed * done[-1] / n_rows


def many(settings, device):
    """Yield the row of the table: small models at once, beside one after the other."""
    n_models, n_rows, n_epochs = settings
    X = np.random.default_rng(0).standard_normal((n_rows, 8), dtype=np.float32)
    model = SAEEncoder(16, max_iter=n_epochs, batch_size=n_rows, tol=0, device=device, alpha=0.1)

    def one_by_one():
        for seed in range(n_models):
            fit_many(model, X, {}, random_states=[seed])

    n_steps = n_models * n_epochs
    at_once = rate(n_steps, lambda: fit_many(model, X, {}, random_states=range(n_models)), device)
    yield f"steps of {n_models} models, fit_many", at_once, rate(n_steps, one_by_one, device)


def transforming(sizes, n_rows, device):
    """Yield rows of the table: transform to arrays on the host."""
    n_features, n_components, k = sizes
    X = torch.randn(4 * n_rows, n_features, device=device)
    model = TopKSAE(n_components, k=k, max_iter=1, device=device).fit(X)
    for is_sparse in (False, True):
        model.set_params(sparse_output=is_sparse)
        kind = "CSR" if is_sparse else "dense"
        yield f"transform, {kind}", rate(len(X), lambda: model.transform(X), device)


def card(device):
    """Return what runs: the card and its driver, or the CPU."""
    if device == "cpu":
        return "CPU"
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return torch.cuda.get_device_name()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", choices=("cuda", "cpu"))
    add_arguments(parser)
    arguments = parser.parse_args()
    device = arguments.device or ("cpu" if arguments.quick else "cuda")
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"bench_gpu: torch {torch.__version__} sees no GPU; nothing was measured.")
    warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps tell the speed
    sizes, batch_sizes, n_rows, models = QUICK if arguments.quick else REAL
    print(f"{card(device)}, torch {torch.__version__}, {sizes[0]} x {sizes[1]}, k={sizes[2]}")
    found, peers = [], Peers(arguments, device)
    for row in chain(
        training(sizes, batch_sizes, device, peers),
        solving(sizes, n_rows, device),
        many(models, device),
        transforming(sizes, n_rows, device),
    ):
        print(*row, file=sys.stderr, flush=True)
        found.append(row)
    head = ("what", "a second", "without skamort's way", *peers.pythons)
    cells = [
        [what, *(f"{number:,.0f}" if number else "" for number in numbers)]
        for what, *numbers in found
    ]
    print(to_rst("bench_gpu.py", head, [row + [""] * (len(head) - len(row)) for row in cells]))


if __name__ == "__main__":
    main()
