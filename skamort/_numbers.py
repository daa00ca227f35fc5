"""Numbers out of what users hold them in: frames of any library, arrays, tensors, lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import check_array
from torch import Tensor

from ._given import check_numbers_given

_NUMERIC = "biuf"  # NumPy's kinds: booleans, integers, floats
_MASKED = _NUMERIC + "O"  # what can be NaN
_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)
_RAGGED = ("inhomogeneous", "must have the same shape")  # rows, by errors of NumPy
_LEFT_OUT = (
    ", or leave them out by missing_values=np.nan of GradSparseCoder and ITOCoder, or mask= of the "
    "solvers"
)
# What is not numbers, by NumPy's kinds.
_HELD = {"m": "durations", "M": "dates", "V": "records"}


def is_frame(X: Any) -> bool:
    """Whether X is a table of named columns in memory: of pandas, polars, pyarrow or the like."""
    return not isinstance(X, Tensor) and hasattr(X, "shape") and hasattr(X, "columns")


def column_names(frame: Any) -> list:
    """Return the names of a frame's columns, as pandas and polars or as pyarrow tells them."""
    return list(getattr(frame, "column_names", frame.columns))


def as_array(values: Any) -> np.ndarray:
    """Return an array of the same float type; of less precision that NumPy lacks, float32; NaN
    where an entry, or one of a list of rows, is masked."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        is_known = values.dtype in _NUMPY_FLOATS or not values.is_floating_point()
        values = values if is_known else values.float()
    values = _as_one_mask(values)
    if np.ma.is_masked(values) and values.dtype.kind in _MASKED:
        kind = values.dtype if values.dtype.kind in "fO" else np.float64
        return np.ma.filled(values.astype(kind), np.nan)
    return np.asarray(values)


def has_masked(values: Any) -> bool:
    """Whether an entry of a masked array, or of one in a list of rows, is masked."""
    return bool(np.ma.is_masked(_as_one_mask(values)))


def _as_one_mask(values: Any) -> Any:
    """Rows, some of which are masked arrays, as one, for of these NumPy drops the masks."""
    if isinstance(values, Sequence) and any(isinstance(v, np.ma.MaskedArray) for v in values):
        return np.ma.stack(list(values))
    return values


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
    check_dense(X, f"{owner}: the {name}")
    if X.is_complex():
        return check_real(as_array(X[:1]), owner, name)  # type: ignore[return-value]  # it raises
    if X.dtype in (torch.float32, torch.float64):
        return X.detach()
    return X.detach().float() if X.is_floating_point() else X.double()


def as_numbers(X: Any, owner: str, name: str, *, allow_nan: bool = False) -> np.ndarray:
    """Return X as an array that holds real numbers, NaN where an entry of a frame is missing.

    Parameters
    ----------
    X : array-like, or frame as `is_frame` knows it
        What a user gave.
    owner, name : str
        The estimator and what it calls X, for errors.
    allow_nan : bool, default=False
        Whether entries of a masked array may be masked, and are NaN then.

    Raises
    ------
    ValueError
        If there are texts, dates or complex numbers in it, or it has yet to be computed.
    TypeError
        If it holds nothing of the kind of numbers.
    """
    return _numbers_in(X, f"{owner}: ", f"the {name}", allow_masked=allow_nan)


def _numbers_in(X: Any, owner: str, name: str, *, allow_masked: bool) -> np.ndarray:
    if is_frame(X):
        columns = [
            _check_numeric(_as_column(values), f"{owner}column {head!r} of {name}")
            for head, values in _columns(X)
        ]
        return np.column_stack(columns) if columns else np.empty(X.shape)
    if hasattr(X, "collect"):
        raise ValueError(
            f"{owner}{name} are a {type(X).__name__} that has yet to be computed; call "
            ".collect() first."
        )
    if sparse.issparse(X):
        X = X.toarray()
    check_numbers_given(X, owner + name)
    if isinstance(X, Tensor):
        check_dense(X, owner + name)
    try:
        if not allow_masked and has_masked(X):
            is_data = name in ("the data", "X")
            raise ValueError(
                f"{owner}{name} must be given whole, got masked entries; fill them, as .filled(0) "
                f"does{_LEFT_OUT * is_data}."
            )
        return _check_kind(as_array(X), owner + name)
    except ValueError as error:
        if not any(told in str(error) for told in _RAGGED):
            raise
        raise ValueError(f"{owner}{name} must have rows of one length: {error}") from error


def check_dense(X: Tensor, name: str) -> None:
    """Refuse a tensor whose numbers do not lie in memory one by one.

    Raises
    ------
    TypeError
        If it is sparse, nested, quantized or without data.
    """
    if X.layout != torch.strided or X.is_nested or X.is_quantized or X.is_meta:
        raise TypeError(
            f"{name} must be a dense tensor, got one of {X.dtype} and {X.layout} on {X.device}; "
            "pass a dense one, or a SciPy CSR array."
        )


def check_array_given(values: Any, name: str, **rules: Any) -> Any:
    """Return a finite matrix of float32 or float64, by the rules of scikit-learn's `check_array`,
    whose errors tell the name."""
    if _is_checked(values):
        return values
    if sparse.issparse(values):
        _check_kind(values, name)
    else:
        values = _numbers_in(values, "", name, allow_masked=False)
    check_is_matrix(values.shape, name)
    try:
        rules |= {"dtype": [np.float64, np.float32], "input_name": name}
        checked = check_array(values, ensure_all_finite=False, **rules)
    except (TypeError, ValueError) as error:
        if name in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from error
    stored = checked.data if sparse.issparse(checked) else checked
    if not np.isfinite(stored).all():
        raise ValueError(f"{name} contains NaN or infinity; remove or impute these values.")
    return checked


def check_is_matrix(shape: tuple[int, ...], name: str) -> None:
    """Refuse what has not rows and columns.

    Raises
    ------
    ValueError
        If these are not two dimensions, or there is none of them.
    """
    if len(shape) == 2 and 0 not in shape:
        return
    remedy = "pass one that is not empty"
    if len(shape) != 2:
        remedy = "give it two dimensions, by .reshape(n_rows, n_columns)"
    if len(shape) == 1:
        remedy = "give it two dimensions, by [:, None] where it is a column, [None] where a row"
    raise ValueError(
        f"{name} must be a matrix with at least one row and one column, got shape {shape}; "
        f"{remedy}."
    )


def _is_checked(values: Any) -> bool:
    """Whether `check_array` would return the array as it is, for which it takes 70 us."""
    if type(values) is not np.ndarray or values.dtype not in (np.float64, np.float32):
        return False
    with np.errstate(all="ignore"):  # a sum too large is left to `check_array`
        is_finite = bool(np.isfinite(values.sum()))
    return is_finite and values.ndim == 2 and values.size > 0 and values.flags.c_contiguous


def check_real(values: np.ndarray, owner: str, name: str) -> np.ndarray:
    """Return an array that holds real numbers; objects are left to be converted, but for texts.

    Raises
    ------
    ValueError
        If there are texts, dates or complex numbers in it.
    """
    return _check_kind(values, f"{owner}: the {name}")


def _check_kind(values: np.ndarray, name: str) -> np.ndarray:
    kind = values.dtype.kind
    if kind in _NUMERIC or (kind == "O" and not _has_text(values)):
        return values
    if kind == "c":
        raise ValueError(
            f"{name} must be real, got {values.dtype}. Complex data not supported: take the real "
            "and the imaginary part as features of their own."
        )
    held = _HELD.get(kind, "texts")
    raise ValueError(f"{name} must hold numbers, got {held}; encode or drop them.")


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


def _check_numeric(column: np.ndarray, name: str) -> np.ndarray:
    if column.dtype.kind not in _NUMERIC or column.ndim != 1:
        held = "texts" if _has_text(column) else f"{column.dtype} of {column.ndim} dimension(s)"
        raise ValueError(f"{name} must hold numbers, got {held}; encode or drop it.")
    return column


def _has_text(values: np.ndarray) -> bool:
    if values.dtype != object:
        return values.dtype.kind in "SUT"
    return any(isinstance(value, str | bytes) for value in values.flat)
