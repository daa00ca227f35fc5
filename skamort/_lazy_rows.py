"""Data that are not in memory: rows are read, cast and checked a slice at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse


def is_lazy(X: Any) -> bool:
    """Whether X is a matrix that slicing reads: a memory map, an HDF5, zarr or dask array, a column
    of a data set, any object with `shape`, or a length, and row slicing."""
    if isinstance(X, np.memmap):
        return True
    in_memory = np.ndarray | torch.Tensor | list | tuple | str | bytes
    if isinstance(X, in_memory) or sparse.issparse(X) or hasattr(X, "iloc"):
        return False
    return hasattr(X, "__getitem__") and (hasattr(X, "shape") or isinstance(X, Sequence))


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
        Rows that the source stores together; 1 where it does not say.

    Raises
    ------
    ValueError
        If the source is not a matrix, has no rows or columns, or does not know how many.
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
        if np.isnan(shape).any():  # dask, after a step whose outcome is known when it is computed
            raise ValueError(
                f"{self._name}: the data have unknown shape {tuple(shape)}; call "
                "X.compute_chunk_sizes() first."
            )
        self.shape = tuple(map(int, shape))
        dtype = as_array(source[:1]).dtype
        self.dtype = np.dtype(np.float32 if dtype in (np.float16, np.float32) else np.float64)
        self.chunk_rows = _stored_rows(source)

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
        block = as_array(self._source[start:stop])
        if block.shape != (stop - start, self.shape[1]):
            raise ValueError(
                f"{self._name}: rows {start} to {stop - 1} of the data came with shape "
                f"{block.shape}, expected {(stop - start, self.shape[1])}."
            )
        check_finite(block, self._name, start)
        return np.ascontiguousarray(block, dtype=self.dtype)


def as_array(values: Any) -> np.ndarray:
    """Return an array of the same float type; of half precision that NumPy lacks, float32."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    return np.asarray(values)


def check_finite(rows: np.ndarray, name: str, first: int = 0) -> None:
    """Refuse rows with NaN or infinity, naming the one by its number; `first` is that of rows[0].

    Raises
    ------
    ValueError
        If there is such a row.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum()):  # the sum of all finite numbers may overflow, no matter
            return
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{name}: row {first + int(finite.argmin())} of the data contains NaN or infinity; "
            "remove or impute it."
        )


def _stored_rows(source: Any) -> int:
    """Rows of a stored chunk, as h5py and zarr (a number) and dask (a tuple of them) tell it."""
    chunks = getattr(source, "chunks", None)
    return int(np.max(chunks[0])) if chunks else 1
