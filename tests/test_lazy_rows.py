"""Rows that are read a slice at a time: what counts as such, and what is refused."""

import numpy as np
import pytest
import torch
from on_disk import OnDisk
from scipy import sparse

from skamort import SAEEncoder
from skamort._lazy_rows import LazyRows, is_lazy


@pytest.fixture
def values():
    return np.random.default_rng(0).standard_normal((50, 4))


def test_what_is_in_memory_is_not_lazy(values, tmp_path):
    frame = pytest.importorskip("pandas").DataFrame(values)
    for X in [values, values.tolist(), frame, sparse.csr_array(values), torch.from_numpy(values)]:
        assert not is_lazy(X)
    np.save(tmp_path / "X.npy", values)
    assert is_lazy(np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert is_lazy(OnDisk(values))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("i4", "f8")],
)
def test_slices_are_float_arrays(values, dtype, expected):
    rows = LazyRows(OnDisk((10 * values).astype(dtype)), SAEEncoder())
    assert rows.shape == (50, 4)
    assert rows[5:9].dtype == rows.dtype == np.dtype(expected)
    np.testing.assert_array_equal(rows[5:9], (10 * values).astype(dtype)[5:9])


@pytest.mark.parametrize(("chunks", "rows"), [((7, 4), 7), (((20, 20, 10), (4,)), 20), (None, 1)])
def test_chunks_are_those_of_the_source(values, chunks, rows):
    assert LazyRows(OnDisk(values, chunks), SAEEncoder()).chunk_rows == rows


def test_a_bad_row_is_named(values):
    values[33, 2] = np.nan
    rows = LazyRows(OnDisk(values), SAEEncoder())
    rows[:33]
    with pytest.raises(ValueError, match="SAEEncoder: row 33 of the data contains NaN"):
        rows[30:40]


def test_a_source_of_another_shape_is_refused(values):
    with pytest.raises(ValueError, match=r"must be a matrix .* got shape \(50,\)"):
        LazyRows(OnDisk(values[:, 0]), SAEEncoder())
    with pytest.raises(ValueError, match=r"at least one row .* got shape \(0, 4\)"):
        LazyRows(OnDisk(values[:0]), SAEEncoder())


def test_a_chunk_of_another_width_is_refused(values):
    class Ragged(OnDisk):
        def __getitem__(self, rows):
            return self.values[rows, : 3 if rows.start else 4]

    with pytest.raises(ValueError, match=r"rows 10 to 19 .* shape \(10, 3\), expected \(10, 4\)"):
        LazyRows(Ragged(values), SAEEncoder())[10:20]
