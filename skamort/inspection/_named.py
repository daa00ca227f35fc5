"""Estimators as users hand them in, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .._fitted import check_estimator_given
from .._given import described, is_estimator


def named_estimators(estimators: Any, owner: str, method: str) -> dict[str, Any]:
    """Return estimators by name; classes that come more than once are numbered.

    Parameters
    ----------
    estimators : dict, list of (str, estimator) tuples, list of estimators, or an estimator
        What came.
    owner : str
        What errors call who asks.
    method : str
        What each must have.
    """
    pairs = _pairs(estimators, owner)
    for _, estimator in pairs:
        check_estimator_given(estimator, owner, (method,), fitted=False)
    classes = Counter(type(estimator).__name__ for name, estimator in pairs if name is None)
    numbers: Counter[str] = Counter()
    named: dict[str, Any] = {}
    for name, estimator in pairs:
        class_name = type(estimator).__name__
        if name is None:
            numbers[class_name] += 1
            name = class_name if classes[class_name] == 1 else f"{class_name}-{numbers[class_name]}"
        if name in named:
            raise ValueError(f"{owner}: the name {name!r} comes twice; choose another.")
        named[name] = estimator
    return named


def _pairs(estimators: Any, owner: str) -> list[tuple[str | None, Any]]:
    """Return names, None where there are none, and what has them."""
    if isinstance(estimators, Mapping):
        estimators = estimators.items()
    elif is_estimator(estimators):  # a Pipeline has a length too
        estimators = [estimators]
    elif isinstance(estimators, str) or not hasattr(estimators, "__iter__"):
        raise TypeError(
            f"{owner}: estimators must be estimators by name, a list of them, or one, got "
            f"{described(estimators)}."
        )
    pairs = [item if _is_pair(item) else (None, item) for item in estimators]
    if not pairs:
        raise ValueError(f"{owner}: estimators is empty; pass at least one.")
    return pairs


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2
