"""Data that are not in memory: rows are read, cast and checked a slice at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse

# Rows that are read at once where the source does not say how it is stored: 4 MB of float32.
_CHUNK_ELEMENTS = 1 << 20


def is_lazy(X: Any) -> bool:
    """Whether X is a matrix that slicing reads: a memory map, an HDF5, zarr or dask array, a column
    of a data set, any object with `shape`, or a length, and row slicing."""
    if isinstance(X, np.memmap):
        return True
    in_memory = np.ndarray | torch.Tensor | list | tuple | str | bytes
    if isinstance(X, in_memory) or sparse.issparse(X) or hasattr(X, "iloc"):
        return False
    sliceable = hasattr(X, "__getitem__") and hasattr(X, "__len__")
    return sliceable and (hasattr(X, "shape") or isinstance(X, Sequence))


class LazyRows:
    """The rows of a matrix that is not in memory.

    Parameters
    ----------
    source : object
        Two-dimensional, with row slicing, and `shape` or a length.
    owner : object
        The estimator that errors name.

    Attributes
    ----------
    shape : tuple of int
        (n_samples, n_features).
    dtype : numpy.dtype
        Of the slices: float32 where the source holds float32 or float16, else float64.
    chunk_rows : int
        Rows that are best read at once: those that the source stores together.

    Raises
    ------
    ValueError
        If the source is not a matrix or has no rows or columns.
    """

    def __init__(self, source: Any, owner: Any):
        self._source, self._name = source, type(owner).__name__
        shape = getattr(source, "shape", None)
        if shape is None:
            shape = (len(source), *(np.shape(source[0]) if len(source) else ()))
        if len(shape) != 2 or 0 in shape:
            raise ValueError(
                f"{self._name}: the data must be a matrix with at least one row and one column, "
                f"got shape {tuple(shape)}."
            )
        self.shape = tuple(map(int, shape))
        dtype = np.asarray(source[:1]).dtype
        self.dtype = np.dtype(np.float32 if dtype in (np.float16, np.float32) else np.float64)
        self.chunk_rows = _stored_rows(source) or max(1, _CHUNK_ELEMENTS // self.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Read a slice of rows, a C-contiguous array.

        Raises
        ------
        ValueError
            If it holds NaN or infinity, or has another width.
        """
        start, stop, _ = rows.indices(len(self))
        block = np.asarray(self._source[start:stop])
        if block.shape != (stop - start, self.shape[1]):
            raise ValueError(
                f"{self._name}: rows {start} to {stop - 1} of the data came with shape "
                f"{block.shape}, expected {(stop - start, self.shape[1])}."
            )
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"{self._name}: row {start + int(finite.argmin())} of the data contains NaN or "
                "infinity; remove or impute it."
            )
        return np.ascontiguousarray(block, dtype=self.dtype)


def _stored_rows(source: Any) -> int | None:
    """Rows of a stored chunk, as h5py and zarr (a number) and dask (a tuple of them) tell it."""
    chunks = getattr(source, "chunks", None)
    if not chunks:
        return None
    return int(np.max(chunks[0]))
