"""Tensors of constants, which a GPU keeps: to make one anew would be a launch more."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor


def kept_on_gpu(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorate what makes a tensor of numbers and a `device`: a GPU keeps the last ones that were
    made, which are not to be changed.

    What a CUDA graph uses it makes itself, for it would not know that others were let go.
    """

    def get(*args: Any, device: torch.device, **kwargs: Any) -> Tensor:
        is_kept = device.type == "cuda" and not torch.cuda.is_current_stream_capturing()
        with torch.inference_mode(False):  # for they are used outside of it too
            made = partial(_kept, make) if is_kept else make
            return made(*args, device=device, **kwargs)

    return get


@lru_cache(maxsize=32)
def _kept(make: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    return make(*args, **kwargs)


@kept_on_gpu
def numbers_below(
    end: int, step: int = 1, *, device: torch.device, dtype: torch.dtype = torch.int64
) -> Tensor:
    """Return 0, step, ... below `end`."""
    return torch.arange(0, end, step, device=device, dtype=dtype)


@kept_on_gpu
def _full(
    value: float, shape: tuple[int, ...], *, device: torch.device, dtype: torch.dtype
) -> Tensor:
    return torch.full(shape, value, device=device, dtype=dtype)


def constant(value: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return a tensor of equal numbers of the dtype and on the device of another."""
    return _full(value, shape, device=like.device, dtype=like.dtype)
