"""Rows that are few and far from all others, and yet make up most of a squared error."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._rows import few_rows
from .._sample_weight import mean_of_rows
from .._sparse_rows import SparseRows
from ._missing import center_of_observed

# Median distances from the mean, from which on a row is far: what those who collect activations
# of language models leave out.
_FAR = 10
# Share of the rows up to which they are few; more are a part of the data like others.
_FEW = 0.02
# Share of the squared distances from which on they rule means and fits.
_MOST = 0.5
# Share of the squared distances that is rounding.
_ROUNDING = 1e-12


def without_far_rows(X: Any, sample_weight: Tensor | None) -> tuple[Any, Tensor | None]:
    """Return rows and weights without the few that make up most of the variance of X.

    X itself comes back where there are none. Of rows that have yet to be read, some at equal
    distances stand for all.
    """
    part = looked_at(X, sample_weight)
    far, _ = far_rows(*part)
    return _without(*part, far) if len(far) else (X, sample_weight)


def far_rows(X: Tensor | SparseRows, sample_weight: Tensor | None) -> tuple[Tensor, float]:
    """Return the numbers of the rows that are few and far from all others, on the CPU, and their
    share of the squared distances from the mean: none, and 0, where that is not most of it."""
    squares = _squared_distances(X, sample_weight)
    weighted = squares if sample_weight is None else squares * sample_weight.cpu().double()
    far = (squares > _FAR**2 * squares.median()).nonzero().flatten()
    share = float(weighted[far].sum() / (weighted.sum() or 1.0))
    if share > _MOST and len(far) <= max(1, _FEW * len(squares)):
        near = _squared_distances(*_without(X, sample_weight, far))
        if near.median() > _ROUNDING * squares.median():  # else there is nothing but the far ones
            return far, share
    return far[:0], 0.0


def looked_at(X: Any, sample_weight: Tensor | None) -> tuple[Any, Tensor | None]:
    """Return the rows that are looked at, a tensor or sparse, and their weights."""
    if isinstance(X, SparseRows | Tensor):
        return X, sample_weight
    rows = slice(None) if X.in_memory else few_rows(X)
    return X[rows], None if sample_weight is None else sample_weight[rows]


def _without(X: Any, sample_weight: Tensor | None, far: Tensor) -> tuple[Any, Tensor | None]:
    is_near = torch.ones(len(X), dtype=torch.bool)
    is_near[far] = False
    near = is_near.nonzero().flatten()
    rest = X[near.to(X.device)] if isinstance(X, Tensor) else X.take(near)
    return rest, None if sample_weight is None else sample_weight[near.to(sample_weight.device)]


def _squared_distances(X: Any, sample_weight: Tensor | None) -> Tensor:
    """Return the squared distances of rows from their mean, float64 on the CPU, up to a factor."""
    if isinstance(X, SparseRows):
        return X.squared_distances(sample_weight)
    ends = torch.stack(X.aminmax()).abs()
    if ends.isnan().any():  # where entries are missing
        centered = center_of_observed(X / (X.nan_to_num(0.0).abs().max() or 1.0), sample_weight)[1]
    else:
        X = X / (ends.max() or 1.0)
        centered = X.sub_(mean_of_rows(X, sample_weight))
    return torch.linalg.vector_norm(centered, dim=1).cpu().double().square()
