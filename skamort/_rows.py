"""Rows of a matrix, in memory or not: read, cast and checked a block at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ._device import blocks_larger_by, memory_of, upload
from ._numbers import as_array, as_floats, check_is_matrix, check_real, is_frame
from ._unit import times
from ._validation import as_tensor

# Numbers that are read, or computed for the rows read, at once: 64 MB of float32. Smaller blocks
# copy more often than they save, larger ones only cost memory.
BLOCK_ELEMENTS = 1 << 24
# Rows from which what many have in common is estimated.
_FEW = 4096
# Blocks that a GPU takes from the host are larger, but by less than those that it computes.
_GIB_PER_BLOCK = 8
_NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}


def rows_within(width: int, device: torch.device | None = None) -> int:
    """Return how many rows of this width are held at once, on the CPU or where they go."""
    times = 1 if device is None else max(1, blocks_larger_by(device) // _GIB_PER_BLOCK)
    return max(1, times * BLOCK_ELEMENTS // width)


def few_rows(X: Tensor | Rows, most: int | None = None) -> slice:
    """Return which rows stand for all: some at equal distances, no more than are held at once where
    they have yet to be read."""
    most = most or _FEW
    most = min(most, rows_within(X.shape[1])) if isinstance(X, Rows) else most
    return slice(None, None, -(-len(X) // most))


def is_lazy(X: Any) -> bool:
    """Whether X is a matrix that slicing reads: a memory map, an HDF5, zarr or dask array, a column
    of a data set, any object with `shape`, or a length, and row slicing."""
    if isinstance(X, np.memmap):
        return True
    in_memory = np.ndarray | torch.Tensor | list | tuple | deque | str | bytes
    if isinstance(X, in_memory) or sparse.issparse(X) or is_frame(X):
        return False
    return hasattr(X, "__getitem__") and (hasattr(X, "shape") or isinstance(X, Sequence))


class Rows:
    """The rows of a matrix, given as tensors when they are asked for.

    A slice, or an array or a tensor of row numbers, gives a tensor of the rows, of `dtype` and on
    `device`. A slice shares the memory of a writeable array where neither has to change.

    Parameters
    ----------
    source : ndarray, tensor, or a lazily read matrix as `is_lazy` knows it
        A matrix; what is lazily read has row slicing, and `shape` or a length. See `SparseRows` for
        sparse ones in memory.
    owner : str
        The name of the estimator that errors name.
    name : str, default="data"
        What errors call the source.
    allow_nan : bool, default=False
        Whether entries may be NaN.

    Attributes
    ----------
    shape : tuple of int
        (n_samples, n_features).
    dtype : torch.dtype
        Of the tensors: float32 where the source holds float32 or float16, else float64; or what
        `to` asked for.
    device : torch.device
        Where the tensors go: the CPU, or what `to` asked for.
    in_memory : bool
        Whether the source lies in memory; then it has been checked as a whole.
    chunk_rows : int
        Rows that the source stores together; 1 where it does not say.

    Raises
    ------
    ValueError
        If the source is not a matrix, has no rows or columns, does not know how many, or lies in
        memory and contains infinity, or NaN that is not allowed; or if it holds texts, dates or
        complex numbers.
    """

    def __init__(self, source: Any, owner: str, name: str = "data", *, allow_nan: bool = False):
        self.source, self._owner, self._name = source, owner, name
        self._allow_nan = allow_nan
        self.in_memory = not is_lazy(source)
        self.shape = self._find_shape()
        self.chunk_rows = 1 if self.in_memory else _stored_rows(source)
        self._center: Tensor | None = None
        self._factor = 1.0
        self.dtype, self.device = self._float_type(), torch.device("cpu")
        if self.in_memory and not isinstance(source, Tensor):  # others have read a tensor
            self._check_finite(source, 0)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor | np.ndarray) -> Tensor:
        """Read rows.

        Raises
        ------
        ValueError
            If those that are not in memory hold NaN or infinity, or have another width.
        """
        if isinstance(self.source, Tensor):
            return self._as_asked(self.source[rows])
        if not isinstance(rows, slice):
            return self._gather(as_array(rows))
        start, stop, step = rows.indices(len(self))
        return self._read(start, stop) if step == 1 else self._gather(np.arange(start, stop, step))

    def blocks(self, width: int = 1, least: int = 1) -> list[slice]:
        """Return slices of consecutive rows that are held at once, with as many rows of another
        matrix, such as their codes, of this width; at least so many, but in the last."""
        step = max(least, rows_within(max(width, self.shape[1]), self.device))
        return [slice(start, start + step) for start in range(0, len(self), step)]

    def to(self, *, dtype: torch.dtype, device: torch.device) -> Rows:
        """Return the same rows, given as tensors of this type on this device."""
        rows = copy(self)
        rows.dtype, rows.device = dtype, device
        return rows

    def __mul__(self, factor: float) -> Self:
        """Return the same rows, times a power of two when they are read."""
        rows = copy(self)
        rows._factor = self._factor * factor
        return rows

    def __sub__(self, center: Tensor) -> Self:
        """Return the same rows, less a center (n_features,) when they are read."""
        rows = copy(self)
        center = center.detach() / self._factor
        rows._center = center if self._center is None else self._center + center
        return rows

    def mean(self, dim: int = 0, sample_weight: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the weighted mean of all rows, of shape (n_features,), as a tensor has it; where
        entries may be NaN, that of the others."""
        shares = self[:1].new_ones(len(self)) if sample_weight is None else sample_weight
        shares = shares / shares.sum()  # or the sums might overflow
        if self._allow_nan:
            return self._mean_of_others(shares)
        return torch.stack([shares[rows] @ self[rows] for rows in self.blocks()]).sum(0)

    def _mean_of_others(self, shares: Tensor) -> Tensor:
        total = counted = self[:1].new_zeros(self.shape[1])
        for rows in self.blocks():
            block = self[rows]
            missing = block.isnan()
            total = total + shares[rows] @ torch.where(missing, 0, block)
            counted = counted + shares[rows] @ (~missing).to(block)
        return total / counted

    def hold(self) -> Rows:
        """Return the same rows, as one tensor on the device where they are to be held as a whole.

        These are arrays in memory, and what is not in memory but fits in a block. Read-only arrays
        would be copied: they stay as they are.
        """
        held = self._is_writeable() if self.in_memory else self._fits_in_a_block()
        return self._held() if held and self.fits() else self

    def fits(self) -> bool:
        """Whether the device can hold all rows beside what is computed with them: a GPU as many as
        fill a quarter of it, or those that it holds already."""
        if self.device.type == "cpu" or self.there().device == self.device:
            return True
        return math.prod(self.shape) * self.dtype.itemsize <= memory_of(self.device) // 4

    def _held(self) -> Rows:
        rows = Rows(self[:], self._owner, self._name, allow_nan=self._allow_nan)
        return rows.to(dtype=self.dtype, device=self.device)

    # -- What has been read ------------------------------------------------------------------------

    def _read(self, start: int, stop: int) -> Tensor:
        block = self._dense(self.source[start:stop])
        if block.shape != (stop - start, self.shape[1]):
            raise ValueError(
                f"{self._owner}: rows {start} to {stop - 1} of the {self._name} came with shape "
                f"{block.shape}, expected {(stop - start, self.shape[1])}."
            )
        return self._checked(block, start)

    def _gather(self, rows: np.ndarray) -> Tensor:
        """Read single rows."""
        if self.in_memory or isinstance(self.source, np.ndarray):
            return self._checked(self._dense(self.source[rows]), rows)
        # Slices are what all sources can read. Those here skip less than a stored chunk.
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        apart = np.diff(ordered, prepend=-len(self)) > self.chunk_rows
        apart |= np.diff(ordered // rows_within(self.shape[1]), prepend=-1) > 0
        gathered = torch.empty(len(rows), self.shape[1], dtype=self.dtype, device=self.device)
        for places in np.split(order, np.flatnonzero(apart))[1:]:
            first, last = int(rows[places[0]]), int(rows[places[-1]])
            inside = torch.from_numpy(rows[places] - first).to(self.device)
            gathered[torch.from_numpy(places)] = self._read(first, last + 1)[inside]
        return gathered

    def _dense(self, values: Any) -> np.ndarray:
        values = values.toarray() if sparse.issparse(values) else as_array(values)
        return check_real(values, self._owner, self._name)

    def _checked(self, block: np.ndarray, numbers: np.ndarray | int) -> Tensor:
        """Return rows as a tensor; `numbers` are theirs, or the first of consecutive ones."""
        if not self.in_memory:
            self._check_finite(block, numbers)
        stored = np.ascontiguousarray(block, dtype=_NUMPY_TYPES[self._float_type_of(block)])
        return self._as_asked(as_tensor(stored, self._name, check=False))

    def _check_finite(self, block: Any, numbers: np.ndarray | int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(block.sum()):  # the sum of all finite numbers may overflow, no matter
                return
        place = self._bad_row(block)
        if place is not None:
            row = numbers + place if isinstance(numbers, int) else int(numbers[place])
            raise ValueError(
                f"{self._owner}: row {row} of the {self._name} contains {self._refused()}"
            )

    def _refused(self) -> str:
        if self._allow_nan:
            return "infinity; remove it, or put NaN for what is missing."
        if self._name != "data":
            return "NaN or infinity; remove or impute it."
        return (
            "NaN or infinity; remove or impute it, or leave out NaN by missing_values=np.nan of "
            "GradSparseCoder or ITOCoder."
        )

    def _is_accepted(self, values: np.ndarray) -> np.ndarray:
        return np.isfinite(values) | (self._allow_nan & np.isnan(values))

    def _bad_row(self, block: Any) -> int | None:
        """Return the first row with NaN or infinity."""
        finite = self._is_accepted(block).all(axis=1)
        return None if finite.all() else int(finite.argmin())

    def _as_asked(self, rows: Tensor) -> Tensor:
        rows = rows if self._center is None else rows - self._center.to(rows)
        return upload(times(rows, self._factor).to(self.dtype), self.device)

    # -- What the source says of itself ------------------------------------------------------------

    def _find_shape(self) -> tuple[int, int]:
        source = self.source
        shape = getattr(source, "shape", None)
        if shape is None:
            shape = (len(source), *(np.shape(source[0]) if len(source) else ()))
        check_is_matrix(tuple(shape), f"{self._owner}: the {self._name}")
        # dask, after a step whose outcome is known when it is computed
        if not self.in_memory and np.isnan(shape).any():
            raise ValueError(
                f"{self._owner}: the {self._name} have unknown shape {tuple(shape)}; call "
                "X.compute_chunk_sizes() first."
            )
        n_samples, n_features = map(int, shape)
        return n_samples, n_features

    def _float_type(self) -> torch.dtype:
        return self._float_type_of(self._dense(self.source[:1]))

    @staticmethod
    def _float_type_of(values: np.ndarray) -> torch.dtype:
        return torch.float32 if values.dtype in (np.float16, np.float32) else torch.float64

    def there(self) -> Rows:
        """Return the same rows, where their source is: on a GPU that holds it, else on the CPU."""
        is_tensor = isinstance(self.source, Tensor)
        device = self.source.device if is_tensor else torch.device("cpu")
        return self.to(dtype=self.dtype, device=device)

    def _is_writeable(self) -> bool:
        source = self.source
        return (
            source.flags.writeable if isinstance(source, np.ndarray) else isinstance(source, Tensor)
        )

    def _fits_in_a_block(self) -> bool:
        return math.prod(self.shape) <= BLOCK_ELEMENTS


def rows_on_gpu(source: Tensor, owner: str, name: str = "data", *, allow_nan: bool = False) -> Rows:
    """Return the rows of a tensor on a GPU, which stay there, checked as those of an array are."""
    rows = Rows(as_floats(source, owner, name), owner, name, allow_nan=allow_nan)
    if not rows.source.sum().isfinite():  # or it may be the sum that is too large
        rows._check_finite(rows.source.cpu().numpy(), 0)
    return rows


def _stored_rows(source: Any) -> int:
    """Rows of a stored chunk, as h5py and zarr (a number) and dask (a tuple of them) tell it."""
    chunks = getattr(source, "chunks", None)
    return int(np.max(chunks[0])) if chunks else 1
