"""Entries that are missing, which are NaN in data.

A dictionary is learned in spite of them by filling them in with the reconstruction that it has
given so far, and updating it for the data that are then complete. Over all entries the error of

    || m * (X - Z D) ||^2  <=  || m * (X - Z D) ||^2 + || (1 - m) * (Z D_before - Z D) ||^2

is above that of the observed ones and touches it at D = D_before: what lowers it lowers both, so no
update makes the objective rise (majorization-minimization; Dempster, Laird and Rubin, 1977).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .._rows import Rows
from .._sample_weight import mean_of_rows
from ._parts import warn


def check_observed(owner: Any, X: Rows) -> None:
    """Refuse data without an entry."""
    if unobserved(X).all():
        raise ValueError(
            f"{type(owner).__name__}: all entries of X are missing, NaN as missing_values says; "
            "pass rows of which something was observed."
        )


def warn_of_unobserved(owner: Any, X: Rows) -> None:
    """Warn of columns of which no dictionary learns anything."""
    columns = unobserved(X).nonzero().flatten().tolist()
    if columns:
        shown = ", ".join(map(str, columns[:5])) + ", ..." * (len(columns) > 5)
        warn(
            f"{type(owner).__name__}: {len(columns)} column(s) of X have no observed entry, number "
            f"{shown}: atoms and what is filled in are 0 there, or as they were given; leave "
            "them out.",
            UserWarning,
            stacklevel=4,
        )


def unobserved(X: Rows) -> Tensor:
    """Return which columns are NaN in all rows, of which no more are read than it takes."""
    missing = torch.ones(X.shape[1], dtype=torch.bool, device=X.device)
    for rows in X.blocks():
        missing = missing & X[rows].isnan().all(0)
        if not missing.any():
            break
    return missing


def without_unobserved(atoms: Tensor, X: Rows) -> Tensor:
    """Atoms of unit norm, 0 in the columns that are not observed."""
    missing = unobserved(X)
    if not missing.any():
        return atoms
    return nn.functional.normalize(torch.where(missing, 0, atoms), dim=1)


def center_of_observed(X: Tensor, sample_weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the weighted mean of the rows of X, and X less it, both 0 where all is missing."""
    observed = (~X.isnan()).to(X)
    share = mean_of_rows(observed, sample_weight)
    mean = mean_of_rows(fill_in(X, 0.0), sample_weight) / torch.where(share > 0, share, 1)
    return mean, fill_in(X - mean, 0.0)


def fill_in(X: Tensor, values: Tensor | float) -> Tensor:
    """X with values in place of NaN."""
    missing = X.isnan()
    return torch.where(missing, values, X) if missing.any() else X


def complete(X: Tensor, codes: Tensor, atoms: Tensor) -> Tensor:
    """X with the reconstruction from its codes in place of NaN."""
    return fill_in(X, codes @ atoms) if X.isnan().any() else X
