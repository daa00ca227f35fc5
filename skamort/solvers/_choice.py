"""Which solver a call of `sparse_encode` asks for."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from .._engine import resolve_engine
from .._sparse_rows import SparseRows
from ._base import Solver
from ._registry import SOLVERS

SKLEARN_ALGORITHMS = ("lars", "lasso_cd", "lasso_lars", "threshold")
# With 16,896 atoms of 768 features an H100 certified 124,600 rows a second by "cd" and 10,700 by
# "fista" (benchmarks/bench_gpu.py); where they cross is not measured.
_MANY_ATOMS = 1024
# What only some solvers have, and no other may be asked for.
_OF_SOME = {"n_nonzero_coefs", "residual_tol", "beam_width", "node_limit", "n_stages"}


def choose_algorithm(
    algorithm: str, X: Tensor | SparseRows, dictionary: Tensor, k_sparse: bool
) -> str:
    """The name of a solver, for "auto" by the kind of problem, the same on every device but where
    `goes_by_device` says so."""
    if algorithm != "auto":
        return algorithm
    if k_sparse:
        return "omp"
    return "fista" if goes_by_device(X, dictionary) else "cd"


def goes_by_device(X: Tensor | SparseRows, dictionary: Tensor) -> bool:
    """Whether "auto" takes "fista" where a CPU would take "cd": on a GPU, for problems so small
    that launches of its many small operators would take longer than they compute."""
    return X.device.type != "cpu" and len(dictionary) <= _MANY_ATOMS


def default_tol(algorithm: str, engine: str, dictionary: Tensor) -> float:
    """The tolerance that costs little beside a larger one.

    Compiled coordinate descent ends with linear solves, up to the digits that the dtype holds: 1e-8
    takes a tenth longer than 1e-4, and 1e-5 in float32. Gradient steps gain a digit at half the
    cost again.
    """
    if algorithm == "cd" and resolve_engine(engine, dictionary) == "numba":
        return 1e-8 if dictionary.dtype == torch.float64 else 1e-5
    return 1e-4


def check_algorithm(algorithm: str) -> None:
    """Refuse names of no solver."""
    if algorithm not in ("auto", *SOLVERS):
        raise ValueError(
            f"sparse_encode: algorithm={algorithm!r} is unknown; "
            f"choose one of {sorted(['auto', *SOLVERS, *SKLEARN_ALGORITHMS])}."
        )


def check_sparsity(algorithm: str, alpha: Any, n_nonzero_coefs: Any, residual_tol: Any) -> None:
    """Refuse two ways to say how sparse codes are where nothing says which of them counts, and one
    that scikit-learn's algorithm would leave aside."""
    limits = {"n_nonzero_coefs": n_nonzero_coefs, "residual_tol": residual_tol}
    given = {name: value for name, value in limits.items() if value is not None}
    if algorithm == "auto" and given and alpha is not None:
        name, value = next(iter(given.items()))
        raise ValueError(
            f"sparse_encode: alpha={alpha} and {name}={value} both say how sparse codes are; drop "
            f"one of them, or name the algorithm."
        )
    if algorithm in SKLEARN_ALGORITHMS and algorithm != "lars" and n_nonzero_coefs is not None:
        raise ValueError(
            f"sparse_encode: algorithm={algorithm!r} has no n_nonzero_coefs, got "
            f"{n_nonzero_coefs}; drop it, or choose 'lars' or a k-sparse solver."
        )


def make_solver(algorithm: str, engine: str, **options: Any) -> Solver:
    """The solver with those of the options that it knows."""
    solver = SOLVERS[algorithm]
    if engine == "numba" and not solver.has_kernels:
        compiled = sorted(name for name in SOLVERS if SOLVERS[name].has_kernels)
        raise ValueError(
            f"sparse_encode: algorithm={algorithm!r} has no compiled kernel; "
            f"choose engine='torch' or one of {compiled}."
        )
    for option in _OF_SOME & options.keys():
        if not hasattr(solver, option):
            those = sorted(name for name in SOLVERS if hasattr(SOLVERS[name], option))
            raise ValueError(
                f"sparse_encode: algorithm={algorithm!r} has no {option}; choose one of {those}."
            )
    options["engine"] = engine
    if solver.is_k_sparse:
        # Its tolerance, where a k-sparse solver has one, is not that of a duality gap.
        del options["tol"]
    known = {field.name for field in fields(solver)}
    return solver(**{name: options[name] for name in known & options.keys()})
