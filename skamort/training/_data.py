"""What a fit trains on: rows, with codes and weights where there are any; in memory or not."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._rows import Rows, rows_within
from .._sparse_rows import SparseRows
from .._unit import times
from ._batches import TensorBatches
from ._chunks import ChunkBatches, concatenated
from ._sample import Sample

# Reads that fill a buffer, about: each has its cost, and the more there are the better they mix.
_READS_PER_BUFFER = 16
_FINGERPRINT_ROWS = 16

Column = Tensor | SparseRows
Parts = tuple[Any, Any, Tensor | None]


class TrainingData(ABC):
    """What a fit trains on.

    Attributes
    ----------
    codes_known : bool
        Whether there are codes of the rows.
    sample_weight : Tensor or None
        Weights of the rows that `values` can return.
    in_memory : bool
        Whether all of it lies in memory.
    is_dense : bool
        Whether all of it is tensors on the device.
    dtype : torch.dtype
        Of rows and codes.
    device : torch.device
        Where they are, or go when they are read.
    """

    codes_known: bool
    sample_weight: Tensor | None
    in_memory: bool
    is_dense: bool
    dtype: torch.dtype
    device: torch.device

    @staticmethod
    def of(
        rows: Rows, codes: Rows | None = None, sample_weight: Tensor | None = None
    ) -> TrainingData:
        """Return data that are in memory if rows and codes are and the device can hold them, else
        such as are read by chunks."""
        if all(part.in_memory and part.fits() for part in (rows, codes) if part is not None):
            return InMemoryData(_kept(rows), None if codes is None else _kept(codes), sample_weight)
        return ChunkedData(rows, codes, sample_weight)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def values(self, rows: slice | Tensor) -> tuple[Tensor, ...]:
        """Return rows by their numbers, their codes where they are known, and their weights where
        they have some."""

    @property
    def is_weighted(self) -> bool:
        """Whether the rows have weights."""
        return self.sample_weight is not None

    def parts(self, values: Sequence[Column]) -> Parts:
        """Tell rows, codes and weights of a batch apart; None for what there is not."""
        rest: list[Any] = list(values)
        X = rest.pop(0)
        codes = rest.pop(0) if self.codes_known else None
        return X, codes, rest.pop(0) if self.is_weighted else None

    @abstractmethod
    def batches(
        self, batch_size: int, generator: torch.Generator | None = None
    ) -> TensorBatches | ChunkBatches:
        """Return the batches of a pass, shuffled where there is a generator."""

    @abstractmethod
    def sample(self, generator: torch.Generator) -> Sample:
        """Return rows that stand for all; the same object each time where they are all."""

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
    @abstractmethod
    def mean_weight(self) -> float | None:
        """The mean of the weights of the rows, None where they have none."""

    @property
    def n_elements(self) -> int:
        """Numbers that rows and codes have together."""
        return len(self) * sum(value.numel() for value in self.values(slice(0, 1)))

    def fingerprint(self) -> str:
        """Return a digest of a few rows and all weights, by which other data of the same shape can
        be told apart."""
        digest = hashlib.sha256()
        if self.sample_weight is not None:
            digest.update(self.sample_weight.cpu().numpy().tobytes())
        for row in np.linspace(0, self.n_stored - 1, _FINGERPRINT_ROWS).astype(int).tolist():
            for value in self.values(slice(row, row + 1)):
                digest.update(value.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


class InMemoryData(TrainingData):
    """Data that lie in memory: tensors on the device, or sparse rows.

    Parameters
    ----------
    X : Tensor or SparseRows of shape (n_samples, n_features)
        Rows.
    codes : Tensor or SparseRows of shape (n_samples, n_components), optional
        Their known codes.
    sample_weight : Tensor of shape (n_samples,), optional
        Their weights.

    Attributes
    ----------
    tensors : tuple of Tensor or SparseRows
        Of the rows and, where there are any, the codes and the weights.
    """

    in_memory = True

    def __init__(self, X: Column, codes: Column | None = None, sample_weight: Tensor | None = None):
        self.tensors = tuple(t for t in (X, codes, sample_weight) if t is not None)
        self.is_dense = all(isinstance(tensor, Tensor) for tensor in self.tensors)
        self.codes_known, self.sample_weight = codes is not None, sample_weight
        self.dtype, self.device = X.dtype, X.device
        self._sample = Sample(None, *self.parts(self.tensors))
        self._divided: dict[float, InMemoryData] = {1.0: self}

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def n_stored(self) -> int:
        return len(self)

    def values(self, rows: slice | Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor[rows] for tensor in self.tensors)

    def batches(self, batch_size: int, generator: torch.Generator | None = None) -> TensorBatches:
        return TensorBatches(self.tensors, batch_size, generator, self.mean_weight)

    def sample(self, generator):  # noqa: ARG002  nothing to draw
        return self._sample

    def hold_out(
        self, fraction: float, generator: torch.Generator
    ) -> tuple[TrainingData, TrainingData]:
        parts = _split(len(self), fraction, generator)
        training, held_out = (self._of([_part(t, part) for t in self.tensors]) for part in parts)
        return training, held_out

    def divided_by(self, unit: float) -> TrainingData:
        if unit not in self._divided:  # once: fits of the same rows share them
            n_divided = 1 + self.codes_known
            divided = [times(tensor, 1 / unit) for tensor in self.tensors[:n_divided]]
            self._divided[unit] = self._of([*divided, *self.tensors[n_divided:]])
        return self._divided[unit]

    @property
    def mean_weight(self) -> float | None:
        return None if self.sample_weight is None else float(self.sample_weight.double().mean())

    def _of(self, values: Sequence[Column]) -> InMemoryData:
        return InMemoryData(*self.parts(values))


class ChunkedData(TrainingData):
    """Data that are read a chunk at a time.

    A chunk is one that the source of the rows stores, or several where these are small.

    Parameters
    ----------
    rows : Rows of shape (n_samples, n_features)
        Rows, of the dtype and on the device that they are to have.
    codes : Rows of shape (n_samples, n_components), optional
        Their known codes.
    sample_weight : Tensor of shape (n_samples,), optional
        Their weights, on the device.
    chunks : sequence of int, optional
        Which chunks belong to the data; all where None.
    """

    in_memory = is_dense = False

    def __init__(
        self,
        rows: Rows,
        codes: Rows | None = None,
        sample_weight: Tensor | None = None,
        chunks: Sequence[int] | None = None,
    ):
        self._rows, self._codes, self.sample_weight = rows, codes, sample_weight
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
        """Read rows, with their codes and weights where there are any."""
        parts = (self._rows, self._codes, self.sample_weight)
        return tuple(part[rows] for part in parts if part is not None)

    def read(self, chunks: Sequence[int]) -> tuple[Tensor, ...]:
        """Read chunks, one after the other."""
        return concatenated([self.values(self.rows_of(chunk)) for chunk in chunks])

    def batches(self, batch_size: int, generator: torch.Generator | None = None) -> ChunkBatches:
        return ChunkBatches(self, batch_size, generator)

    def sample(self, generator):
        """Read a buffer of random chunks."""
        drawn = torch.randperm(len(self.chunks), generator=generator)[: self.buffered_chunks]
        chunks = [self.chunks[index] for index in drawn.sort().values]
        numbers = torch.cat([self.numbers_of(chunk) for chunk in chunks])
        return Sample(numbers.numpy(), *self.parts(self.read(chunks)))

    def hold_out(
        self, fraction: float, generator: torch.Generator
    ) -> tuple[TrainingData, TrainingData]:
        parts = _split(len(self.chunks), fraction, generator)
        chunks = [[self.chunks[index] for index in part] for part in parts]
        training, held_out = (
            ChunkedData(self._rows, self._codes, self.sample_weight, part) for part in chunks
        )
        return training, held_out

    def divided_by(self, unit: float) -> TrainingData:
        codes = None if self._codes is None else times(self._codes, 1 / unit)
        return ChunkedData(times(self._rows, 1 / unit), codes, self.sample_weight, self.chunks)

    @property
    def mean_weight(self) -> float | None:
        weights = self.sample_weight
        if weights is None:
            return None
        return float(sum(weights[self.rows_of(c)].double().sum() for c in self.chunks)) / len(self)


def _kept(rows: Rows) -> Column:
    """Return rows in memory as they stay there while training lasts."""
    return rows if isinstance(rows, SparseRows) else rows[:]


def _part(values: Column, rows: Tensor) -> Column:
    return values[rows.to(values.device)] if isinstance(values, Tensor) else values.take(rows)


def _split(n_units: int, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the random units to train on, and those held out."""
    n_held_out = min(math.ceil(fraction * n_units), n_units - 1)
    order = torch.randperm(n_units, generator=generator)
    return order[n_held_out:], order[:n_held_out]
