"""Weights of samples, as scikit-learn has them: an integer weight stands for as many equal rows."""

from __future__ import annotations

from collections.abc import Sized
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._numbers import as_numbers
from ._validation import as_tensor


def check_sample_weight(sample_weight: Any, n_samples: int, owner: str) -> np.ndarray | None:
    """Return weights as an array of float64 of shape (n_samples,); None stays None.

    Raises
    ------
    ValueError
        If one is negative or not finite, all are zero, or there is not one for each sample.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, sample_weight)
    name = "sample_weight"
    weights = np.asarray(as_numbers(sample_weight, owner, name), dtype=np.float64)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"{owner}: sample_weight must have shape (n_samples,) = ({n_samples},), got "
            f"{weights.shape}; give one weight a row of X."
        )
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() == 0:
        raise ValueError(
            f"{owner}: sample_weight must be finite, >= 0 and not all zero, got values from "
            f"{weights.min():g} to {weights.max():g}; leave out rows that do not count."
        )
    return weights


def scaled_to_mean_one(weights: np.ndarray | None) -> np.ndarray | None:
    """Return weights whose mean is 1, since only their ratios matter to a whole fit."""
    if weights is None:
        return None
    weights = weights / weights.max()  # or the sum might overflow
    return weights / weights.mean()


def weights_to(
    weights: np.ndarray | None, *, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """Return weights as a tensor of this type on this device; None stays None."""
    if weights is None:
        return None
    return as_tensor(weights, "sample_weight", check=False).to(dtype=dtype, device=device)


def size_of(centered: Any, sample_weight: Tensor | None) -> float:
    """Return the root mean square of centered data; 1 where it is 0."""
    if not isinstance(centered, Tensor):  # rows that are never made dense as a whole
        return centered.root_mean_square(sample_weight)
    squares = centered.square()
    if sample_weight is not None:
        squares = mean_of_rows(squares, sample_weight)
    return squares.mean().sqrt().item() or 1.0


def count_of(rows: Sized, sample_weight: Tensor | None = None) -> float:
    """Return the number of rows, those with weights counted as so many."""
    return len(rows) if sample_weight is None else float(sample_weight.sum())


def mean_of_rows(values: Any, sample_weight: Tensor | None) -> Tensor:
    """Return the weighted mean of the rows of a tensor of shape (n_samples, ...)."""
    if not isinstance(values, Tensor):
        return values.mean(0, sample_weight)
    if sample_weight is None:
        return values.mean(0)
    return torch.tensordot(sample_weight, values, dims=1) / sample_weight.sum()
