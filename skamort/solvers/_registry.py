"""Every solver by name."""

from __future__ import annotations

from ._fista import FISTA

SOLVERS = {
    "fista": FISTA,
}
