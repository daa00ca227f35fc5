"""Every solver by name."""

from __future__ import annotations

from ._cd import CoordinateDescent
from ._fista import FISTA

SOLVERS = {
    "cd": CoordinateDescent,
    "fista": FISTA,
}
