"""Sizes in which nothing over- or underflows: powers of four, by which division is exact, and so is
that by their roots."""

from __future__ import annotations

import torch
from torch import Tensor

# Sizes from the first to below the second do no harm.
_SMALL, _LARGE = 2.0**-16, 2.0**14


def magnitude(values: Tensor) -> Tensor:
    """Largest absolute value of each row, without a copy of all of them."""
    return torch.maximum(values.amax(dim=1), -values.amin(dim=1))


def has_codes(codes: Tensor) -> bool:
    """Whether any code is not 0, at the speed of memory: `torch.any` takes five times as long."""
    return bool(magnitude(codes).any())


def row_norms(values: Tensor) -> Tensor:
    """Norm of each row, of any size that the dtype holds; 1 of zeros."""
    size = power_of_four(magnitude(values))
    norms = (values / size[:, None]).norm(dim=1) * size
    return torch.where(norms > 0, norms, 1).clamp(max=torch.finfo(values.dtype).max)


def power_of_four(values: Tensor) -> Tensor:
    """The power of four just above each value; 1 for 0 and where the size does no harm.

    Dividing by it is exact, and tames 1e-30 and 1e30.
    """
    harmless = (values >= _SMALL) & (values < _LARGE)
    if values.device.type == "cpu" and harmless.all():  # to look would make a GPU wait
        return torch.ones_like(values)
    _, exponent = torch.frexp(values)
    limit = 126 if values.dtype == torch.float32 else 1022
    exponent = (exponent + exponent % 2).clamp(-limit, limit).to(values.dtype)
    return torch.where(harmless, 1, torch.exp2(exponent))


def times_ratio(values: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """``values * up / down`` for powers of four, each of which may be all that the dtype holds."""
    root = up.sqrt() / down.sqrt()
    return values * root * root


def check_range(what: str, scaled: Tensor, rescaled: Tensor, size: Tensor, underflow: bool) -> None:
    """Refuse what the dtype cannot hold in the user's units.

    Underflow counts where it comes from the dictionary. Data that are themselves next to nothing
    may vanish.
    """
    dtype = torch.finfo(rescaled.dtype)
    largest = magnitude(rescaled)
    failed = ~(largest <= dtype.max)
    if underflow:
        failed |= (largest < dtype.tiny) & scaled.any(dim=1) & (size > dtype.tiny / dtype.eps)
    if failed.any():
        name = str(rescaled.dtype).removeprefix("torch.")
        advice = "pass float64, or bring" if dtype.bits == 32 else "bring"
        raise ValueError(
            f"{what} of {int(failed.sum())} of {len(scaled)} samples are beyond what "
            f"{name} holds, {dtype.tiny:.1e} to {dtype.max:.1e}; {advice} X and the dictionary to "
            "similar scales."
        )
