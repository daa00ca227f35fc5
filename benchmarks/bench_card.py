"""All that is to be measured on a GPU, piece by piece, within eight minutes.

    python benchmarks/bench_card.py [--output FILE] [--only many ...] [--python sae-lens=/path ...]
    python benchmarks/bench_card.py --quick --device cpu  # whether it runs at all

Each piece is a process of its own with a limit of seconds, so that one that hangs or fails leaves
the others their time. It prints what it finds at once, a line of JSON each; a last line says how it
ended, "time" where that was its limit. `steps` has CUDA graphs and operators, with Triton's kernels
and without, `many` a loop of fits beside `fit_many`, by both; `layouts` is `table_layouts.py`;
`training` and `transform` are of `bench_gpu.py`, with other packages where their interpreters are
given. Without a GPU it says so and ends with 1.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from unittest import mock

import bench_gpu
import table_layouts
import table_step_graphs
import torch
from _training_peers import add_arguments
from sklearn.exceptions import ConvergenceWarning
from table_solvers import make_data, solve

import skamort
from skamort import GradSparseCoder, SAEEncoder, TopKSAE, _triton
from skamort.metrics import amortization_gap
from skamort.solvers import SOLVERS, sparse_encode

# n_features, n_components, rows, atoms of a sample, alpha
LARGE = {"real": (768, 16_896, 4096, 32, 0.5), "quick": (16, 64, 40, 2, 0.4)}
SIZES = {
    "real": ((64, 256, 16_384, 8, 0.4), (256, 1024, 8192, 16, 0.4), (768, 4096, 4096, 32, 0.4)),
    "quick": ((16, 48, 20, 2, 0.4),),
}
STEPS = {
    "real": (
        (SAEEncoder(16), 8, 1024),
        (TopKSAE(16, k=2), 8, 1024),
        (SAEEncoder(512), 64, 1024),
        (TopKSAE(2048, k=32), 768, 1024),
    ),
    "quick": table_step_graphs.QUICK,
}
# Models, rows of a batch, epochs of 20 batches.
MANY = {"real": ((50, 1024, 2), (50, 1024, 50)), "quick": ((3, 32, 1),)}
N_ENCODED = {"real": 100_000, "quick": 100}


def training(size, device, arguments):
    """Yield rows a second of steps, beside a bare loop and other packages."""
    sizes, batch_sizes, *_ = bench_gpu.REAL if size == "real" else bench_gpu.QUICK
    peers = bench_gpu.Peers(arguments, device)
    names = ("what", "skamort", "bare", *peers.pythons)
    for row in bench_gpu.training(sizes, batch_sizes[-1:], device, peers):
        yield dict(zip(names, row, strict=False))


def transform(size, device, _):
    """Yield rows a second that come back as arrays."""
    sizes, _, n_rows, _ = bench_gpu.REAL if size == "real" else bench_gpu.QUICK
    for what, speed in bench_gpu.transforming(sizes, n_rows, device):
        yield {"what": what, "rows_s": speed}


def steps(size, device, _):
    """Yield microseconds of steps of small models."""
    for has_triton in (True, False):
        with mock.patch.object(_triton, "_is_installed", return_value=has_triton):
            for kind, slow, fast, _ in table_step_graphs.steps(STEPS[size], device, 5):
                yield {"step": kind, "triton": has_triton, "operators_us": slow, "graphs_us": fast}


def many(size, device, _):
    """Yield seconds of models trained together and of a loop."""
    for settings in MANY[size]:
        for kind, together, loop, times in table_step_graphs.many(*settings, device):
            told = {"kind": kind, "n_epochs": settings[-1]}
            yield {**told, "fit_many_s": together, "loop_s": loop, "times": times}


def layouts(size, device, _):
    """Yield milliseconds of steps with dense and with sparse codes."""
    sizes = table_layouts.SIZES[device] if size == "real" else table_layouts.QUICK
    for row in table_layouts.measure(sizes, device):
        yield dict(zip(table_layouts.HEAD, row, strict=True))


def crossing(size, device, _):
    """Yield certified rows a second of "cd" and "fista" for small and for large dictionaries."""
    for sizes in (*SIZES[size], LARGE[size]):
        *numbers, alpha = sizes
        X, atoms = make_data(*numbers, device)
        for name in ("cd", "fista"):
            result, speed = solve(SOLVERS[name](max_iter=500), X, atoms, alpha=alpha)
            share = float(result.converged.double().mean())
            yield {"atoms": numbers[1], "solver": name, "rows_s": speed * share, "met": share}


def learning(size, device, _):
    """Yield seconds of dictionaries learned with each algorithm."""
    for n_features, n_components, n_rows, k, alpha in SIZES[size][:2]:
        X, _ = make_data(n_features, n_components, n_rows, k, device)
        for algorithm in ("cd", "fista", "auto"):
            coder = GradSparseCoder(
                n_components, algorithm=algorithm, alpha=alpha, max_iter=10, random_state=0,
                device=device,
            )  # fmt: skip
            coder.fit(X)  # what is compiled does not count
            seconds = bench_gpu.seconds_of(partial(coder.fit, X), device)
            told = {"atoms": n_components, "algorithm": algorithm, "seconds": seconds}
            yield {**told, "score": float(coder.score(X))}


def pursuits(size, device, _):
    """Yield rows a second of k-sparse solvers and of "lca", and how long a k-sparse gap takes."""
    n_features, n_components, n_rows, k, alpha = LARGE[size]
    X, atoms = make_data(n_features, n_components, n_rows, k, device)
    for name in ("omp", "gomp", "mp", "ormp", "lca"):
        is_lasso, few = name == "lca", X[: n_rows // 4]
        limit = {"max_iter": 300} if is_lasso else {"n_nonzero_coefs": k}
        asked = {"alpha": alpha} if is_lasso else {}
        result, speed = solve(SOLVERS[name](**limit), few, atoms, **asked)
        error = (result.codes @ atoms - few).square().sum() / few.square().sum()
        yield {"solver": name, "rows_s": speed, "unexplained": float(error)}
    sae = TopKSAE(n_components, k=k, max_iter=2, random_state=0, device=device).fit(X)
    few = X[: n_rows // 16 + 2]
    seconds = bench_gpu.seconds_of(lambda: amortization_gap(sae, few), device)
    yield {"solver": "k-sparse gap", "rows_s": len(few) / seconds}


def encode(size, device, _):
    """Yield seconds of codes of many rows, under an L1 penalty and k-sparse."""
    n_features, n_components, _, k, alpha = LARGE[size]
    X, atoms = make_data(n_features, n_components, N_ENCODED[size], k, device)
    for algorithm, asked in (("cd", {"alpha": alpha}), ("omp", {"n_nonzero_coefs": k})):
        asked |= {"algorithm": algorithm, "positive": True}
        sparse_encode(X[: len(X) // 100], atoms, **asked)  # what is compiled does not count
        seconds = bench_gpu.seconds_of(partial(sparse_encode, X, atoms, **asked), device)
        yield {"rows": len(X), "algorithm": algorithm, "seconds": seconds, **memory(device)}


def memory(device):
    """Return GiB that lie on the card, that torch holds, and the most that lay there."""
    if device == "cpu":
        return {}
    of = torch.cuda
    told = {"now": of.memory_allocated(), "held": of.memory_reserved()}
    told["peak"] = of.max_memory_allocated()
    return {f"{name}_gib": round(n / (1 << 30), 3) for name, n in told.items()}


def fits(_, device, __):
    """Yield what lies on the card after each of twenty fits by graphs."""
    X = torch.randn(2048, 32, device=device)
    for n in range(20):
        start = time.perf_counter()
        SAEEncoder(64, max_iter=3, random_state=n, device=device).fit(X)
        TopKSAE(1024, k=4, max_iter=3, random_state=n, device=device).fit(X)
        yield {"fits": 2 * n + 2, "seconds": time.perf_counter() - start, **memory(device)}


# Seconds that each may take.
PIECES = {
    many: 50, steps: 50, training: 100, transform: 20, layouts: 60, crossing: 50, learning: 40,
    pursuits: 40, encode: 30, fits: 30,
}  # fmt: skip


def run(piece, arguments, device):
    """Do a piece in this process."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps tell the speed
    for found in piece("quick" if arguments.quick else "real", device, arguments):
        print(json.dumps({"piece": piece.__name__, **found}), flush=True)


