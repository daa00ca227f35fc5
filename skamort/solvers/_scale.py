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


def rescaled(codes: Tensor, size: Tensor, unit: Tensor) -> Tensor:
    """Codes of samples that were divided by ``size``, with atoms that were divided by ``unit``.

    Raises
    ------
    ValueError
        If codes become infinite, or all of a sample's vanish.
    """
    kind, active = torch.finfo(codes.dtype), codes != 0
    grown = torch.where(active, codes * (size[:, None] / unit), 0)
    # Samples that are themselves next to nothing may vanish.
    had_codes = active.any(dim=1) & (size > kind.tiny / kind.eps)
    if not grown.isfinite().all() or not grown.any(dim=1)[had_codes].all():
        raise ValueError(
            f"The codes have sizes that {kind.dtype} does not hold, {kind.tiny:.0e} to "
            f"{kind.max:.0e}: X and the dictionary differ too much in size; scale one of them, or "
            "pass float64."
        )
    return grown
