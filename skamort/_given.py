"""What came instead of what was asked for, in words; and what holds no numbers, refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from os import PathLike
from reprlib import repr as short_repr
from typing import Any

_NO_ARRAYS = (Mapping, Set, Iterator, PathLike)


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


def check_numbers_given(values: Any, name: str) -> None:
    """Refuse what holds no numbers in whatever form, such as an estimator where its atoms belong.

    Raises
    ------
    TypeError
        If it is such a thing, or a list of these.
    """
    first = values
    while isinstance(first, list | tuple) and first:
        first = first[0]
    is_scalar = values is None or isinstance(values, str | bytes)
    if is_scalar or callable(first) or is_estimator(first) or isinstance(first, _NO_ARRAYS):
        remedy = "components_, or transform(X)" if is_estimator(first) else "an array"
        raise TypeError(
            f"{name} must hold numbers, got {described(first)}; pass {'its ' * is_estimator(first)}"
            f"{remedy}."
        )
