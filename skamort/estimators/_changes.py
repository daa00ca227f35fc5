"""Parameters that were set since a fit: taken over by one that goes on from there, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import joblib
from sklearn.base import clone
from skorch.callbacks import Callback

from ..training import Setting


def parameters_of(estimator: Any) -> dict[str, Any]:
    """Return the parameters of an estimator as they are now."""
    given = estimator.get_params(deep=False)
    # `set_params(schedule__decay=...)` changes the object itself.
    return {n: clone(value) if isinstance(value, Setting) else value for n, value in given.items()}


def changed_since(then: Mapping[str, Any], estimator: Any) -> set[str]:
    """Return the names of the parameters that are others than `then`.

    Raises
    ------
    ValueError
        If one is among them that no weights can follow.
    """
    now = estimator.get_params(deep=False)
    changed = {name for name, value in now.items() if not _same(value, then[name])}
    fixed = [n for n in now if n in changed and estimator._declared[n].may_change == "never"]
    if fixed:
        told = ", ".join(f"{n}={_told(now[n])} (was {_told(then[n])})" for n in fixed)
        raise ValueError(
            f"{type(estimator).__name__}: a fit that goes on from the last one cannot take "
            f"{told}; set it as it was, or start anew with warm_start=False and fit."
        )
    return changed


def _told(value: Any) -> str:
    is_short = value is None or isinstance(value, int | float | str | tuple)
    return repr(value) if is_short else type(value).__name__


def _same(value: Any, other: Any) -> bool:
    if value is other:
        return True
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        pairs = zip(value, other, strict=False)
        return len(value) == len(other) and all(_same(*pair) for pair in pairs)
    if isinstance(value, Setting):
        return repr(value) == repr(other)
    if value is None or callable(value) or isinstance(value, Callback | int | float | str):
        return type(value) is type(other) and value == other
    return joblib.hash(value) == joblib.hash(other)
