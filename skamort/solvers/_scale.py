"""Sizes in which nothing over- or underflows: powers of two, by which division is exact."""

from __future__ import annotations

import torch
from torch import Tensor

_HARMLESS_EXPONENT = 16


def magnitude(values: Tensor) -> Tensor:
    """Largest absolute value of each row, without a copy of all of them."""
    return torch.maximum(values.amax(dim=1), -values.amin(dim=1))


def power_of_two(values: Tensor) -> Tensor:
    """The power of two just above each value; 1 for 0 and where the size does no harm.

    Dividing by it is exact, and tames 1e-30 and 1e30.
    """
    _, exponent = torch.frexp(values)
    limit = 126 if values.dtype == torch.float32 else 1022
    exponent = exponent.clamp(-limit, limit).to(values.dtype)
    harmless = (values == 0) | (exponent.abs() < _HARMLESS_EXPONENT)
    return torch.where(harmless, 1, torch.exp2(exponent))
