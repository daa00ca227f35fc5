"""Batches by chunks: every row once, in a random order that a seed fixes, in bounded memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from on_disk import OnDisk
from torch.utils.data import TensorDataset

from skamort import SAEEncoder
from skamort._lazy_rows import LazyRows
from skamort.training import (
    ChunkBatches,
    ChunkDataset,
    TensorBatches,
    batches_of,
    fingerprint,
    hold_out,
)
from skamort.training import _chunks as chunks_module

CPU = torch.device("cpu")


def numbered(n_samples, chunk_rows):
    return OnDisk(np.arange(2.0 * n_samples).reshape(n_samples, 2), (chunk_rows, 2))


def dataset_of(source, buffer_rows, monkeypatch):
    monkeypatch.setattr(chunks_module, "BUFFER_ELEMENTS", 2 * buffer_rows)
    row_numbers = torch.arange(len(source))
    return ChunkDataset([LazyRows(source, SAEEncoder()), row_numbers], torch.float64, CPU)


@settings(deadline=None, max_examples=50)
@given(
    n_samples=st.integers(1, 60),
    chunk_rows=st.integers(1, 20),
    buffer_rows=st.integers(1, 40),
    batch_size=st.integers(1, 30),
    shuffle=st.booleans(),
)
def test_every_row_comes_once_with_its_partner(
    n_samples, chunk_rows, buffer_rows, batch_size, shuffle
):
    with pytest.MonkeyPatch.context() as monkeypatch:
        source = numbered(n_samples, chunk_rows)
        dataset = dataset_of(source, buffer_rows, monkeypatch)
    batches = ChunkBatches(dataset, batch_size, torch.Generator() if shuffle else None)
    seen = list(batches)
    assert len(seen) == len(batches)
    assert [len(X) for X, _ in seen[:-1]] == [batch_size] * (len(seen) - 1)
    X, rows = (torch.cat(parts) for parts in zip(*seen, strict=True))
    np.testing.assert_array_equal(X, source.values[rows.long().numpy()])
    expected = torch.arange(n_samples)
    torch.testing.assert_close(rows.sort().values.long(), expected)
    if not shuffle:
        torch.testing.assert_close(rows.long(), expected)
    assert source.most_rows <= max(buffer_rows, 1)


def test_a_seed_fixes_the_order_and_every_pass_has_its_own(monkeypatch):
    dataset = dataset_of(numbered(40, 5), 20, monkeypatch)

    def passes(seed):
        batches = ChunkBatches(dataset, 8, torch.Generator().manual_seed(seed))
        return [torch.cat([rows for _, rows in batches]).tolist() for _ in range(2)]

    assert passes(0) == passes(0) != passes(1)
    first, second = passes(0)
    assert first != second


def test_rows_of_a_batch_come_from_several_chunks(monkeypatch):
    dataset = dataset_of(numbered(400, 10), 100, monkeypatch)
    batches = list(ChunkBatches(dataset, 50, torch.Generator().manual_seed(0)))
    assert all(len(set((rows // 10).long().tolist())) >= 5 for _, rows in batches)


@settings(deadline=None, max_examples=50)
@given(
    n_samples=st.integers(1, 60),
    chunk_rows=st.integers(1, 20),
    buffer_rows=st.integers(1, 40),
    batch_size=st.integers(1, 30),
    by_chunks=st.booleans(),
    seed=st.none() | st.integers(0, 9),
    data=st.data(),
)
def test_a_pass_can_be_taken_up(
    n_samples, chunk_rows, buffer_rows, batch_size, by_chunks, seed, data
):
    with pytest.MonkeyPatch.context() as monkeypatch:
        dataset = dataset_of(numbered(n_samples, chunk_rows), buffer_rows, monkeypatch)
    if not by_chunks:
        dataset = TensorDataset(*dataset.read(dataset.chunks))

    def batches():
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return batches_of(dataset, batch_size, generator)

    whole = list(batches())
    n_done = data.draw(st.integers(0, len(whole)))
    rest = list(batches().after(n_done))
    assert len(rest) == len(whole) - n_done
    for ours, theirs in zip(rest, whole[n_done:], strict=True):
        assert all(map(torch.equal, ours, theirs))


def test_what_is_skipped_is_not_read(monkeypatch):
    source = numbered(1000, 10)
    batches = ChunkBatches(dataset_of(source, 100, monkeypatch), 50, torch.Generator())
    first = next(batches.after(12))
    assert source.n_read == 1 + 100  # one row tells the type
    assert torch.equal(first[1], list(batches_of(batches.dataset, 50, torch.Generator()))[12][1])


def test_a_fingerprint_tells_data_apart(monkeypatch):
    source = numbered(95, 10)
    dataset = dataset_of(source, 30, monkeypatch)
    in_memory = TensorDataset(*dataset.read(dataset.chunks))
    assert fingerprint(dataset) == fingerprint(in_memory) == fingerprint(dataset)
    source.values[-1] += 1
    assert fingerprint(dataset) != fingerprint(in_memory)


def test_small_chunks_are_read_several_at_once(monkeypatch):
    assert dataset_of(numbered(1000, 3), 320, monkeypatch).chunk_rows == 18
    assert dataset_of(numbered(1000, 50), 320, monkeypatch).chunk_rows == 50
    assert dataset_of(numbered(1000, 500), 320, monkeypatch).chunk_rows == 320


def test_a_sample_is_a_buffer_of_whole_chunks(monkeypatch):
    source = numbered(100, 10)
    dataset = dataset_of(source, 30, monkeypatch)
    rows, (X, numbers) = dataset.sample(torch.Generator().manual_seed(0))
    assert len(rows) == 30
    assert set(np.bincount(rows // 10)) == {0, 10}
    np.testing.assert_array_equal(X, source.values[rows])
    np.testing.assert_array_equal(numbers, rows)


def test_batches_fit_the_data_set(monkeypatch):
    assert isinstance(batches_of(TensorDataset(torch.zeros(3, 1)), 2), TensorBatches)
    assert isinstance(batches_of(dataset_of(numbered(3, 1), 2, monkeypatch), 2), ChunkBatches)


@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.999])
@pytest.mark.parametrize("by_chunks", [True, False])
def test_held_out_rows_are_apart(by_chunks, fraction, monkeypatch):
    dataset = dataset_of(numbered(95, 10), 30, monkeypatch)
    if not by_chunks:
        dataset = TensorDataset(*next(iter(batches_of(dataset, 95))))
    parts = hold_out(dataset, fraction, torch.Generator().manual_seed(0))
    rows = [torch.cat([rows for _, rows in batches_of(part, 7)]).long() for part in parts]
    assert [len(part) for part in rows] == [len(part) for part in parts]
    assert torch.cat(rows).sort().values.tolist() == list(range(95))
    unit = 10 if by_chunks else 1
    assert max(1, fraction * 95 - unit) <= len(parts[1]) <= max(unit, fraction * 95 + unit)
