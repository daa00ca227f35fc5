"""The k largest pre-activations of each row, found by a cheap product and computed from few rows.

A product in bfloat16, where the CPU has instructions for it, takes a fraction of the time of one in
float32, and its error is bounded (`_bfloat16`). It leaves little more than k latents a row that may
be among the k largest, and one kernel computes these. Where bfloat16 does not pay, and for rows of
which it leaves too many, the screen is the product in float32, whose rounding is bounded likewise.

The codes that are kept therefore have the same bits whichever screen found them, and a row has
those that it has alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .._bfloat16 import (
    FEWEST_ROWS,
    ROUNDING,
    SLACK,
    lengths_of,
    multiplies_bfloat16,
    round_rows,
    sum_rounding,
)
from .._numba import has_numba
from .._threads import run_in_threads
from ._workspace import Workspace

# Matrices large enough to be worth loading the compiled kernels, and for each code that is kept
# enough rows that a product with all costs more than the kept ones computed once more.
_FEWEST_WEIGHTS = 1 << 20
_ROWS_PER_CODE = 64
# A row of which a screen leaves more than this share is looked at again.
_TOLERABLE = 1 / 16
# Beyond it a bound may not be finite.
_LARGEST = 2.0**100
# What rounding in the kernel takes from a bound, relative to a product in float32.
_SMALL = 2.0**-21

_BLOCK_ROWS = 32


def screening_pays(X: Tensor, matrix: Tensor, k: int) -> bool:
    """Tell whether the k largest products with the rows of a matrix are found by a screen; the
    number of rows of X plays no part in it."""
    return (
        matrix.numel() >= _FEWEST_WEIGHTS
        and len(matrix) >= _ROWS_PER_CODE * k
        and matrix.device.type == "cpu"
        and X.dtype == matrix.dtype == torch.float32
        and matrix.is_contiguous()
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and has_numba()
    )


def largest_products(
    X: Tensor, matrix: Tensor, bias: Tensor | None, k: int, workspace: Workspace
) -> tuple[Tensor, Tensor] | None:
    """Return the k largest entries of X @ matrix.T + bias in each row, in order of columns.

    Parameters
    ----------
    X : Tensor of shape (n, n_features)
        Rows.
    matrix : Tensor of shape (n_rows, n_features)
        More rows.
    bias : Tensor of shape (n_rows,) or None
        What is added to the products.
    k : int
        How many are kept; of equal ones the first.
    workspace : Workspace
        Memory for the product that screens.

    Returns
    -------
    values : Tensor of shape (n, k)
        The entries that are > 0, and 0 for others.
    columns : Tensor of shape (n, k), int64
        Their columns.

    None where numbers are too large for bounds, or not finite.
    """
    bias = matrix.new_zeros(len(matrix)) if bias is None else bias
    rows = _Rows(matrix, bias, k, workspace)
    largest = lengths_of(X).sum() * rows.lengths.amax() + bias.abs().sum()
    if not largest < _LARGEST:
        return None
    rough = len(X) >= FEWEST_ROWS and multiplies_bfloat16()
    values, columns, done = (rows.by_bfloat16 if rough else rows.by_float32)(X)
    if not done.all():
        values[~done], columns[~done], _ = rows.by_float32(X[~done])
    return values, columns


class _Rows:
    """The rows of a matrix, of whose products the k largest are wanted."""

    def __init__(self, matrix: Tensor, bias: Tensor, k: int, workspace: Workspace) -> None:
        self.matrix, self.bias, self.k, self.workspace = matrix, bias, k, workspace
        self.lengths = lengths_of(matrix)

    def by_bfloat16(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the k largest products and their columns, for rows of which few were left."""
        x, slopes = round_rows(X)
        screen = self._multiply(x, self.matrix.bfloat16())
        return self._select(X, screen, slopes, SLACK * ROUNDING, int(_TOLERABLE * len(self.matrix)))

    def by_float32(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the k largest products and their columns, for all rows."""
        slopes = SLACK * sum_rounding(X) * lengths_of(X)
        return self._select(X, self._multiply(X, self.matrix), slopes, _SMALL, len(self.matrix))

    def _multiply(self, X: Tensor, matrix: Tensor) -> Tensor:
        space = self.workspace.take(f"screen in {X.dtype}", X, (len(X), len(matrix)))
        return torch.mm(X, matrix.T, out=space)

    def _select(
        self, X: Tensor, screen: Tensor, slopes: Tensor, rounding: float, most: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        from ._screen_numba import select_products

        slopes = slopes + SLACK * sum_rounding(X) * lengths_of(X)  # of the kernel's own products
        slopes *= X.any(dim=1)  # of zeros all products are exact
        values = X.new_empty(len(X), self.k)
        columns = torch.empty(len(X), self.k, dtype=torch.int64)
        done = torch.empty(len(X), dtype=torch.bool)
        shared = [t.detach().numpy() for t in (self.lengths, self.matrix, self.bias)]
        by_row = [t.detach().numpy() for t in (slopes, X.contiguous(), values, columns, done)]

        def select(rows: slice) -> None:
            for start in range(rows.start, rows.stop, _BLOCK_ROWS):
                part = slice(start, min(start + _BLOCK_ROWS, rows.stop))
                slope, x, *results = (a[part] for a in by_row)
                wide = screen[part].float().numpy()
                select_products(
                    wide, slope, np.float32(rounding), x, *shared, self.k, most, *results
                )

        run_in_threads(select, len(X), torch.get_num_threads())
        return values, columns, done
