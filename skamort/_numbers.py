"""Numbers out of what users hold them in: frames of any library, arrays, tensors, lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array
from torch import Tensor

from ._given import check_numbers_given

_NUMERIC = "biuf"  # NumPy's kinds: booleans, integers, floats


def is_frame(X: Any) -> bool:
    """Whether X is a table of named columns in memory: of pandas, polars, pyarrow or the like."""
    return hasattr(X, "shape") and hasattr(X, "columns")


def column_names(frame: Any) -> list:
    """Return the names of a frame's columns, as pandas and polars or as pyarrow tells them."""
    return list(getattr(frame, "column_names", frame.columns))


def as_array(values: Any) -> np.ndarray:
    """Return an array of the same float type; of half precision that NumPy lacks, float32."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    return np.asarray(values)


def is_on_gpu(X: Any) -> bool:
    """Whether X is a tensor that a GPU holds."""
    return isinstance(X, Tensor) and X.is_cuda


def as_floats(X: Tensor, owner: str, name: str) -> Tensor:
    """Return a tensor of float32 or float64 where X is: half precision as the former, all else that
    is not one of them as the latter.

    Raises
    ------
    ValueError
        If they are complex numbers.
    """
    if X.is_complex():
        return check_real(as_array(X[:1]), owner, name)  # type: ignore[return-value]  # it raises
    if X.dtype in (torch.float32, torch.float64):
        return X.detach()
    return X.detach().float() if X.is_floating_point() else X.double()


def as_numbers(X: Any, owner: str, name: str) -> np.ndarray:
    """Return X as an array that holds real numbers, NaN where a frame has an entry missing.

    Parameters
    ----------
    X : array-like, or frame as `is_frame` knows it
        What a user gave.
    owner, name : str
        The estimator and what it calls X, for errors.

    Raises
    ------
    ValueError
        If there are texts, dates or complex numbers in it, or it has yet to be computed.
    """
    if is_frame(X):
        columns = [
            _check_numeric(_as_column(values), owner, f"column {head!r} of the {name}")
            for head, values in _columns(X)
        ]
        return np.column_stack(columns) if columns else np.empty(X.shape)
    if hasattr(X, "collect"):
        raise ValueError(
            f"{owner}: the {name} are a {type(X).__name__} that has yet to be computed; call "
            ".collect() first."
        )
    if not isinstance(X, str):  # which is said to be text
        check_numbers_given(X, f"{owner}: the {name}")
    return check_real(as_array(X), owner, name)


def check_array_given(values: Any, name: str, **rules: Any) -> Any:
    """Return a finite matrix of float32 or float64, by the rules of scikit-learn's `check_array`,
    whose errors tell the name."""
    check_numbers_given(values, name)
    values = as_array(values) if isinstance(values, Tensor) else values
    try:
        return check_array(values, dtype=[np.float64, np.float32], input_name=name, **rules)
    except (TypeError, ValueError) as error:
        if name in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from error


def check_real(values: np.ndarray, owner: str, name: str) -> np.ndarray:
    """Return an array that holds real numbers; objects are left to be converted, but for texts.

    Raises
    ------
    ValueError
        If there are texts, dates or complex numbers in it.
    """
    if values.dtype.kind in _NUMERIC or (values.dtype == object and not _has_text(values)):
        return values
    if values.dtype.kind == "c":
        raise ValueError(
            f"{owner}: Complex data not supported, and the {name} are {values.dtype}; encode the "
            "real and the imaginary part as features of their own."
        )
    held = "dates" if values.dtype.kind in "mM" else "texts"
    raise ValueError(f"{owner}: the {name} must hold numbers, got {held}; encode or drop them.")


def _columns(frame: Any) -> Iterable[tuple[Any, Any]]:
    """Return names and values."""
    if hasattr(frame, "items"):  # pandas
        return frame.items()
    columns = frame.get_columns() if hasattr(frame, "get_columns") else frame.columns
    return zip(column_names(frame), columns, strict=True)


def _as_column(values: Any) -> np.ndarray:
    """Return a column as an array; objects that stand for numbers as these, missing ones as NaN."""
    column = np.asarray(values)
    if column.dtype != object or _has_text(column):
        return column
    try:
        if hasattr(values, "isna"):  # pandas, whose NA no float takes
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return column.astype(np.float64)
    except (TypeError, ValueError):
        return column


def _check_numeric(column: np.ndarray, owner: str, name: str) -> np.ndarray:
    if column.dtype.kind not in _NUMERIC or column.ndim != 1:
        held = "texts" if _has_text(column) else f"{column.dtype} of {column.ndim} dimension(s)"
        raise ValueError(f"{owner}: {name} must hold numbers, got {held}; encode or drop it.")
    return column


def _has_text(values: np.ndarray) -> bool:
    if values.dtype != object:
        return values.dtype.kind in "SUT"
    return any(isinstance(value, str | bytes) for value in values.flat)
