"""Numbers of the dense matrix products of a training step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from .._device import tf32_products


def products_in(dtype: torch.dtype | str | None, device: torch.device) -> AbstractContextManager:
    """Return a context in which products on a device are taken in a dtype, or in "tf32"; None: in
    that of their factors."""
    if dtype is None:
        return nullcontext()
    if isinstance(dtype, str):  # "tf32"
        return tf32_products() if device.type == "cuda" else nullcontext()
    return torch.autocast(device.type, dtype=dtype)
