"""Rows of a CSR array: made dense when they are asked for, their statistics never."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import gen_batches
from torch import Tensor

from ._numbers import check_real
from ._rows import Rows, rows_within


class SparseRows(Rows):
    """The rows of a CSR array, given as dense tensors when they are asked for.

    Parameters
    ----------
    source : CSR array or matrix
        Of real numbers. One that holds an entry several times, or entries of a row in disorder, is
        copied.
    owner : str
        The name of the estimator that errors name.
    name : str, default="data"
        What errors call the source.
    allow_nan : bool, default=False
        Whether entries that are stored may be NaN.
    """

    source: Any

    def __init__(self, source: Any, owner: str, name: str = "data", *, allow_nan: bool = False):
        check_real(source.data, owner, name)
        super().__init__(_canonical(source), owner, name, allow_nan=allow_nan)

    def take(self, rows: Tensor) -> SparseRows:
        """Return those of these numbers, sparse as before."""
        taken = copy(self)
        taken.source = self.source[rows.cpu().numpy()]
        taken.shape = taken.source.shape
        return taken

    def mean(self, dim: int = 0, sample_weight: Tensor | None = None) -> Tensor:
        """Return the weighted mean of all rows, of shape (n_features,), as a tensor has it."""
        if self._allow_nan:
            return super().mean(dim, sample_weight)
        sums = np.zeros(self.shape[1])
        for values, columns, weights in self._stored(sample_weight):
            sums += np.bincount(columns, weights * values, minlength=len(sums))
        return self._as_asked(torch.from_numpy(sums / self._total(sample_weight)))

    def root_mean_square(self, sample_weight: Tensor | None = None) -> float:
        """Return the root mean square of all entries, zeros included; 1 where it is 0."""
        center = np.zeros(self.shape[1])
        if self._center is not None:
            center += self._center.cpu().numpy()
        peak = np.abs(center).max()
        for values, columns, _ in self._stored():
            peak = max(peak, np.abs(values - center[columns]).max(initial=0))
        if peak == 0:
            return 1.0
        of_zeros, squares = np.full(len(center), self._total(sample_weight)), 0.0
        for values, columns, weights in self._stored(sample_weight):
            squares += weights @ np.square((values - center[columns]) / peak)
            of_zeros -= np.bincount(columns, weights, minlength=len(center))
        squares += of_zeros.clip(min=0) @ np.square(center / peak)
        mean_square = squares / (self._total(sample_weight) * len(center))
        return float(self._factor * peak * np.sqrt(mean_square)) or 1.0

    def squared_distances(self, sample_weight: Tensor | None = None) -> Tensor:
        """Return the squared distances of the rows from their weighted mean, float64, up to a
        factor that they share; what is NaN is taken for 0."""
        stored = copy(self.source)
        stored.data = np.nan_to_num(stored.data.astype(np.float64))
        stored.data /= np.abs(stored.data).max(initial=0) or 1.0
        weights = np.ones(len(self)) if sample_weight is None else sample_weight.cpu().numpy()
        mean = stored.T @ weights / weights.sum()
        lengths = np.asarray(stored.multiply(stored).sum(axis=1)).ravel()
        return torch.from_numpy(lengths - 2 * (stored @ mean) + mean @ mean)

    def hold(self) -> Rows:
        """Return the same rows: as one tensor where they fit in a block."""
        return self._held() if self._fits_in_a_block() else self

    def fits(self) -> bool:
        """They do, for they are never made dense as a whole."""
        return True

    def _total(self, sample_weight: Tensor | None) -> float:
        return float(len(self) if sample_weight is None else sample_weight.double().sum())

    def _stored(
        self, sample_weight: Tensor | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the entries that are stored, their columns and the weights of their rows, some rows
        at a time."""
        source = self.source
        weights = np.ones(len(self)) if sample_weight is None else sample_weight.cpu().numpy()
        for rows in gen_batches(len(self), rows_within(1 + source.nnz // len(self))):
            bounds = source.indptr[rows.start : rows.stop + 1]
            part = slice(bounds[0], bounds[-1])
            values = source.data[part].astype(np.float64)
            yield values, source.indices[part], np.repeat(weights[rows], np.diff(bounds))

    def _bad_row(self, block: Any) -> int | None:
        finite = self._is_accepted(block.data)
        if finite.all():
            return None
        return int(np.searchsorted(block.indptr, finite.argmin(), side="right")) - 1


def rows_of(source: Any, owner: str, name: str = "data", *, allow_nan: bool = False) -> Rows:
    """Return the rows of a source of any kind, a sparse one being a CSR array."""
    kind = SparseRows if sparse.issparse(source) else Rows
    return kind(source, owner, name, allow_nan=allow_nan)


def _canonical(source: Any) -> Any:
    """Return a CSR array with one entry a place, those of a row in order."""
    if not source.has_canonical_format:
        source = source.copy()
        source.sum_duplicates()
    return source
