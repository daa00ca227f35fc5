"""From which size of a model on do threads of torch gain time?

For autoencoders from 64 x 128 to 768 x 9,216, by the multiplications of a step's product:
milliseconds, and those of the processor, of a step of training with batches of 256 and of a
`transform` of as many rows, with one thread and with several. On idle cores it says where threads
begin to gain; with ``--busy``, which keeps every core busy by another process meanwhile, what they
cost where others work. The rule that gives small steps one thread is switched off here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skamort import SAEEncoder, TopKSAE, _threads

SIZES = [(64, 128), (64, 512), (256, 512), (256, 1024), (768, 1024), (768, 2304), (768, 9216)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--seconds", type=float, default=1.0, help="of training by each number")
    parser.add_argument("--busy", action="store_true", help="while others keep all cores busy")
    parser.add_argument("--quick", action="store_true", help="two sizes, a tenth of the time")
    args = parser.parse_args()
    seconds = args.seconds * (0.1 if args.quick else 1)
    _threads._WORTH_THREADS = 0
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("by threads: milliseconds (of the processor) of a step of training, of transform")
    others = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(os.cpu_count())]
    for other in others if args.busy else []:
        other.start()
    for size in SIZES[: 2 if args.quick else None]:
        for model in (SAEEncoder(size[1], alpha=0.1), TopKSAE(size[1], k=16)):
            compare(model, size, args.threads, seconds)


def compare(model, size, threads, seconds) -> None:
    """Print the line of a model."""
    X = np.random.default_rng(0).standard_normal((2048, size[0])).astype(np.float32)
    model.set_params(batch_size=256, max_iter=1, tol=0, random_state=0)
    torch.set_num_threads(1)
    started = time.perf_counter()
    model.fit(X)  # compiles kernels
    started = time.perf_counter()
    model.fit(X)
    model.set_params(max_iter=max(1, round(seconds / (time.perf_counter() - started))))
    cells = []
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        model.transform(X[:256])
        fit = timed(lambda: model.fit(X), 8 * model.max_iter)
        codes = timed(lambda: [model.transform(X[:256]) for _ in range(20)], 20)
        cells.append(f"{n_threads}: {fit}, {codes}")
    power = np.log2(256 * size[0] * size[1])
    print(f"2^{power:4.1f} {size[0]} x {size[1]} {type(model).__name__:10}", *cells, sep=" | ")


def timed(call, n_steps) -> str:
    """Return the milliseconds a step of a call, and those of the processor."""
    start, busy = time.perf_counter(), time.process_time()
    call()
    wall, spent = time.perf_counter() - start, time.process_time() - busy
    return f"{1e3 * wall / n_steps:.3g} ({1e3 * spent / n_steps:.3g})"


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    main()
