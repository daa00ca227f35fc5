"""Batches of tensors that already lie on the device.

A drop-in for `torch.utils.data.DataLoader` where skorch asks for an iterator: one permutation and
one gather a batch instead of one Python call a sample, which is three times faster on small data.
"""

from collections.abc import Iterator, Sequence

import torch
from sklearn.utils import gen_batches
from torch import Tensor

from .._rows import Rows


class TensorBatches:
    """Iterate over the rows of tensors in batches.

    Parameters
    ----------
    tensors : sequence of Tensor, or of rows that are made tensors when they are asked for
        Of the same length, on one device.
    batch_size : int
        Rows a batch; the last batch of a pass holds what is left.
    generator : torch.Generator, optional
        Shuffles the rows anew in every pass. Without it they keep their order.
    mean_weight : float, optional
        The mean of the weights of the rows, which are the last tensor. None: they have none.

    Yields
    ------
    tuple of Tensor
        One slice of each tensor.
    """

    def __init__(
        self,
        tensors: Sequence[Tensor | Rows],
        batch_size: int,
        generator: torch.Generator | None = None,
        mean_weight: float | None = None,
    ):
        self.tensors = tuple(tensors)
        self.batch_size = batch_size
        self.generator = generator
        self.mean_weight = mean_weight

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self.after(0)

    def after(self, n_batches: int) -> Iterator[tuple[Tensor, ...]]:
        """Return the batches of a pass without its first ones; the order is drawn at once."""
        batches = self._batches()[n_batches:]
        return (tuple(_selected(tensor, rows) for tensor in self.tensors) for rows in batches)

    def _batches(self) -> Sequence[slice | Tensor]:
        """Return the rows of each batch."""
        n_rows, first = len(self.tensors[0]), self.tensors[0]
        if self.generator is None or len(self) == 1:  # one holds everything, in whichever order
            return list(gen_batches(n_rows, self.batch_size))
        # Drawn on the CPU, so that a seed gives the same order on every device.
        order = torch.randperm(n_rows, generator=self.generator)
        return order.to(first.device).split(self.batch_size)


def _selected(values: Tensor | Rows, rows: slice | Tensor) -> Tensor:
    if isinstance(rows, slice) or not isinstance(values, Tensor):
        return values[rows]
    return values.index_select(0, rows)
