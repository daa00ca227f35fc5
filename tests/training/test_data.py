"""Data to train on. By chunks: every row once, in a random order that a seed fixes, in bounded
memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from on_disk import OnDisk
from scipy import sparse

from skamort import _rows
from skamort._rows import Rows
from skamort.training import ChunkedData, InMemoryData, TrainingData


def numbered(n_samples, chunk_rows):
    return OnDisk(np.arange(2.0 * n_samples).reshape(n_samples, 2), (chunk_rows, 2))


def data_of(source, buffer_rows, monkeypatch):
    """Data by chunks whose codes are the numbers of the rows."""
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 2 * buffer_rows)
    numbers = np.arange(float(len(source)))[:, None]
    return ChunkedData(Rows(source, "SAEEncoder"), Rows(numbers, "SAEEncoder", "codes"))


def in_memory(data):
    return InMemoryData(*data.read(data.chunks))


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
        data = data_of(source, buffer_rows, monkeypatch)
        batches = data.batches(batch_size, torch.Generator() if shuffle else None)
        seen = list(batches)
    assert len(seen) == len(batches)
    assert [len(X) for X, _ in seen[:-1]] == [batch_size] * (len(seen) - 1)
    X, rows = (torch.cat(parts) for parts in zip(*seen, strict=True))
    rows = rows.flatten()
    np.testing.assert_array_equal(X, source.values[rows.long().numpy()])
    expected = torch.arange(n_samples)
    torch.testing.assert_close(rows.sort().values.long(), expected)
    if not shuffle:
        torch.testing.assert_close(rows.long(), expected)
    assert source.most_rows <= max(buffer_rows, 1)


def test_a_seed_fixes_the_order_and_every_pass_has_its_own(monkeypatch):
    data = data_of(numbered(40, 5), 20, monkeypatch)

    def passes(seed):
        batches = data.batches(8, torch.Generator().manual_seed(seed))
        return [torch.cat([rows for _, rows in batches]).tolist() for _ in range(2)]

    assert passes(0) == passes(0) != passes(1)
    first, second = passes(0)
    assert first != second


def test_rows_of_a_batch_come_from_several_chunks(monkeypatch):
    data = data_of(numbered(400, 10), 100, monkeypatch)
    batches = list(data.batches(50, torch.Generator().manual_seed(0)))
    assert all(len(set((rows // 10).flatten().tolist())) >= 5 for _, rows in batches)


@settings(deadline=None, max_examples=50)
@given(
    n_samples=st.integers(1, 60),
    chunk_rows=st.integers(1, 20),
    buffer_rows=st.integers(1, 40),
    batch_size=st.integers(1, 30),
    by_chunks=st.booleans(),
    seed=st.none() | st.integers(0, 9),
    draws=st.data(),
)
def test_a_pass_can_be_taken_up(
    n_samples, chunk_rows, buffer_rows, batch_size, by_chunks, seed, draws
):
    with pytest.MonkeyPatch.context() as monkeypatch:
        data = data_of(numbered(n_samples, chunk_rows), buffer_rows, monkeypatch)
    data = data if by_chunks else in_memory(data)

    def batches():
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return data.batches(batch_size, generator)

    whole = list(batches())
    n_done = draws.draw(st.integers(0, len(whole)))
    rest = list(batches().after(n_done))
    assert len(rest) == len(whole) - n_done
    for ours, theirs in zip(rest, whole[n_done:], strict=True):
        assert all(map(torch.equal, ours, theirs))


def test_what_is_skipped_is_not_read(monkeypatch):
    source = numbered(1000, 10)
    data = data_of(source, 100, monkeypatch)
    first = next(data.batches(50, torch.Generator()).after(12))
    assert source.n_read == 1 + 100  # one row tells the type
    assert torch.equal(first[1], list(data.batches(50, torch.Generator()))[12][1])


def test_a_fingerprint_tells_data_apart(monkeypatch):
    source = numbered(95, 10)
    data = data_of(source, 30, monkeypatch)
    first = in_memory(data).fingerprint()
    assert data.fingerprint() == data.fingerprint() == first
    source.values[-1] += 1
    assert data.fingerprint() != first


def test_a_fingerprint_knows_the_weight_of_every_row():
    X, weights = torch.ones(95, 2), torch.ones(95)
    digests = {
        InMemoryData(X, sample_weight=weights + (torch.arange(95) == i)).fingerprint()
        for i in range(95)
    }
    assert len(digests) == 95


@pytest.mark.parametrize("unit", [1.0, 4.0])
def test_data_of_another_unit_are_rows_and_codes_divided_by_it(unit, monkeypatch):
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 2 * 30)
    rows, weights = Rows(numbered(95, 10), "SAEEncoder"), torch.arange(95.0).double()
    by_chunks = ChunkedData(rows, Rows(np.ones((95, 1)), "SAEEncoder", "codes"), weights)
    in_memory = InMemoryData(*by_chunks.read(by_chunks.chunks))
    for data in (in_memory, by_chunks):
        for part in data.hold_out(0.2, torch.Generator().manual_seed(0)):
            plain, divided = (list(d.batches(7)) for d in (part, part.divided_by(unit)))
            X, codes, row_weights = (torch.cat(column) for column in zip(*plain, strict=True))
            ours = [torch.cat(column) for column in zip(*divided, strict=True)]
            assert all(map(torch.equal, ours, (X / unit, codes / unit, row_weights)))
            assert part.divided_by(unit).mean_weight == pytest.approx(row_weights.mean().item())
    assert (in_memory.divided_by(unit) is in_memory) == (unit == 1)
    assert in_memory.divided_by(unit) is in_memory.divided_by(unit)


def test_small_chunks_are_read_several_at_once(monkeypatch):
    assert data_of(numbered(1000, 3), 320, monkeypatch).chunk_rows == 18
    assert data_of(numbered(1000, 50), 320, monkeypatch).chunk_rows == 50
    assert data_of(numbered(1000, 500), 320, monkeypatch).chunk_rows == 320


def test_a_sample_is_a_buffer_of_whole_chunks(monkeypatch):
    source = numbered(100, 10)
    data = data_of(source, 30, monkeypatch)
    sample = data.sample(torch.Generator().manual_seed(0))
    rows = sample.numbers
    assert len(rows) == 30
    assert set(np.bincount(rows // 10)) == {0, 10}
    np.testing.assert_array_equal(sample.X, source.values[rows])
    np.testing.assert_array_equal(sample.codes.flatten(), rows)


@pytest.mark.parametrize("codes", [None, np.eye(6), sparse.csr_array(np.eye(6))])
@pytest.mark.parametrize("lazy", [False, True])
def test_the_data_say_what_they_are(codes, lazy):
    X = np.arange(12.0).reshape(6, 2)
    known = codes is not None
    given = Rows(codes, "SAEEncoder", "codes") if known else None
    data = TrainingData.of(Rows(OnDisk(X) if lazy else X, "SAEEncoder"), given)
    assert (data.codes_known, data.in_memory) == (known, not lazy)
    assert (data.dtype, data.device.type, len(data)) == (torch.float64, "cpu", 6)
    assert data.n_elements == 6 * (2 + 6 * known)
    sample = data.sample(torch.Generator())
    np.testing.assert_array_equal(sample.X, X)
    assert (sample.numbers is None, sample.codes is None) == (not lazy, not known)
    assert (sample is data.sample(torch.Generator())) == (not lazy)
    (batch,) = data.batches(6)
    np.testing.assert_array_equal(batch[0], X)
    assert not known or torch.equal(batch[1], torch.eye(6, dtype=torch.float64))


@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.999])
@pytest.mark.parametrize("by_chunks", [True, False])
def test_held_out_rows_are_apart(by_chunks, fraction, monkeypatch):
    data = data_of(numbered(95, 10), 30, monkeypatch)
    data = data if by_chunks else in_memory(data)
    parts = data.hold_out(fraction, torch.Generator().manual_seed(0))
    rows = [torch.cat([rows for _, rows in part.batches(7)]).flatten().long() for part in parts]
    assert [len(part) for part in rows] == [len(part) for part in parts]
    assert torch.cat(rows).sort().values.tolist() == list(range(95))
    unit = 10 if by_chunks else 1
    assert max(1, fraction * 95 - unit) <= len(parts[1]) <= max(unit, fraction * 95 + unit)
