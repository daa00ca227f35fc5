"""The start of small models on the host, where rows and training are on a GPU.

A start is some sixty operators on few numbers, which a GPU takes longer to launch than the host to
compute. Of the rows it takes some that stand for all, the same for every model, and those that
become atoms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._rows import few_rows
from ..training import Sample

# Numbers of the largest matrix of a model up to which the host takes no longer.
_MOST_NUMBERS = 1 << 15


def starts_on_host(sample: Sample, largest_matrix: int) -> bool:
    """Whether a model with a matrix of so many numbers at most is to start on the host, trained
    with others on all the rows of a sample."""
    return (
        isinstance(sample.X, Tensor)
        and sample.X.is_cuda
        and sample.numbers is None
        and sample.codes is None
        and sample.weights is None
        and largest_matrix <= _MOST_NUMBERS
    )


class HostRows:
    """Rows that a GPU holds, given as tensors on the host when they are asked for.

    Those of a slice are copied once, so that all models may have them.

    Parameters
    ----------
    source : Tensor of shape (n_samples, n_features)
        The rows.
    """

    device = torch.device("cpu")

    def __init__(self, source: Tensor):
        self.source, self.shape, self.dtype = source, source.shape, source.dtype
        self._copied: dict[tuple, Tensor] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        every = few_rows(self.source)
        if isinstance(rows, slice):
            return self._part(rows)
        if every.step == 1:  # few enough to stand for themselves
            return self._part(every)[rows]
        return self.source[rows.to(self.source.device)].cpu()

    def _part(self, rows: slice) -> Tensor:
        part = rows.indices(len(self))
        if part not in self._copied:
            self._copied[part] = self.source[rows].cpu()
        return self._copied[part]
