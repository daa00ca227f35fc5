"""Rows of a matrix: what counts as not in memory, what is read, what is shared, what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from on_disk import OnDisk
from scipy import sparse

from skamort import _rows
from skamort._rows import Rows, is_lazy
from skamort._sparse_rows import rows_of as sparse_or_not


@pytest.fixture
def values():
    return np.random.default_rng(0).standard_normal((50, 4))


def rows_of(source):
    return sparse_or_not(source, "SAEEncoder")


def test_what_is_in_memory_is_not_lazy(values, tmp_path):
    frame = pytest.importorskip("pandas").DataFrame(values)
    for X in [values, values.tolist(), frame, sparse.csr_array(values), torch.from_numpy(values)]:
        assert not is_lazy(X)
    np.save(tmp_path / "X.npy", values)
    assert is_lazy(np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert is_lazy(OnDisk(values))


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def mapped(values, tmp_path):
    np.save(tmp_path / "X.npy", values)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


@pytest.fixture(params=["array", "read_only", "held", "csr", "map", "disk", "chunks", "torch"])
def source(request, values, tmp_path):
    kinds = {
        "array": lambda: values,
        "read_only": lambda: read_only(values),
        "csr": lambda: sparse.csr_array(values),
        "map": lambda: mapped(values, tmp_path),
        "disk": lambda: OnDisk(values),
        "chunks": lambda: OnDisk(values, (7, 4)),
        "torch": lambda: OnDisk(torch.from_numpy(values)),
    }
    return rows_of(values).hold() if request.param == "held" else rows_of(kinds[request.param]())


@pytest.mark.parametrize(
    "which",
    [
        *(slice(5, 9), slice(None), slice(45, 99), slice(3, 40, 5)),
        *(np.array([3, 49, 0, 3]), torch.tensor([8]), torch.tensor([], dtype=torch.int64)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_sources_give_the_same_rows(source, values, which, dtype):
    rows = source.to(dtype=dtype, device=torch.device("cpu"))
    assert rows.shape == (len(rows), 4) == (50, 4)
    assert rows[which].dtype == rows.dtype == dtype
    assert torch.equal(rows[which], torch.from_numpy(values)[which].to(dtype))
    assert source.dtype == torch.float64


@settings(deadline=None, max_examples=50)
@given(
    n_samples=st.integers(1, 60),
    chunk_rows=st.integers(1, 70),
    block_rows=st.integers(1, 40),
    data=st.data(),
)
def test_single_rows_cost_at_most_a_stored_chunk_each(n_samples, chunk_rows, block_rows, data):
    values = np.arange(2.0 * n_samples).reshape(n_samples, 2)
    which = data.draw(st.lists(st.integers(0, n_samples - 1), max_size=30))
    source = OnDisk(values, (chunk_rows, 2), most_rows=block_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "BLOCK_ELEMENTS", 2 * block_rows)
        found = rows_of(source)[np.array(which, dtype=int)]
    assert_array_equal(found, values[which])
    assert source.n_read <= 1 + len(which) * chunk_rows


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f2", torch.float32), ("f4", torch.float32), ("f8", torch.float64), ("i4", torch.float64)],
)
def test_rows_are_floats(values, dtype, expected):
    stored = (10 * values).astype(dtype)
    rows = rows_of(OnDisk(stored))
    assert rows[5:9].dtype == rows.dtype == expected
    assert_array_equal(rows[5:9], stored[5:9])


@pytest.mark.parametrize(("chunks", "rows"), [((7, 4), 7), (((20, 20, 10), (4,)), 20), (None, 1)])
def test_chunks_are_those_of_the_source(values, chunks, rows):
    assert rows_of(OnDisk(values, chunks)).chunk_rows == rows


@pytest.mark.parametrize("width", [1, 4, 16])
def test_blocks_hold_a_bounded_number_of_elements(values, monkeypatch, width):
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 33)
    rows = rows_of(values)
    blocks = [rows[block] for block in rows.blocks(width)]
    assert torch.equal(torch.cat(blocks), rows[:])
    assert max(len(block) * max(4, width) for block in blocks) <= 33


def test_memory_is_shared_where_it_may_be(values):
    rows = rows_of(values)
    held = rows.hold()
    values[:] = 7
    assert (rows[3:5] == 7).all()
    assert (held[3:5] == 7).all()


def test_a_whole_is_held_where_memory_is_no_matter(values, monkeypatch):
    frozen = rows_of(read_only(values))
    assert frozen.hold() is frozen
    small, large = OnDisk(values), OnDisk(np.repeat(values, 2, axis=0))
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", values.size)
    held, kept = rows_of(small).hold(), rows_of(large).hold()
    assert (held.in_memory, kept.in_memory) == (True, False)
    n_read = small.n_read
    assert_array_equal(held[:], values)
    assert small.n_read == n_read
    assert large.most_rows <= 1


@pytest.mark.parametrize("kind", [OnDisk, None])
def test_a_bad_row_is_named(values, kind, tmp_path):
    values[33, 2] = np.nan
    rows = rows_of(kind(values) if kind else mapped(values, tmp_path))
    rows[:33]
    rows[np.array([34, 2])]
    for bad in [slice(30, 40), np.array([2, 49, 33])]:
        with pytest.raises(ValueError, match="SAEEncoder: row 33 of the data contains NaN"):
            rows[bad]


def test_a_bad_row_in_memory_is_named_at_once(values):
    values[33, 2] = np.inf
    with pytest.raises(ValueError, match="SAEEncoder: row 33 of the codes contains NaN or inf"):
        Rows(values, "SAEEncoder", "codes")


def test_numbers_whose_sum_overflows_are_finite():
    rows_of(np.full((3, 2), 1e308))


def test_a_source_of_another_shape_is_refused(values):
    with pytest.raises(ValueError, match=r"must be a matrix .* got shape \(50,\)"):
        rows_of(OnDisk(values[:, 0]))
    with pytest.raises(ValueError, match=r"at least one row .* got shape \(0, 4\)"):
        rows_of(OnDisk(values[:0]))


def test_a_chunk_of_another_width_is_refused(values):
    class Ragged(OnDisk):
        def __getitem__(self, rows):
            return self.values[rows, : 3 if rows.start else 4]

    with pytest.raises(ValueError, match=r"rows 10 to 19 .* shape \(10, 3\), expected \(10, 4\)"):
        rows_of(Ragged(values))[10:20]


def test_texts_and_complex_numbers_on_disk_are_refused(values, tmp_path):
    for spoilt, held in [
        (values + 1j, "Complex data not supp"),
        (values.astype("U5"), "got texts"),
    ]:
        for source in (mapped(spoilt, tmp_path), OnDisk(spoilt)):
            with pytest.raises(ValueError, match=f"SAEEncoder: .*{held}"):
                rows_of(source)
