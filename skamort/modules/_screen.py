"""The largest pre-activations, found by a cheap product and computed from few rows.

A product in bfloat16, where the CPU has instructions for it, takes a fraction of the time of one in
float32, and its error is bounded (`_bfloat16`). It leaves little more than the entries that are
sought, k a row, and one kernel computes these. Where bfloat16 does not pay, and for rows of
which it leaves too many, the screen is the product in float32, whose rounding is bounded likewise.

The codes that are kept therefore have the same bits whichever screen found them, and a row has
those that it has alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
from ._codes import SparseCodes
from ._ragged_codes import RaggedCodes
from ._thresholds import largest_left_out, likely_bounds, sample_places
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


def screening_pays(X: Tensor, matrix: Tensor, k: float) -> bool:
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


class Product(NamedTuple):
    """A product of rows with those of a matrix, but for errors that are bounded.

    Attributes
    ----------
    X : Tensor of shape (n, n_features)
        The rows.
    values : Tensor of shape (n, n_rows)
        ``X @ matrix.T``, but for errors of less than ``slopes[i] * lengths[j] + rounding *
        |values[i, j]|``, those of the kernel's own products included.
    slopes : Tensor of shape (n,)
        See `values`.
    rounding : float
        See `values`.
    share : float
        The largest share of the matrix that may be left of a row.
    """

    X: Tensor
    values: Tensor
    slopes: Tensor
    rounding: float
    share: float


class Screen:
    """Rows, and those of a matrix of whose products X @ matrix.T + bias the largest are wanted.

    Parameters
    ----------
    X : Tensor of shape (n, n_features)
        Rows.
    matrix : Tensor of shape (n_rows, n_features)
        More rows.
    bias : Tensor of shape (n_rows,) or None
        What is added to the products.
    workspace : Workspace
        Memory for the product that screens.
    """

    def __init__(self, X: Tensor, matrix: Tensor, bias: Tensor | None, workspace: Workspace):
        self.X, self.matrix, self.workspace = X, matrix, workspace
        self.bias = matrix.new_zeros(len(matrix)) if bias is None else bias
        self.lengths = lengths_of(matrix)

    def has_bounds(self) -> bool:
        """Tell whether numbers are finite, and not too large for bounds to be."""
        largest = lengths_of(self.X).sum() * self.lengths.amax() + self.bias.abs().sum()
        return bool(largest < _LARGEST)

    def largest(self, k: int, signed: bool = False, n_groups: int = 1) -> SparseCodes:
        """Return the k largest entries > 0 of each row, those of others being 0, in order of
        columns; of equal ones the first.

        Parameters
        ----------
        k : int
            How many are kept, in each group.
        signed : bool, default=False
            Whether the entries of largest magnitude are kept, with their sign.
        n_groups : int, default=1
            In how many groups of neighbours the columns are divided.
        """
        values, columns, done = self._select(self.multiply(), k, signed, n_groups)
        if not done.all():
            exact = self._by_float32(self.X[~done])
            values[~done], columns[~done], _ = self._select(exact, k, signed, n_groups)
        return SparseCodes(values, columns, len(self.matrix))

    def above(self, bound: float, product: Product | None = None) -> RaggedCodes:
        """Return the entries above a bound that is not below 0; `product` is that of `multiply`,
        if it is there already."""
        columns, rows, values, done = self._collect(product or self.multiply(), bound)
        if not done.all():
            again = (~done).nonzero().flatten()
            more = self._collect(self._by_float32(self.X[again]), bound)
            rows = torch.cat([rows, again[more[1]]])
            order = rows.sort(stable=True).indices
            columns, values = (torch.cat(p)[order] for p in ((columns, more[0]), (values, more[2])))
            rows = rows[order]
        return RaggedCodes(values, columns, rows, (len(self.X), len(self.matrix)))

    def largest_together(self, count: int) -> tuple[RaggedCodes, Tensor]:
        """Return the `count` largest entries > 0 of all rows, fewer where more would be equal to
        the next, and that next one: a threshold, 0 where there are no more.

        A few entries of the screen tell above which bound most likely as many are; that more are
        proves that all that is kept is among them.
        """
        product = self.multiply()
        places = sample_places(product.values.numel())
        few = product.values.view(-1)[places].float().add_(self.bias[places % len(self.matrix)])
        for likely in likely_bounds(few, count + 1):
            bound = max(float(likely), 0.0)
            codes = self.above(bound, product)
            if not bound or len(codes.values) > count:
                break
        threshold = largest_left_out(codes.values, count)
        return codes.where(codes.values > threshold), threshold

    def multiply(self) -> Product:
        """Return the product that screens."""
        rough = len(self.X) >= FEWEST_ROWS and multiplies_bfloat16()
        return (self._by_bfloat16 if rough else self._by_float32)(self.X)

    def _by_bfloat16(self, X: Tensor) -> Product:
        x, slopes = round_rows(X)
        return self._product(X, (x, self.matrix.bfloat16()), slopes, SLACK * ROUNDING, _TOLERABLE)

    def _by_float32(self, X: Tensor) -> Product:
        slopes = SLACK * sum_rounding(X) * lengths_of(X)
        return self._product(X, (X, self.matrix), slopes, _SMALL, 1.0)

    def _product(self, X, factors, slopes, rounding, share) -> Product:
        x, matrix = factors
        space = self.workspace.take(f"screen in {x.dtype}", x, (len(x), len(matrix)))
        slopes = slopes + SLACK * sum_rounding(X) * lengths_of(X)  # of the kernel's own products
        slopes *= X.any(dim=1)  # of zeros all products are exact
        return Product(X.contiguous(), torch.mm(x, matrix.T, out=space), slopes, rounding, share)

    def _select(
        self, product: Product, k: int, signed: bool, n_groups: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the largest products and their columns, and for which rows they are found."""
        from ._screen_numba import select_products

        n, size = len(product.X), len(self.matrix) // n_groups
        values, columns = product.X.new_empty(n_groups, n, k), torch.empty(n_groups, n, k).long()
        done = torch.empty(n_groups, n, dtype=torch.bool)
        results = [t.numpy() for t in (values, columns, done)]
        most = int(product.share * size)

        def select(part, screen, *of_rows):
            for group in range(n_groups):
                among = slice(group * size, (group + 1) * size)
                shared = (a[among] for a in self._arrays)
                screen_part = np.ascontiguousarray(screen[:, among])
                found = (a[group, part] for a in results)
                select_products(screen_part, *of_rows, *shared, k, signed, most, *found)

        self._by_blocks(product, select)
        columns += torch.arange(n_groups).mul_(size).view(-1, 1, 1)
        values, columns = (t.transpose(0, 1).flatten(1) for t in (values, columns))
        return values, columns, done.all(dim=0)

    def _collect(self, product: Product, bound: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return columns, rows and values of the products above a bound, row after row, and which
        rows are among them."""
        from ._screen_numba import collect_products

        n, most = len(product.X), int(product.share * len(self.matrix))
        counts, found = torch.empty(n, dtype=torch.int64), {}

        def collect(part, screen, *of_rows):
            values, columns = (np.empty(len(screen) * most, t) for t in (np.float32, np.int64))
            results = values, columns, counts[part].numpy()
            total = collect_products(
                screen, *of_rows, *self._arrays, np.float32(bound), most, *results
            )
            found[part.start] = values[:total].copy(), columns[:total].copy()

        self._by_blocks(product, collect)
        in_order = zip(*(found[start] for start in sorted(found)), strict=True)
        values, columns = (torch.from_numpy(np.concatenate(parts)) for parts in in_order)
        rows = torch.arange(n).repeat_interleave(counts.clamp(min=0))
        return columns, rows, values, counts >= 0

    @property
    def _arrays(self) -> list[np.ndarray]:
        return [t.detach().numpy() for t in (self.lengths, self.matrix, self.bias)]

    def _by_blocks(self, product: Product, kernel: Callable[..., Any]) -> None:
        """Call a kernel with each block of rows: which they are, their product in float32, their
        slopes, its rounding and the rows themselves."""
        slopes, X = product.slopes.numpy(), product.X.detach().numpy()

        def run(rows: slice) -> None:
            for start in range(rows.start, rows.stop, _BLOCK_ROWS):
                part = slice(start, min(start + _BLOCK_ROWS, rows.stop))
                screen = product.values[part].float().numpy()
                kernel(part, screen, slopes[part], np.float32(product.rounding), X[part])

        run_in_threads(run, len(X), torch.get_num_threads())
