"""Every solver by name: one line each."""

from __future__ import annotations

from ._adam import Adam
from ._base import Solver
from ._branch_and_bound import BranchAndBound
from ._cd import CoordinateDescent
from ._exchange import Exchange
from ._fista import FISTA
from ._gomp import GOMP
from ._gradient_pursuit import GradientPursuit
from ._iht import IHT
from ._lca import LCA
from ._mp import MP
from ._omp import OMP, ORMP
from ._topk_refined import TopKRefined

SOLVERS: dict[str, type[Solver]] = {
    "adam": Adam,
    "cd": CoordinateDescent,
    "exact": BranchAndBound,
    "exchange": Exchange,
    "fista": FISTA,
    "gomp": GOMP,
    "gradient_pursuit": GradientPursuit,
    "iht": IHT,
    "lca": LCA,
    "mp": MP,
    "omp": OMP,
    "ormp": ORMP,
    "topk_refined": TopKRefined,
}
