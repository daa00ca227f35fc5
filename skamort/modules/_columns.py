"""The width of what modules are called with, refused in words where it is wrong."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._given import described


def check_columns(X: Any, width: int, owner: str, name: str = "X") -> None:
    """Refuse what is no tensor of rows of this width.

    Raises
    ------
    TypeError
        If it is no tensor.
    ValueError
        If its last dimension is another.
    """
    if not isinstance(X, Tensor):
        raise TypeError(f"{owner}: {name} must be a tensor, got {described(X)}; convert it.")
    if X.ndim == 0 or X.shape[-1] != width:
        raise ValueError(
            f"{owner}: {name} must have {width} columns, as it was made for, got shape "
            f"{tuple(X.shape)}."
        )
