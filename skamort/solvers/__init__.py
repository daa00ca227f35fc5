"""Sparse inference for a fixed dictionary: codes, and how good they are."""

from ._base import SolverResult
from ._cd import CoordinateDescent
from ._dictionary_update import update_dictionary
from ._encode import duality_gap, sparse_encode
from ._fista import FISTA
from ._registry import SOLVERS

__all__ = [
    "FISTA",
    "SOLVERS",
    "CoordinateDescent",
    "SolverResult",
    "duality_gap",
    "sparse_encode",
    "update_dictionary",
]
