"""Rows of a data matrix as tensors, a block at a time where the whole would not fit in memory."""

import torch

from .._validation import as_tensor

# Codes of a chunk, 64 MB of float32: what a pass over the data holds at once.
_CHUNK_ELEMENTS = 1 << 24


class Rows:
    """Rows of a matrix, given as tensors on a device when they are asked for.

    A writeable array is put on the device once; on the CPU it shares its memory. A read-only one,
    such as a memory map, is never copied as a whole.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Validated data, float32 or float64.
    device : torch.device
        Where the tensors go.
    """

    def __init__(self, X, device):
        self.shape = X.shape
        self.device = device
        self._X = as_tensor(X, "X", check=False).to(device) if X.flags.writeable else X

    def __len__(self):
        return len(self._X)

    def __getitem__(self, rows):
        if isinstance(self._X, torch.Tensor):
            return self._X[rows]
        if isinstance(rows, torch.Tensor):
            rows = rows.numpy()  # NumPy takes a tensor of one element for a number
        return as_tensor(self._X[rows], "X", check=False).to(self.device)

    def chunks(self, n_components):
        """Return slices of consecutive rows whose dense codes fit in memory together."""
        step = max(1, _CHUNK_ELEMENTS // max(n_components, self.shape[1]))
        return [slice(start, start + step) for start in range(0, len(self), step)]
