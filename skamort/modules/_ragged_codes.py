"""Codes with another number of them in every row: CSR, with the products of `_codes`."""

from __future__ import annotations

from functools import cached_property

import torch
from scipy import sparse
from torch import Tensor

from ._codes import DenseCodes, SparseCodes, sparse_pays, to_csr


class RaggedCodes(SparseCodes):
    """Codes held as values and indices, as many a row as there are.

    Parameters
    ----------
    values : Tensor of shape (n_codes,)
        The codes that may differ from 0, row after row.
    indices : Tensor of shape (n_codes,), int64
        Their latents, in order in a row.
    rows : Tensor of shape (n_codes,), int64
        Their rows, in order.
    shape : tuple of int
        Number of rows and of latents.
    """

    rows: Tensor

    def __init__(self, values: Tensor, indices: Tensor, rows: Tensor, shape: tuple[int, int]):
        super().__init__(values, indices, shape[1])
        self.rows, self.n_rows = rows, shape[0]

    @classmethod
    def of(cls, matrix: Tensor, places: Tensor) -> RaggedCodes:
        """Return entries of a matrix (n, n_components), given their places in it row after row, in
        order."""
        n, n_components = matrix.shape
        rows = places // n_components
        columns = places - rows * n_components
        return cls(matrix.reshape(-1)[places], columns, rows, (n, n_components))

    def where(self, kept: Tensor) -> RaggedCodes:
        """Return those codes that are kept, a mask of shape (n_codes,)."""
        shape = (self.n_rows, self.n_components)
        return RaggedCodes(self.values[kept], self.indices[kept], self.rows[kept], shape)

    @cached_property
    def offsets(self) -> Tensor:
        """Where the codes of each row begin, and where the last ones end, (n + 1,), int64."""
        return torch.searchsorted(self.rows, torch.arange(self.n_rows + 1, device=self.rows.device))

    def to_dense(self) -> Tensor:
        """Return the codes as a tensor of shape (n, n_components)."""
        codes = self.values.new_zeros(self.n_rows, self.n_components)
        return codes.index_put_((self.rows, self.indices), self.values)

    def to_csr(self) -> sparse.csr_array:
        """Return the non-zero codes as a SciPy CSR array."""
        kept, shape = self.values != 0, (self.n_rows, self.n_components)
        counts = torch.bincount(self.rows[kept], minlength=self.n_rows)
        return to_csr(self.values[kept], self.indices[kept], counts, shape)

    def sum(self, sample_weight: Tensor | None = None) -> Tensor:
        """Return the sum of all codes, each times its sample's weight, a scalar tensor."""
        weights = None if sample_weight is None else sample_weight[self.rows]
        return self.values.sum() if weights is None else weights @ self.values

    def _by_row(self, numbers: Tensor) -> Tensor:
        return numbers.reshape(-1)[self.rows]

    def _rows_of(self, places: Tensor) -> Tensor:
        return self.rows[places]


def compact(codes: Tensor) -> DenseCodes | RaggedCodes:
    """Return codes >= 0, a matrix (n, n_components), in the layout whose products cost least; on
    a GPU, which would wait for their number, the dense one."""
    if not codes.is_cuda:
        n_active = int((codes > 0).sum()) / len(codes)
        if sparse_pays(n_active, codes.shape[1]):
            return RaggedCodes.of(codes, codes.reshape(-1).nonzero().flatten())
    return DenseCodes(codes)
