"""How many threads compute: compiled kernels in several, small steps of torch in one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from threading import Thread

import torch

# Multiplications of a step's largest product: from the first number on torch takes threads for it,
# from the second on they gain time on idle cores (benchmarks/bench_threads.py).
_TAKES_THREADS, _WORTH_THREADS = 1 << 10, 1 << 27
# Of all kernels that run at once; more slices take turns.
_MOST_THREADS = 256

_kernel_threads: ContextVar[int] = ContextVar("_kernel_threads")


def kernel_threads() -> int:
    """As many threads as torch may take, also where `threads_worth` leaves torch one: threads of
    kernels do not wait for each other."""
    return _kernel_threads.get(torch.get_num_threads())


def run_in_threads(kernel: Callable[[slice], None], n_rows: int, n_jobs: int) -> None:
    """Run a kernel that releases the GIL over consecutive slices of rows."""
    n_slices = min(n_jobs, n_rows)
    bounds = [n_rows * i // n_slices for i in range(n_slices + 1)]
    slices = [slice(a, b) for a, b in pairwise(bounds)]
    others = [_pool().submit(kernel, rows) for rows in slices[1:]]
    try:
        kernel(slices[0])
    finally:
        wait(others)  # they write to memory of the caller
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that stay, for to start them takes as long as a small kernel."""
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="skamort")


if hasattr(os, "register_at_fork"):  # a forked process has the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


@contextmanager
def threads_worth(n_multiplications: int, device: torch.device) -> Iterator[None]:
    """Let torch compute with one thread in this block where its products are small.

    Threads of torch that wait for each other spin. In steps of less than a millisecond they do
    little else, and where other processes hold the cores one may wait long for the other.

    Parameters
    ----------
    n_multiplications : int
        Of the largest product of a step.
    device : torch.device
        Where it is computed.
    """
    n_threads = torch.get_num_threads()
    small = _TAKES_THREADS <= n_multiplications < _WORTH_THREADS
    if n_threads == 1 or not small or device.type != "cpu":
        yield
        return
    token = _kernel_threads.set(n_threads)
    torch.set_num_threads(1)
    # What was set last, in whichever thread, is what threads begin with that are new to torch.
    setter = Thread(target=torch.set_num_threads, args=(n_threads,))
    setter.start()
    setter.join()
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        _kernel_threads.reset(token)
