"""Rows that stand for all of the data of a fit, and what has been found out of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

Found = TypeVar("Found")


class Sample:
    """Rows that stand for all.

    Parameters
    ----------
    numbers : ndarray or None
        Which rows they are; None: all.
    X : Tensor or SparseRows of shape (n, n_features)
        The rows.
    codes : Tensor or SparseRows of shape (n, n_components), optional
        Their known codes.
    weights : Tensor of shape (n,), optional
        Their weights.
    """

    def __init__(
        self,
        numbers: np.ndarray | None,
        X: Any,
        codes: Any = None,
        weights: Tensor | None = None,
    ):
        self.numbers, self.X, self.codes, self.weights = numbers, X, codes, weights
        self._found: dict[Any, Any] = {}

    def once(self, what: Any, find: Callable[[], Found]) -> Found:
        """Return what a function finds out of these rows, which is called by the first fit of them
        that asks for it by this name."""
        if what not in self._found:
            self._found[what] = find()
        return self._found[what]
