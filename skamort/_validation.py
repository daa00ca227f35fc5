"""What comes from users becomes tensors here, or a clear error before any work."""

from __future__ import annotations

import os
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ._numbers import check_array_given, check_dense, check_is_matrix

if TYPE_CHECKING:
    from ._rows import Rows

_DTYPES = (torch.float64, torch.float32)


def as_tensor(
    values: Any, name: str, *, like: Tensor | Rows | None = None, check: bool = True
) -> Tensor:
    """A finite float32 or float64 matrix as a tensor, of the dtype and device of ``like``."""
    if isinstance(values, Tensor):
        check_dense(values, name)
        tensor = values.detach()
        if not tensor.is_floating_point() and not tensor.is_complex():
            tensor = tensor.to(torch.get_default_dtype())
        if tensor.dtype not in _DTYPES:
            raise TypeError(
                f"{name} must be float32 or float64, got {tensor.dtype}; convert it, for "
                "example with .float()."
            )
        if check:
            check_is_matrix(tuple(tensor.shape), name)
        if check and not tensor.isfinite().all():
            raise ValueError(f"{name} contains NaN or infinity; remove or impute these values.")
    else:
        if check:
            values = check_array_given(values, name, order="C")
        values = np.ascontiguousarray(values)
        # torch shares memory with the array and warns where it is read-only; no solver writes to
        # its input.
        tensor = torch.from_numpy(values if values.flags.writeable else values.copy())
    return tensor if like is None else tensor.to(dtype=like.dtype, device=like.device)


def check_dictionary(dictionary: Any, X: Tensor | Rows, *, check: bool = True) -> Tensor:
    """The dictionary as a tensor like ``X``, without zero atoms, of the width of ``X``."""
    atoms = as_tensor(dictionary, "dictionary", like=X, check=check)
    if atoms.shape[1] != X.shape[1]:
        raise ValueError(
            f"dictionary has shape {tuple(atoms.shape)}, but X has {X.shape[1]} features; "
            "atoms are rows, as wide as X."
        )
    if check:
        is_zero = (atoms.amax(dim=1) == 0) & (atoms.amin(dim=1) == 0)
        zero = is_zero.nonzero().flatten().tolist()
        if zero:
            shown = ", ".join(map(str, zero[:5])) + (", ..." if len(zero) > 5 else "")
            raise ValueError(
                f"dictionary has {len(zero)} zero atom(s), at index {shown}; drop or replace them."
            )
    return atoms


def check_codes(
    codes: Any, name: str, X: Tensor | Rows, dictionary: Tensor, *, check: bool = True
) -> Tensor:
    """Codes of the right shape as a tensor like ``X``."""
    tensor = as_tensor(codes, name, like=X, check=check)
    expected = (len(X), len(dictionary))
    if tuple(tensor.shape) != expected:
        raise ValueError(
            f"{name} must have shape (n_samples, n_components) = {expected}, got "
            f"{tuple(tensor.shape)}; give one row of codes a row of X, with one code an atom."
        )
    return tensor


def check_real(value: Any, name: str, minimum: float = 0.0) -> float:
    """A finite number at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise TypeError(f"{name} must be a finite number, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be >= {minimum:g}, got {value!r}.")
    return float(value)


def check_integer(value: Any, name: str, minimum: int) -> int:
    """An integer at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be >= {minimum}, got {value!r}.")
    return int(value)


def as_path(path: Any, name: str) -> Path:
    """Return a path, the argument `name` of which is said where it is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name} must be a str or a path, got {path!r}.")
    return Path(path)
