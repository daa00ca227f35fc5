"""How much of the variance of data their reconstruction explains, summed over blocks of rows.

Of weighted rows all sums and means are weighted ones; of rows with entries missing they are those
of the others, which each feature has a number of its own of.

The squares about the mean of all rows are those about the means of the blocks, and those of the
steps between these means (Chan, Golub and LeVeque, 1983): they are exact where the sum of squares
less that of the mean would cancel.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

from ._matrices import Codes, as_dense
from ._unit import times

# Elements of a block of dense rows: 32 MB in float64.
_BLOCK_ELEMENTS = 1 << 22
# Binary exponents of numbers whose squares, and sums of many of them, are floats; and how far those
# of others are brought down, so that the factor is one.
_ORDINARY, _MOST = 400, 1000
# Roundings of the largest number that the mean of equal rows, and their reconstruction, may be off.
_OFF_MEAN, _OFF_ROW = 4, 64


def fraction_unexplained(
    X: Codes, reconstruct: Callable[[slice], Any], sample_weight: np.ndarray | None = None
) -> float:
    """Return ||X - X_hat||^2 / ||X - mean(X)||^2, given what reconstructs some rows of X.

    X is an array or a CSR array, which is made dense a block of rows at a time.
    """
    variance = ExplainedVariance()
    for rows in row_blocks(*X.shape):
        weights = None if sample_weight is None else sample_weight[rows]
        variance.add(as_dense(X[rows]), reconstruct(rows), weights)
    return variance.fraction_unexplained()


def row_blocks(n_samples: int, width: int):
    """Slices of rows, so that a block of `width` columns stays small."""
    return gen_batches(n_samples, max(1, _BLOCK_ELEMENTS // width))


class ExplainedVariance:
    """Sums in float64 over the blocks of rows that `add` takes."""

    def __init__(self):
        self._n_samples, self._mean = 0, 0.0
        self._total = self._unexplained = 0.0
        self._factor = None  # a power of two for data whose squares would overflow, or vanish
        self._off_mean = self._off_row = 0.0  # squares that are rounding of an entry

    def add(self, X, X_hat, sample_weight=None):
        """Take note of rows, NaN where they are not observed, and their reconstruction, arrays of
        shape (n, n_features), and of the rows' weights, of shape (n,), which all weigh 1 where they
        are None."""
        rounding = max(map(_rounding, (X, X_hat)))
        X, weights = np.asarray(X, dtype=np.float64), sample_weight
        missing = np.isnan(X)
        if missing.any():
            X = np.where(missing, X_hat, X)
            weights = ~missing * (1.0 if weights is None else weights[:, None])
        n = len(X) if weights is None else weights.sum(axis=0)
        if not np.any(n):
            return
        if not self._factor:
            self._look_at_size(X, X_hat, rounding)
        factor = self._factor or 1.0
        X, X_hat = times(X, factor), times(X_hat, factor)
        self._unexplained += _sum_of_squares(X - X_hat, weights)
        mean, total = _mean(X, weights), np.maximum(self._n_samples + n, np.finfo(float).tiny)
        step, share = mean - self._mean, n / total
        self._total += _sum_of_squares(X - mean, weights)
        self._total += float((self._n_samples * share * np.square(step)).sum())
        self._mean = self._mean + share * step
        self._n_samples = self._n_samples + n

    def _look_at_size(self, X, X_hat, rounding):
        peak = float(max(np.abs(X).max(), np.abs(X_hat).max()))
        self._factor = _factor(peak)
        peak = times(peak, self._factor or 1.0)
        self._off_mean = (_OFF_MEAN * np.finfo(float).eps * peak) ** 2
        self._off_row = (_OFF_ROW * rounding * peak) ** 2

    def fraction(self):
        """Return 1 - ||X - X_hat||^2 / ||X - mean(X)||^2, or 0 for any error if X does not vary,
        rounding apart."""
        return 1.0 - self.fraction_unexplained()

    def fraction_unexplained(self):
        """Return ||X - X_hat||^2 / ||X - mean(X)||^2, or 1 for any error if X does not vary,
        rounding apart."""
        n_entries = np.sum(np.broadcast_to(self._n_samples, np.shape(self._mean)))
        if self._total <= n_entries * self._off_mean:
            return float(self._unexplained > n_entries * self._off_row)
        return float(self._unexplained / self._total)


def _rounding(values):
    """Return the relative rounding of numbers of the type of an array."""
    dtype = np.asarray(values).dtype
    return float(np.finfo(dtype if dtype.kind == "f" else float).eps)


def _factor(peak):
    """Return 1, or a power of two that brings data of this largest size to about 1; None for 0."""
    exponent = int(np.clip(np.frexp(peak)[1], -_MOST, _MOST))
    if peak == 0:
        return None
    return 1.0 if abs(exponent) <= _ORDINARY else 2.0**-exponent


def _mean(X, weights):
    """Return the weighted mean, of each feature by its own weights where there are such."""
    if np.ndim(weights) < 2:
        return np.average(X, axis=0, weights=weights)
    n = weights.sum(axis=0)
    return np.divide((weights * X).sum(axis=0), n, out=np.zeros(X.shape[1]), where=n > 0)


def _sum_of_squares(values, weights=None):
    """Return the sum of the squares of the rows, or of their entries, by their weights."""
    squares = np.square(values)
    if np.ndim(weights) < 2:
        return float(squares.sum() if weights is None else weights @ squares.sum(axis=1))
    return float((weights * squares).sum())