def run_apart(name, limit, tell):
    """Do a piece in a process of its own; tell its lines, and how it ended."""
    command = [sys.executable, __file__, "--piece", name, *sys.argv[1:]]
    start = time.perf_counter()
    with subprocess.Popen(
        ["timeout", str(limit), *command], stdout=subprocess.PIPE, text=True
    ) as of:
        for line in of.stdout:
            tell(line)
    ended = {0: "done", 124: "time"}.get(of.returncode, "failed")
    seconds = round(time.perf_counter() - start, 1)
    tell(json.dumps({"piece": name, "ended": ended, "seconds": seconds}) + "\n")
    return ended


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = {piece.__name__: piece for piece in PIECES}
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", choices=("cuda", "cpu"))
    parser.add_argument("--output", type=Path, help="add the lines there too")
    parser.add_argument("--only", nargs="+", choices=names, default=list(names))
    parser.add_argument("--piece", choices=names, help=argparse.SUPPRESS)
    add_arguments(parser)
    arguments = parser.parse_args()
    device = arguments.device or ("cpu" if arguments.quick else "cuda")
    if arguments.piece:
        run(names[arguments.piece], arguments, device)
        return
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"bench_card: torch {torch.__version__} sees no GPU; nothing was measured.")

    def tell(line):
        print(line, end="", flush=True)
        if arguments.output:
            with arguments.output.open("a", encoding="utf-8") as file:
                file.write(line)

    about = {"torch": torch.__version__, "skamort": skamort.__version__}
    tell(json.dumps({"card": bench_gpu.card(device), **about}) + "\n")
    limits = {piece.__name__: limit for piece, limit in PIECES.items()}
    slower = 5 if arguments.quick else 1  # numba may have all to compile
    ends = [run_apart(name, slower * limits[name], tell) for name in arguments.only]
    sys.exit("failed" in ends)


if __name__ == "__main__":
    main()
