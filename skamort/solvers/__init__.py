"""Sparse inference for a fixed dictionary: codes, and how good they are."""

from ._adam import Adam
from ._alpha_for_l0 import alpha_for_l0
from ._base import SolverResult
from ._branch_and_bound import BranchAndBound
from ._cd import CoordinateDescent
from ._choice import SKLEARN_ALGORITHMS
from ._dictionary_update import update_dictionary
from ._dictionary_update_rows import update_dictionary_rows
from ._duality_gap import duality_gap
from ._encode import sparse_encode
from ._exchange import Exchange
from ._fista import FISTA
from ._flops import optimization_flops
from ._gomp import GOMP
from ._gradient_pursuit import GradientPursuit
from ._iht import IHT
from ._ksparse import KSparseSolver
from ._ksparse_bound import ksparse_bound
from ._lasso import LassoSolver
from ._lca import LCA
from ._mp import MP
from ._omp import OMP, ORMP
from ._path import EncodingPath, alpha_max, sparse_encode_path
from ._registry import SOLVERS
from ._topk_refined import TopKRefined

__all__ = [
    "FISTA",
    "GOMP",
    "IHT",
    "LCA",
    "MP",
    "OMP",
    "ORMP",
    "SKLEARN_ALGORITHMS",
    "SOLVERS",
    "Adam",
    "BranchAndBound",
    "CoordinateDescent",
    "EncodingPath",
    "Exchange",
    "GradientPursuit",
    "KSparseSolver",
    "LassoSolver",
    "SolverResult",
    "TopKRefined",
    "alpha_for_l0",
    "alpha_max",
    "duality_gap",
    "ksparse_bound",
    "optimization_flops",
    "sparse_encode",
    "sparse_encode_path",
    "update_dictionary",
    "update_dictionary_rows",
]
