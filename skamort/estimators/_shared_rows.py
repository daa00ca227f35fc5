"""Rows of many fits at once: checked once, and held once on each device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..training import TrainingData


class SharedRows:
    """What fits of the same rows, by clones of one estimator, train on."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, TrainingData]] = {}

    def of(self, estimator: Any, check: Callable[[], TrainingData]) -> TrainingData:
        """Return what an estimator trains on, given what checks it, which depends on known codes
        and on the device alone."""
        first, data = self._known.get(estimator.device, (None, None))
        if data is not None and not data.codes_known:
            estimator._take_columns(first)
            return data
        data = check()
        return self._known.setdefault(estimator.device, (estimator, data))[1]
