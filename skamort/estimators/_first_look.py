"""What the start of a fit finds out of its rows alone: their unit, their center, their size."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from .._sample_weight import size_of
from .._unit import times, unit_of
from ._center import initial_intercept
from ._far_rows import without_far_rows
from ._host_rows import HostRows


class FirstLook(NamedTuple):
    """What a fit starts from.

    Attributes
    ----------
    unit : float
        The power of two by which all of it is divided.
    fit_intercept : bool or str
        The kind of center: the median where the mean would be that of a few rows.
    intercept : Tensor of shape (n_features,) or None
        The center.
    X, centered : Tensor or SparseRows of shape (n_samples, n_features)
        The rows without those that are few and far from all others, and these less the center.
    weights : Tensor of shape (n_samples,) or None
        Their weights.
    size : float
        Root mean square of the centered rows.
    """

    unit: float
    fit_intercept: bool | str
    intercept: Tensor | None
    X: Any
    centered: Any
    weights: Tensor | None
    size: float

    def on_host(self) -> FirstLook:
        """Return the same of rows without weights that a GPU holds, as the host has it."""
        center = None if self.intercept is None else self.intercept.cpu()
        X, centered = HostRows(self.X), HostRows(self.centered)
        return self._replace(intercept=center, X=X, centered=centered)


def first_look(
    X: Any, weights: Tensor | None, fit_intercept: bool | str, may_change: bool
) -> FirstLook:
    """Look at rows and their weights; `may_change` allows for another kind of center."""
    unit = unit_of(X, centered=bool(fit_intercept))
    X = times(X, 1 / unit)
    near, near_weights = without_far_rows(X, weights)
    if near is not X and fit_intercept and may_change:
        fit_intercept = "geometric_median"
    intercept = initial_intercept(fit_intercept, X, weights)
    # The far rows would rule all that training starts from.
    centered = near if intercept is None else near - intercept
    size = size_of(centered, near_weights)
    return FirstLook(unit, fit_intercept, intercept, near, centered, near_weights, size)
