"""What a fit trains on: rows and, where they are known, their codes; in memory or by chunks."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .._rows import Rows, rows_within
from .._unit import times
from ._batches import TensorBatches
from ._chunks import ChunkBatches, concatenated

# Reads that fill a buffer, about: each has its cost, and the more there are the better they mix.
_READS_PER_BUFFER = 16
_FINGERPRINT_ROWS = 16

Sample = tuple[np.ndarray | None, Tensor, Tensor | None]


class TrainingData(ABC):
    """What a fit trains on.

    Attributes
    ----------
    codes_known : bool
        Whether there are codes of the rows.
    in_memory : bool
        Whether all of it lies on the device.
    dtype : torch.dtype
        Of rows and codes.
    device : torch.device
        Where they are, or go when they are read.
    """

    codes_known: bool
    in_memory: bool
    dtype: torch.dtype
    device: torch.device

    @staticmethod
    def of(rows: Rows, codes: Rows | None = None) -> TrainingData:
        """Return data that are in memory if rows and codes are, else such as are read by chunks."""
        if rows.in_memory and (codes is None or codes.in_memory):
            return InMemoryData(rows[:], None if codes is None else codes[:])
        return ChunkedData(rows, codes)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def values(self, rows: slice | Tensor) -> tuple[Tensor, ...]:
        """Return rows by their numbers, and their codes where they are known."""

    @abstractmethod
    def batches(
        self, batch_size: int, generator: torch.Generator | None = None
    ) -> TensorBatches | ChunkBatches:
        """Return the batches of a pass, shuffled where there is a generator."""

    @abstractmethod
    def sample(self, generator: torch.Generator) -> Sample:
        """Return rows that stand for all: their numbers, or None for all, and they and their codes,
        or None."""

    @abstractmethod
    def hold_out(
        self, fraction: float, generator: torch.Generator
    ) -> tuple[TrainingData, TrainingData]:
        """Split data of at least two rows, or chunks, at random in a part to train on and a part
        that holds about ``fraction`` of them, at least one row or chunk."""

    @abstractmethod
    def divided_by(self, unit: float) -> TrainingData:
        """Return rows and codes divided by a power of two; the data themselves where that is 1."""

    @property
    @abstractmethod
    def n_stored(self) -> int:
        """Rows that `values` can return: a part by chunks has the numbers of the whole."""

    @property
    def n_elements(self) -> int:
        """Numbers that rows and codes have together."""
        return len(self) * sum(value.numel() for value in self.values(slice(0, 1)))

    def fingerprint(self) -> str:
        """Return a digest of a few rows, by which other data of the same shape can be told
        apart."""
        digest = hashlib.sha256()
        for row in np.linspace(0, self.n_stored - 1, _FINGERPRINT_ROWS).astype(int).tolist():
            for value in self.values(slice(row, row + 1)):
                digest.update(value.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


class InMemoryData(TrainingData):
    """Data that lie on the device.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Rows.
    codes : Tensor of shape (n_samples, n_components), optional
        Their known codes.

    Attributes
    ----------
    tensors : tuple of Tensor
        Of the rows and, where they are known, the codes.
    """

    in_memory = True

    def __init__(self, X: Tensor, codes: Tensor | None = None):
        self.tensors = (X,) if codes is None else (X, codes)
        self.codes_known = codes is not None
        self.dtype, self.device = X.dtype, X.device
        self._divided: dict[float, InMemoryData] = {1.0: self}

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def n_stored(self) -> int:
        return len(self)

    def values(self, rows: slice | Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor[rows] for tensor in self.tensors)

    def batches(self, batch_size: int, generator: torch.Generator | None = None) -> TensorBatches:
        return TensorBatches(self.tensors, batch_size, generator)

    def sample(self, generator: torch.Generator) -> Sample:  # noqa: ARG002  nothing to draw
        X, *codes = self.tensors
        return None, X, codes[0] if codes else None

    def hold_out(
        self, fraction: float, generator: torch.Generator
    ) -> tuple[TrainingData, TrainingData]:
        parts = _split(len(self), fraction, generator)
        training, held_out = (InMemoryData(*self.values(part.to(self.device))) for part in parts)
        return training, held_out

    def divided_by(self, unit: float) -> TrainingData:
        if unit not in self._divided:  # once: fits of the same rows share them
            self._divided[unit] = InMemoryData(*(times(t, 1 / unit) for t in self.tensors))
        return self._divided[unit]


class ChunkedData(TrainingData):
    """Data that are read a chunk at a time.

    A chunk is one that the source of the rows stores, or several where these are small.

    Parameters
    ----------
    rows : Rows of shape (n_samples, n_features)
        Rows, of the dtype and on the device that they are to have.
    codes : Rows of shape (n_samples, n_components), optional
        Their known codes.
    chunks : sequence of int, optional
        Which chunks belong to the data; all where None.
    """

    in_memory = False

    def __init__(self, rows: Rows, codes: Rows | None = None, chunks: Sequence[int] | None = None):
        self._rows, self._codes = rows, codes
        self.codes_known = codes is not None
        self.dtype, self.device = rows.dtype, rows.device
        buffer_rows = rows_within(rows.shape[1])
        stored = rows.chunk_rows
        whole = stored * max(1, buffer_rows // _READS_PER_BUFFER // stored)
        self.chunk_rows = min(whole, buffer_rows)
        self.buffered_chunks = buffer_rows // self.chunk_rows
        self.chunks = range(-(-len(rows) // self.chunk_rows)) if chunks is None else chunks

    def __len__(self) -> int:
        return sum(rows.stop - rows.start for rows in map(self.rows_of, self.chunks))

    @property
    def n_stored(self) -> int:
        return len(self._rows)

    def rows_of(self, chunk: int) -> slice:
        """Return the rows of a chunk."""
        start = chunk * self.chunk_rows
        return slice(start, min(start + self.chunk_rows, self.n_stored))

    def numbers_of(self, chunk: int) -> Tensor:
        """Return the numbers of the rows of a chunk."""
        rows = self.rows_of(chunk)
        return torch.arange(rows.start, rows.stop)

    def values(self, rows: slice | Tensor) -> tuple[Tensor, ...]:
        """Read rows, and their codes where they are known."""
        X = self._rows[rows]
        return (X,) if self._codes is None else (X, self._codes[rows])

    def read(self, chunks: Sequence[int]) -> tuple[Tensor, ...]:
        """Read chunks, one after the other."""
        return concatenated([self.values(self.rows_of(chunk)) for chunk in chunks])

    def batches(self, batch_size: int, generator: torch.Generator | None = None) -> ChunkBatches:
        return ChunkBatches(self, batch_size, generator)

    def sample(self, generator: torch.Generator) -> Sample:
        """Read a buffer of random chunks."""
        drawn = torch.randperm(len(self.chunks), generator=generator)[: self.buffered_chunks]
        chunks = [self.chunks[index] for index in drawn.sort().values]
        numbers = torch.cat([self.numbers_of(chunk) for chunk in chunks])
        X, *codes = self.read(chunks)
        return numbers.numpy(), X, codes[0] if codes else None

    def hold_out(
        self, fraction: float, generator: torch.Generator
    ) -> tuple[TrainingData, TrainingData]:
        parts = _split(len(self.chunks), fraction, generator)
        chunks = [[self.chunks[index] for index in part] for part in parts]
        training, held_out = (ChunkedData(self._rows, self._codes, part) for part in chunks)
        return training, held_out

    def divided_by(self, unit: float) -> TrainingData:
        codes = None if self._codes is None else self._codes.divided_by(unit)
        return ChunkedData(self._rows.divided_by(unit), codes, self.chunks)


def _split(n_units: int, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the random units to train on, and those held out."""
    n_held_out = min(math.ceil(fraction * n_units), n_units - 1)
    order = torch.randperm(n_units, generator=generator)
    return order[n_held_out:], order[:n_held_out]
