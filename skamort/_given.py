"""What came instead of what was asked for, in words; and what holds no numbers, refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from io import IOBase
from numbers import Number
from os import PathLike
from pathlib import PurePath
from reprlib import repr as short_repr
from typing import Any

from scipy import sparse

_FILES = (str, bytes, PathLike, IOBase)
_NO_ARRAYS = (Mapping, Set, Iterator)
_HOLDERS = ("__array__", "__array_interface__", "__getitem__")


def is_estimator(value: Any) -> bool:
    """Whether a value is an estimator, not its class."""
    return hasattr(value, "get_params") and not isinstance(value, type)


def described(value: Any) -> str:
    """Return what a value is, in few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if is_estimator(value):
        return f"the estimator {type(value).__name__}"
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return short_repr(value)


def check_given(is_right: Any, value: Any, name: str, what: str) -> None:
    """Refuse a value that is not right, by what it must be."""
    if not is_right:
        raise TypeError(f"{name} must be {what}, got {described(value)}.")


def is_mistaken(value: Any) -> bool:
    """Whether a value in place of an array says where a file is, or is a dict or a set of some."""
    named = isinstance(value, str) and PurePath(value).suffix
    is_other = isinstance(value, PathLike | Mapping | Set) and not sparse.issparse(value)
    return is_other or bool(named)


def check_numbers_given(values: Any, name: str) -> None:
    """Refuse what holds no numbers in whatever form, such as an estimator where its atoms belong.

    Raises
    ------
    TypeError
        If it is such a thing, or a list of these.
    """
    if sparse.issparse(values):  # one of them is a dict
        return
    first = values
    while isinstance(first, list | tuple) and first:
        first = first[0]
    holds = isinstance(values, Number) or any(hasattr(values, name) for name in _HOLDERS)
    is_other = callable(first) or is_estimator(first) or isinstance(first, _NO_ARRAYS)
    is_file = isinstance(values, _FILES) or isinstance(first, PathLike)
    if is_other or is_file or not holds:
        raise TypeError(f"{name} must hold numbers, got {described(first)}; {_remedy(first)}.")


def _remedy(value: Any) -> str:
    if is_estimator(value):
        return "pass its components_, or transform(X)"
    if isinstance(value, _FILES):
        return "pass an array, of a file np.load(path), with mmap_mode='r' where it is large"
    return "pass an array"
