"""A stand-in for what h5py, zarr and dask arrays have in common."""


class OnDisk:
    """A matrix that only slices read; it counts the rows read at once.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_features)
        The matrix.
    chunks : tuple, default=None
        How it is stored, as the libraries tell it.
    """

    def __init__(self, values, chunks=None):
        self.values = values
        self.shape, self.dtype, self.chunks = values.shape, values.dtype, chunks
        self.most_rows = self.n_read = 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice), "only slices are cheap"
        block = self.values[rows]
        self.most_rows = max(self.most_rows, len(block))
        self.n_read += len(block)
        return block
