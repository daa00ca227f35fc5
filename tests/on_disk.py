"""A stand-in for what h5py, zarr and dask arrays have in common."""

import math


class OnDisk:
    """A matrix that only slices read; it counts the rows read at once.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_features)
        The matrix.
    chunks : tuple, default=None
        How it is stored, as the libraries tell it.
    most_rows : int, default=None
        Rows beyond which a slice is refused; None for no limit.
    """

    def __init__(self, values, chunks=None, most_rows=None):
        self.values = values
        self.shape, self.dtype, self.chunks = values.shape, values.dtype, chunks
        self.limit = math.inf if most_rows is None else most_rows
        self.most_rows = self.n_read = 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice), "only slices are cheap"
        block = self.values[rows]
        assert len(block) <= self.limit, "too large a slice"
        self.most_rows = max(self.most_rows, len(block))
        self.n_read += len(block)
        return block
