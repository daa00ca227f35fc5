"""Numbers of the dense matrix products of a training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def products_in(dtype: torch.dtype | str | None, device: torch.device) -> AbstractContextManager:
    """Return a context in which products on a device are taken in a dtype, or in "tf32"; None: in
    that of their factors."""
    if dtype is None:
        return nullcontext()
    if isinstance(dtype, str):  # "tf32"
        return _tf32() if device.type == "cuda" else nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextmanager
def _tf32() -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    # Since torch 2.9, which refuses to tell by the old name what was set by the new one.
    is_new = hasattr(matmul, "fp32_precision")
    name, on = ("fp32_precision", "tf32") if is_new else ("allow_tf32", True)
    before = getattr(matmul, name)
    setattr(matmul, name, on)
    try:
        yield
    finally:
        setattr(matmul, name, before)
