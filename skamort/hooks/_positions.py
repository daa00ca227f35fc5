"""Which positions of the texts count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._validation import check_integer

Mask = Callable[[Any], Any]


def kept_positions(
    shape: tuple[int, ...] | torch.Size, batch: Any, mask: Mask | None, skip: int
) -> Tensor:
    """Return a bool for each row of activations of this shape, the features not counted.

    Parameters
    ----------
    shape : tuple of int
        (n_texts, n_positions) or (n_texts,).
    batch : object
        What the model was given. An `attention_mask` in it leaves out padding.
    mask : callable or None
        Returns, for a batch, a bool for each row.
    skip : int
        First attended positions of each text that are left out, where there are positions.
    """
    check_integer(skip, "skip", 0)
    given = batch.get("attention_mask") if hasattr(batch, "get") else None
    attended = torch.ones(shape, dtype=torch.bool)
    if len(shape) == 2:
        if given is not None:
            attended = _checked(given, shape, "attention_mask")
        attended &= attended.cumsum(1) > skip
    return attended if mask is None else attended & _checked(mask(batch), shape, "mask")


def _checked(mask: Any, shape: tuple[int, ...] | torch.Size, name: str) -> Tensor:
    mask = torch.as_tensor(mask, device="cpu").bool()
    if mask.shape != torch.Size(shape):
        raise ValueError(
            f"{name} must have an entry for each position, {tuple(shape)}, got shape "
            f"{tuple(mask.shape)}."
        )
    return mask
