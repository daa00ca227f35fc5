"""Which engine runs: torch everywhere, or compiled numba kernels on the CPU."""

from __future__ import annotations

from torch import Tensor

from ._numba import has_numba
from ._threads import kernel_threads

ENGINES = ("auto", "numba", "torch")


def resolve_engine(engine: str, X: Tensor) -> str:
    """``"numba"`` or ``"torch"``; "auto" takes numba where it is installed and ``X`` is on
    the CPU."""
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r} is unknown; choose one of {list(ENGINES)}.")
    installed, on_cpu = has_numba(), X.device.type == "cpu"
    if engine == "auto":
        return "numba" if installed and on_cpu else "torch"
    if engine == "numba" and not installed:
        raise ImportError(
            "engine='numba' needs numba, which is not installed; "
            "run `pip install skamort[fast]` or choose engine='torch'."
        )
    if engine == "numba" and not on_cpu:
        raise ValueError(
            f"engine='numba' runs on the CPU, but X is on {X.device}; choose engine='torch'."
        )
    return engine


def resolve_n_jobs(n_jobs: int | None) -> int:
    """Threads for compiled kernels: as many as torch uses where None, -1 for as many, or a
    number."""
    if n_jobs is None or n_jobs == -1:
        return kernel_threads()
    if n_jobs < -1 or n_jobs == 0:
        raise ValueError(f"n_jobs must be None, -1 or a positive integer, got {n_jobs!r}.")
    return n_jobs
