"""The unit of data: a power of two near their size, by which training divides them.

Squares of float32 numbers beyond 1e19 overflow and those below 1e-23 vanish. Data of ordinary size
have the unit 1 and stay as they are; others are divided, which by a power of two is exact.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# Data whose root mean square lies within 2^-16 and 2^16 are as well served by the unit 1.
_ORDINARY = 16
# Rows from which it is estimated.
_ROWS = 4096
# Exponents that a type's numbers can be divided by, and the squares of which are floats.
_MOST = {torch.float32: 120, torch.float64: 500}


def unit_of(X: Any, centered: bool) -> float:
    """Return the unit of data (n_samples, n_features), to be centered or not.

    Data are a tensor, or rows that know their mean and size without being made dense.

    Raises
    ------
    ValueError
        Data of a size that has no square.
    """
    if isinstance(X, Tensor):
        # The sum of a mean may be beyond float32.
        most, X = _MOST[X.dtype], X[:: -(-len(X) // _ROWS)].double()
    else:
        most = _MOST[X.dtype]
    size = root_mean_square(X - X.mean(0) if centered else X)
    exponent = round(math.log2(size))
    if abs(exponent) > _MOST[torch.float64]:
        raise ValueError(
            f"X is of size {size:.3g}, the squares of which no float64 holds; divide X by its size."
        )
    if abs(exponent) <= _ORDINARY:
        return 1.0
    return 2.0 ** max(-most, min(exponent, most))


def root_mean_square(X: Any) -> float:
    """Return the root mean square of numbers of any size; 1 where it is 0."""
    if not isinstance(X, Tensor):
        return X.root_mean_square()
    peak = X.abs().max().item()
    if peak == 0:
        return 1.0
    return peak * (X.double() / peak).square_().mean().sqrt().item()


def times(values: Any, factor: float) -> Any:
    """Return a tensor, an array, a sparse matrix or rows times a power of two; itself where that is
    1."""
    return values if factor == 1 else values * factor


def factor_for(parameter: Tensor, factor: Tensor | float) -> Tensor:
    """Return a factor as a tensor of the dtype and on the device of what it is to multiply, of
    which it has one number, or one for each row.

    Raises
    ------
    ValueError
        If it has another number of them.
    """
    factor = torch.as_tensor(factor, dtype=parameter.dtype, device=parameter.device)
    if factor.ndim and parameter.ndim and factor.numel() not in (1, len(parameter)):
        raise ValueError(
            f"a scale must be a number or one for each of {len(parameter)} latents, got shape "
            f"{tuple(factor.shape)}."
        )
    return factor
