"""Entries that are missing, which are NaN in data.

A dictionary is learned in spite of them by filling them in with the reconstruction that it has
given so far, and updating it for the data that are then complete. Over all entries the error of

    || m * (X - Z D) ||^2  <=  || m * (X - Z D) ||^2 + || (1 - m) * (Z D_before - Z D) ||^2

is above that of the observed ones and touches it at D = D_before: what lowers it lowers both, so no
update makes the objective rise (majorization-minimization; Dempster, Laird and Rubin, 1977).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._sample_weight import mean_of_rows


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
