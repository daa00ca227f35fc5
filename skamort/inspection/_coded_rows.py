"""Codes of rows of any source, some rows at a time, in CSR form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from .._fitted import check_estimator_given, transform_unnamed
from .._matrices import check_dense_or_csr
from .._numbers import as_numbers, is_frame
from .._rows import is_lazy, rows_within
from .._sparse_rows import SparseRows, rows_of


class CodedRows:
    """The rows of X as an estimator codes them.

    Parameters
    ----------
    estimator : object with ``transform``
        Fitted.
    X : {array-like, sparse matrix} of shape (n_rows, n_features)
        In memory or not, as `Rows` reads it.
    owner : str
        What errors call who asks.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, n_latents).
    """

    def __init__(self, estimator: Any, X: Any, owner: str):
        check_estimator_given(estimator, owner)
        self._estimator, self._frame = estimator, X if is_frame(X) else None
        name = type(estimator).__name__
        if sparse.issparse(X):
            X = sparse.csr_array(X)
        elif not is_lazy(X):
            X = as_numbers(X, name, "data")
        # The estimator says what is wrong with NaN where it takes some.
        allow_nan = getattr(estimator, "missing_values", None) is not None
        self.rows = rows_of(X, name, allow_nan=allow_nan)
        self.shape = (len(self.rows), self._encode(slice(0, 1)).shape[1])

    def blocks(self) -> Iterator[tuple[int, sparse.csr_array]]:
        """Yield the number of the first row and the codes of consecutive rows."""
        for block in self.rows.blocks(self.shape[1]):
            yield block.start, self._encode(block)

    def at(self, rows: np.ndarray, latents: np.ndarray) -> np.ndarray:
        """Return the codes at pairs of a row and a latent; each row is coded once."""
        unique, place = np.unique(rows, return_inverse=True)
        codes, step = np.empty(len(rows)), rows_within(max(self.shape[1], self.rows.shape[1]))
        order = np.argsort(place, kind="stable")
        for start in range(0, len(unique), step):
            first, last = np.searchsorted(place[order], [start, start + step])
            pairs = order[first:last]
            block = self._encode(unique[start : start + step])
            codes[pairs] = np.asarray(block[place[pairs] - start, latents[pairs]]).ravel()
        return codes

    def _encode(self, rows: slice | np.ndarray) -> sparse.csr_array:
        codes = check_dense_or_csr(transform_unnamed(self._estimator, self._read(rows)))
        codes = sparse.csr_array(codes)
        codes.eliminate_zeros()
        return codes

    def _read(self, rows: slice | np.ndarray) -> Any:
        """Return rows as the estimator knows them: of a frame, sparse or dense."""
        if self._frame is not None:
            return getattr(self._frame, "iloc", self._frame)[rows]
        if isinstance(self.rows, SparseRows):
            return self.rows.source[rows]
        return self.rows[rows].numpy()


def entries_of(codes: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and value of each code that is not zero."""
    return np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr)), codes.indices, codes.data
