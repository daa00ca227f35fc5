"""Batches of rows for many models at once, each in its own order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .._data import InMemoryData


class StackedBatches:
    """Rows of data of the same length, in batches for many models at once.

    Parameters
    ----------
    data : list of InMemoryData
        One for each model; where all hold the same tensors these are not copied.
    batch_size : int
        Rows a batch; the last batch of a pass holds what is left.
    """

    def __init__(self, data: list[InMemoryData], batch_size: int):
        self.n_rows, self.batch_size = len(data[0]), batch_size
        columns = list(zip(*(one.tensors for one in data), strict=True))
        self.are_shared = all(t is tensors[0] for tensors in columns for t in tensors)
        copies = slice(1) if self.are_shared else slice(None)
        self.tensors = [torch.stack(tensors[copies]) for tensors in columns]
        if self.n_rows <= batch_size:
            self.whole = [tensor.mT.contiguous() for tensor in self.tensors]

    def __len__(self) -> int:
        return -(-self.n_rows // self.batch_size)

    def batches(
        self, models: list[int], generators: Sequence[torch.Generator] | None = None
    ) -> Iterator[list[Tensor]]:
        """Yield batches of shape (n_models, width, n) of each tensor.

        Parameters
        ----------
        models : list of int
            The models that still need rows, as places in `data`.
        generators : sequence of torch.Generator, optional
            Shuffles the rows of each of them as `TensorBatches` does. Without it they keep their
            order.
        """
        if self.n_rows <= self.batch_size:
            yield [self._of(models, tensor) for tensor in self.whole]
        elif generators is None:
            yield from self._in_order(models)
        else:
            yield from self._shuffled(models, generators)

    def _of(self, models: list[int], tensor: Tensor) -> Tensor:
        if self.are_shared:
            return tensor.expand(len(models), -1, -1)
        return tensor if len(models) == len(tensor) else tensor[models]

    def _in_order(self, models: list[int]) -> Iterator[list[Tensor]]:
        every = torch.arange(self.n_rows, device=self.tensors[0].device)
        for rows in every.split(self.batch_size):
            yield [self._of(models, tensor[:, rows].mT.contiguous()) for tensor in self.tensors]

    def _shuffled(
        self, models: list[int], generators: Sequence[torch.Generator]
    ) -> Iterator[list[Tensor]]:
        orders = torch.stack([torch.randperm(self.n_rows, generator=g) for g in generators])
        if not self.are_shared:
            orders += self.n_rows * torch.tensor(models).unsqueeze(1)
        for rows in orders.to(self.tensors[0].device).split(self.batch_size, dim=1):
            # Of one long matrix: several times faster than with two indices.
            picked = [t.flatten(0, 1).index_select(0, rows.flatten()) for t in self.tensors]
            yield [tensor.unflatten(0, rows.shape).mT.contiguous() for tensor in picked]
