"""Compiled kernels in several threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def run_in_threads(kernel: Callable[[slice], None], n_rows: int, n_jobs: int) -> None:
    """Run a kernel that releases the GIL over consecutive slices of rows."""
    n_slices = min(n_jobs, n_rows)
    bounds = [n_rows * i // n_slices for i in range(n_slices + 1)]
    slices = [slice(a, b) for a, b in pairwise(bounds)]
    if n_slices == 1:
        kernel(slices[0])
        return
    with ThreadPoolExecutor(n_slices) as pool:
        list(pool.map(kernel, slices))
