"""Parts of an estimator: what they warn of or refuse ends with whose they are, and how they are
set."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_WHOSE: ContextVar[str] = ContextVar("whose", default="")


@contextmanager
def part_of(owner: Any, name: str, part: Any) -> Iterator[None]:
    """Let what is said inside by a part, which may be the default of the parameter `name` of its
    owner, tell so."""
    kind, whole = type(part).__name__, type(owner).__name__
    how = f"{name}={kind}(...)" if getattr(owner, name) is None else f"{name}__..."
    told = (
        f"({kind} is the {name} of {whole}: set its parameters by {how}, or on {whole} "
        "those that both have, which go first.)"
    )
    token = _WHOSE.set(f" {told}{_WHOSE.get()}")
    try:
        yield
    except Exception as error:
        error.add_note(told)
        raise
    finally:
        _WHOSE.reset(token)


def is_part() -> bool:
    """Whether what happens now is done by a part."""
    return bool(_WHOSE.get())


def warn(text: str, category: type[Warning], stacklevel: int) -> None:
    """Warn as `warnings.warn` does, and say whose part it is of."""
    warnings.warn(text + _WHOSE.get(), category, stacklevel=stacklevel + 1)
