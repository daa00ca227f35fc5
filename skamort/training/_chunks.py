"""Batches of rows that are not in memory, shuffled with a bounded buffer.

A pass visits the chunks of the data in random order, a few at a time, and shuffles the rows of
these few. What lies in memory is one buffer, whatever the size of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ._data import ChunkedData


class ChunkBatches:
    """Iterate over the rows of `ChunkedData` in batches.

    Parameters
    ----------
    data : ChunkedData
        The rows.
    batch_size : int
        Rows a batch; the last batch of a pass holds what is left.
    generator : torch.Generator, optional
        Shuffles the chunks, and the rows of those in the buffer. Without it they keep their order.

    Yields
    ------
    tuple of Tensor
        Rows, with their codes and weights where there are any.
    """

    def __init__(
        self, data: ChunkedData, batch_size: int, generator: torch.Generator | None = None
    ):
        self.data = data
        self.batch_size = batch_size
        self.generator = generator
        self.mean_weight = data.mean_weight

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self.after(0)

    def after(self, n_batches: int) -> Iterator[tuple[Tensor, ...]]:
        """Return the batches of a pass without its first ones, which are not read; the seed of the
        order is drawn at once."""
        stream = None
        if self.generator is not None:  # a stream of its own: others draw while the pass goes on
            seed = int(torch.randint(1 << 62, (), generator=self.generator))
            stream = torch.Generator().manual_seed(seed)
        return self._batches(n_batches, stream)

    def _batches(
        self, n_skipped: int, stream: torch.Generator | None
    ) -> Iterator[tuple[Tensor, ...]]:
        data, batch_size = self.data, self.batch_size
        # Rows too few for a batch: their numbers, and their values unless nobody has read them.
        left, buffer = torch.empty(0, dtype=torch.int64), None
        for drawn in _order(len(data.chunks), stream).split(data.buffered_chunks):
            chunks = [data.chunks[index] for index in drawn]
            rows = torch.cat([left, *map(data.numbers_of, chunks)])
            order = _order(len(rows), stream)
            there = order.to(data.device)
            n_whole = len(rows) // batch_size
            end = order[n_whole * batch_size :]
            if n_skipped >= n_whole:
                buffer = None
            else:
                parts = [data.read(chunks)]
                if len(left):
                    parts.insert(0, data.values(left) if buffer is None else buffer)
                buffer = concatenated(parts)
                for batch in there.split(batch_size)[n_skipped:n_whole]:
                    yield _selected(buffer, batch)
                buffer = _selected(buffer, there[n_whole * batch_size :])
            n_skipped = max(0, n_skipped - n_whole)
            left = rows[end]
        if len(left) and not n_skipped:
            yield data.values(left) if buffer is None else buffer


def _order(n: int, stream: torch.Generator | None) -> Tensor:
    # Drawn on the CPU, so that a seed gives the same order on every device.
    return torch.arange(n) if stream is None else torch.randperm(n, generator=stream)


def _selected(tensors: tuple[Tensor, ...], rows: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.index_select(0, rows) for tensor in tensors)


def concatenated(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return the tensors of all parts, those of one after those of the other."""
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))
