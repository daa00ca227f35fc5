"""Fits that the user stops: they keep what was learned, and tell those around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ._parts import warn

_NOTED: ContextVar[list[str] | None] = ContextVar("noted", default=None)


def warn_interrupted(owner: Any, moment: str) -> None:
    """Say that the user stopped the fit of the estimator `owner`."""
    told = f"{type(owner).__name__}: the fit was interrupted in {moment}"
    noted = _NOTED.get()
    if noted is not None:
        noted.append(told)
    warn(f"{told}; what was learned so far is kept.", UserWarning, stacklevel=4)


@contextmanager
def noting_interrupts() -> Iterator[list[str]]:
    """Give a list of the fits inside that were interrupted, of parts of parts too."""
    noted: list[str] = []
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)
