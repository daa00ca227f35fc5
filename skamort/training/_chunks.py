"""Batches of rows that are not in memory, shuffled with a bounded buffer.

A pass visits the chunks of the data in random order, a few at a time, and shuffles the rows of
these few. What lies in memory is one buffer, whatever the size of the data.
"""

from __future__ import annotations

import hashlib
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
_FINGERPRINT_ROWS = 16


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

    def numbers_of(self, chunk: int) -> Tensor:
        """Return the numbers of the rows of a chunk."""
        rows = self.rows_of(chunk)
        return torch.arange(rows.start, rows.stop)

    def read(self, chunks: Sequence[int]) -> tuple[Tensor, ...]:
        """Read chunks, one after the other."""
        return _concatenated([self.values(self.rows_of(chunk)) for chunk in chunks])

    def gather(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Read single rows by their numbers, from one chunk after the other."""
        chunks = rows // self.chunk_rows
        places, parts = [], []
        for chunk in chunks.unique().tolist():
            places.append((chunks == chunk).nonzero().flatten())
            inside = (rows[places[-1]] - chunk * self.chunk_rows).to(self.device)
            parts.append(tuple(values[inside] for values in self.read([chunk])))
        order = torch.cat(places).argsort().to(self.device)
        return tuple(values[order] for values in _concatenated(parts))

    def values(self, rows: slice) -> tuple[Tensor, ...]:
        """Read a slice of rows."""
        tensors = (as_tensor(source[rows], "X", check=False) for source in self.sources)
        return tuple(tensor.to(device=self.device, dtype=self.dtype) for tensor in tensors)

    def sample(self, generator: torch.Generator) -> tuple[np.ndarray, tuple[Tensor, ...]]:
        """Read a buffer of random chunks: the indices of their rows, and the rows."""
        drawn = torch.randperm(len(self.chunks), generator=generator)[: self.buffered_chunks]
        chunks = [self.chunks[index] for index in drawn.sort().values]
        rows = np.concatenate([np.r_[self.rows_of(chunk)] for chunk in chunks])
        return rows, self.read(chunks)


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
        return self.after(0)

    def after(self, n_batches: int) -> Iterator[tuple[Tensor, ...]]:
        """Return the batches of a pass without its first ones, which are not read; the seed of the
        order is drawn at once."""
        stream = None
        if self.generator is not None:  # a stream of its own: others draw while the pass goes on
            seed = torch.randint(1 << 62, (), generator=self.generator).item()
            stream = torch.Generator().manual_seed(seed)
        return self._batches(n_batches, stream)

    def _batches(self, n_skipped, stream):
        dataset, batch_size = self.dataset, self.batch_size
        # Rows too few for a batch: their numbers, and their values unless nobody has read them.
        left, buffer = torch.empty(0, dtype=torch.int64), None
        for drawn in _order(len(dataset.chunks), stream).split(dataset.buffered_chunks):
            chunks = [dataset.chunks[index] for index in drawn]
            rows = torch.cat([left, *map(dataset.numbers_of, chunks)])
            order = _order(len(rows), stream)
            n_whole = len(rows) // batch_size
            end = order[n_whole * batch_size :]
            if n_skipped >= n_whole:
                buffer = None
            else:
                parts = [dataset.read(chunks)]
                if len(left):
                    parts.insert(0, dataset.gather(left) if buffer is None else buffer)
                buffer = _concatenated(parts)
                for batch in order.split(batch_size)[n_skipped:n_whole]:
                    yield _selected(buffer, batch)
                buffer = _selected(buffer, end)
            n_skipped = max(0, n_skipped - n_whole)
            left = rows[end]
        if len(left) and not n_skipped:
            yield dataset.gather(left) if buffer is None else buffer


def _order(n: int, stream: torch.Generator | None) -> Tensor:
    # Drawn on the CPU, so that a seed gives the same order on every device.
    return torch.arange(n) if stream is None else torch.randperm(n, generator=stream)


def _selected(tensors: tuple[Tensor, ...], rows: Tensor) -> tuple[Tensor, ...]:
    rows = rows.to(tensors[0].device)
    return tuple(tensor.index_select(0, rows) for tensor in tensors)


def _concatenated(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def batches_of(
    dataset: TensorDataset | ChunkDataset,
    batch_size: int,
    generator: torch.Generator | None = None,
) -> TensorBatches | ChunkBatches:
    """Return the batches of a data set, shuffled where there is a generator."""
    batches = ChunkBatches if isinstance(dataset, ChunkDataset) else TensorBatches
    return batches(dataset, batch_size, generator)


def fingerprint(dataset: TensorDataset | ChunkDataset) -> str:
    """Return a digest of a few rows, by which other data of the same shape can be told apart."""
    by_chunks = isinstance(dataset, ChunkDataset)
    n_samples = len(dataset.sources[0] if by_chunks else dataset)
    digest = hashlib.sha256()
    for row in np.linspace(0, n_samples - 1, _FINGERPRINT_ROWS).astype(int).tolist():
        values = dataset.values(slice(row, row + 1)) if by_chunks else dataset[row]
        for value in values:
            digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


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
