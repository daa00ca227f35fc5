"""Batches of rows that are not in memory, shuffled with a bounded buffer.

A pass visits the chunks of the data in random order, a few at a time, and shuffles the rows of
these few. What lies in memory is one buffer, whatever the size of the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from .._validation import as_tensor
from ._batches import TensorBatches

# Elements of a buffer: 64 MB of float32.
BUFFER_ELEMENTS = 1 << 24
# Reads that fill a buffer, about: each has its cost, and the more there are the better they mix.
_READS_PER_BUFFER = 16


class ChunkDataset(Dataset):
    """Rows of matrices, read a chunk at a time.

    A chunk is one that the source stores, or several where these are small.

    Parameters
    ----------
    sources : sequence of array-like of the same length
        The first has `shape` and `chunk_rows`; slices of rows of all become tensors.
    dtype : torch.dtype
        Of the tensors.
    device : torch.device
        Where they go.
    chunks : sequence of int, optional
        Which chunks belong to the data set; all where None.
    """

    def __init__(
        self,
        sources: Sequence[Any],
        dtype: torch.dtype,
        device: torch.device,
        chunks: Sequence[int] | None = None,
    ):
        self.sources = sources
        self.dtype = dtype
        self.device = device
        n_samples, n_features = sources[0].shape
        buffer_rows = max(1, BUFFER_ELEMENTS // n_features)
        stored = sources[0].chunk_rows
        whole = stored * max(1, buffer_rows // _READS_PER_BUFFER // stored)
        self.chunk_rows = min(whole, buffer_rows)
        self.buffered_chunks = buffer_rows // self.chunk_rows
        self.chunks = range(-(-n_samples // self.chunk_rows)) if chunks is None else chunks

    def __len__(self) -> int:
        return sum(rows.stop - rows.start for rows in map(self.rows_of, self.chunks))

    def rows_of(self, chunk: int) -> slice:
        """Return the rows of a chunk."""
        start = chunk * self.chunk_rows
        return slice(start, min(start + self.chunk_rows, len(self.sources[0])))

    def read(self, chunks: Sequence[int]) -> tuple[Tensor, ...]:
        """Read chunks, one after the other."""
        rows = [self.rows_of(chunk) for chunk in chunks]
        return tuple(torch.cat([self._tensor(source[r]) for r in rows]) for source in self.sources)

    def sample(self, generator: torch.Generator) -> tuple[np.ndarray, tuple[Tensor, ...]]:
        """Read a buffer of random chunks: the indices of their rows, and the rows."""
        drawn = torch.randperm(len(self.chunks), generator=generator)[: self.buffered_chunks]
        chunks = [self.chunks[index] for index in drawn.sort().values]
        rows = np.concatenate([np.r_[self.rows_of(chunk)] for chunk in chunks])
        return rows, self.read(chunks)

    def _tensor(self, block: Any) -> Tensor:
        tensor = as_tensor(block, "X", check=False)
        return tensor.to(device=self.device, dtype=self.dtype)


class ChunkBatches:
    """Iterate over the rows of a `ChunkDataset` in batches.

    Parameters
    ----------
    dataset : ChunkDataset
        The rows.
    batch_size : int
        Rows a batch; the last batch of a pass holds what is left.
    generator : torch.Generator, optional
        Shuffles the chunks, and the rows of those in the buffer. Without it they keep their order.

    Yields
    ------
    tuple of Tensor
        One tensor for each source of the dataset.
    """

    def __init__(
        self, dataset: ChunkDataset, batch_size: int, generator: torch.Generator | None = None
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        kept: tuple[Tensor, ...] | None = None
        chunks = self.dataset.chunks
        for drawn in self._order(len(chunks)).split(self.dataset.buffered_chunks):
            buffer = self.dataset.read([chunks[index] for index in drawn])
            if kept is not None:  # too few for a batch
                buffer = tuple(torch.cat(pair) for pair in zip(kept, buffer, strict=True))
            batches = self._order(len(buffer[0])).to(buffer[0].device).split(self.batch_size)
            whole = len(batches) - (len(batches[-1]) < self.batch_size)
            for rows in batches[:whole]:
                yield tuple(tensor.index_select(0, rows) for tensor in buffer)
            kept = None
            for rows in batches[whole:]:
                kept = tuple(tensor.index_select(0, rows) for tensor in buffer)
        if kept is not None:
            yield kept

    def _order(self, n: int) -> Tensor:
        # Drawn on the CPU, so that a seed gives the same order on every device.
        if self.generator is None:
            return torch.arange(n)
        return torch.randperm(n, generator=self.generator)


def batches_of(
    dataset: TensorDataset | ChunkDataset,
    batch_size: int,
    generator: torch.Generator | None = None,
) -> TensorBatches | ChunkBatches:
    """Return the batches of a data set, shuffled where there is a generator."""
    batches = ChunkBatches if isinstance(dataset, ChunkDataset) else TensorBatches
    return batches(dataset, batch_size, generator)


def hold_out(
    dataset: TensorDataset | ChunkDataset, fraction: float, generator: torch.Generator
) -> list[TensorDataset | ChunkDataset]:
    """Split a data set of at least two rows, or chunks, at random in a part to train on and a part
    that holds about ``fraction`` of it, at least one row or chunk."""
    by_chunks = isinstance(dataset, ChunkDataset)
    n_units = len(dataset.chunks if by_chunks else dataset)
    n_held_out = min(math.ceil(fraction * n_units), n_units - 1)
    order = torch.randperm(n_units, generator=generator)
    parts = order[n_held_out:], order[:n_held_out]
    if by_chunks:
        kinds = dataset.sources, dataset.dtype, dataset.device
        chunks = [[dataset.chunks[index] for index in part] for part in parts]
        return [ChunkDataset(*kinds, chunks=part) for part in chunks]
    tensors = dataset.tensors
    rows = [part.to(tensors[0].device) for part in parts]
    return [TensorDataset(*(tensor[part] for tensor in tensors)) for part in rows]
