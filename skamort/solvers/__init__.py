"""Sparse inference for a fixed dictionary: codes, and how good they are."""

from ._base import SolverResult
from ._cd import CoordinateDescent
from ._dictionary_update import update_dictionary
from ._encode import duality_gap, sparse_encode
from ._fista import FISTA
from ._gradient_pursuit import GradientPursuit
from ._iht import IHT
from ._mp import MP
from ._omp import OMP, ORMP
from ._registry import SOLVERS
from ._topk_refined import TopKRefined

__all__ = [
    "FISTA",
    "IHT",
    "MP",
    "OMP",
    "ORMP",
    "SOLVERS",
    "CoordinateDescent",
    "GradientPursuit",
    "SolverResult",
    "TopKRefined",
    "duality_gap",
    "sparse_encode",
    "update_dictionary",
]
