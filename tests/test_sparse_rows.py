"""Rows of CSR arrays: those of the dense array, whatever the layout, and their statistics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from skamort import _rows
from skamort._sparse_rows import SparseRows, _canonical
from skamort._unit import root_mean_square


@st.composite
def csr_arrays(draw):
    """Arrays with entries that come twice, in any order, and zeros that are stored."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 7))
    n_entries = draw(st.integers(0, 40))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    indptr = np.sort(random.integers(0, n_entries + 1, shape[0] - 1))
    indptr = np.concatenate([[0], indptr, [n_entries]])
    columns = random.integers(0, shape[1], n_entries)
    values = random.integers(-2, 3, n_entries) * draw(st.sampled_from([1, 2.0**-100, 2.0**60]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    index = draw(st.sampled_from([np.int32, np.int64]))
    parts = (values.astype(dtype), columns.astype(index), indptr.astype(index))
    return draw(st.sampled_from([sparse.csr_array, sparse.csr_matrix]))(parts, shape)


@settings(deadline=None, max_examples=30)
@given(X=csr_arrays(), block_rows=st.integers(1, 12), factor=st.sampled_from([1, 0.25, 2.0**40]))
def test_rows_and_statistics_are_those_of_the_dense_array(X, block_rows, factor):
    dense, before = torch.from_numpy(X.toarray()), X.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "BLOCK_ELEMENTS", block_rows * X.shape[1])
        rows = SparseRows(X, "SAEEncoder")
        center = rows.mean(0)
        torch.testing.assert_close(center, dense.mean(0), atol=0, rtol=1e-5)
        for changed, expected in [
            (rows, dense),
            (rows * factor, dense * factor),
            (rows - center, dense - center),
            ((rows - center) * factor, (dense - center) * factor),
            (rows * factor - center, dense * factor - center),
            (rows - center - center, dense - center - center),
        ]:
            rounding = 1e-5 * float(factor * dense.abs().max())
            torch.testing.assert_close(changed[:], expected, atol=rounding, rtol=0)
            torch.testing.assert_close(changed.mean(0), expected.mean(0), atol=rounding, rtol=0)
            if expected.abs().max() > rounding:
                size = root_mean_square(expected)
                assert changed.root_mean_square() == pytest.approx(size, rel=1e-3)
        assert torch.equal(rows[:], dense)
        weights = torch.from_numpy(np.random.default_rng(0).integers(0, 4, len(dense)) * 0.7)
        repeated = dense.double().repeat_interleave((weights / 0.7).round().long(), dim=0)
        if len(repeated):
            mean, rounding = repeated.mean(0), 1e-5 * float(dense.abs().max())
            torch.testing.assert_close(rows.mean(0, weights).double(), mean, atol=rounding, rtol=0)
            size = root_mean_square(repeated - mean)
            if size > rounding:
                assert (rows - mean).root_mean_square(weights) == pytest.approx(size, rel=1e-5)
    assert all(map(np.array_equal, *((a.data, a.indices, a.indptr) for a in (X, before))))


@settings(deadline=None, max_examples=20)
@given(n_rows=st.integers(2, 9), seed=st.integers(0, 9))
def test_a_part_is_as_sparse_as_the_whole(n_rows, seed):
    X = sparse.random(9, 4, density=0.3, random_state=seed).tocsr()
    part = torch.from_numpy(np.random.default_rng(seed).integers(0, 9, n_rows))
    center = torch.ones(4, dtype=torch.float64)
    taken = (SparseRows(X, "SAEEncoder") - center).take(part)
    assert sparse.issparse(taken.source)
    np.testing.assert_array_equal(taken[:], X.toarray()[part] - 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 5, 8])
def test_a_bad_row_is_named(bad, place):
    dense = np.eye(9)
    dense[[3, 4]] = 0
    dense[place, 1] = bad
    with pytest.raises(ValueError, match=f"SAEEncoder: row {place} of the data contains NaN or"):
        SparseRows(sparse.csr_array(dense), "SAEEncoder")


def test_what_fits_in_a_block_is_held_and_no_more(monkeypatch):
    rows = SparseRows(sparse.csr_array(np.eye(4)), "SAEEncoder") * 2
    held = rows.hold()
    assert isinstance(held[:], torch.Tensor)
    assert not isinstance(held, SparseRows)
    np.testing.assert_array_equal(held[1:], 2 * np.eye(4)[1:])
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 15)
    assert rows.hold() is rows


def test_complex_numbers_are_refused():
    with pytest.raises(ValueError, match="Complex data not supported"):
        SparseRows(sparse.csr_array(1j * np.eye(3)), "SAEEncoder")


def test_entries_that_come_twice_are_summed_before_they_are_squared():
    twice = sparse.csr_array(([1.0, 1.0, 2.0], [1, 1, 0], [0, 3]), shape=(1, 3))
    assert SparseRows(twice, "SAEEncoder").root_mean_square() == pytest.approx((8 / 3) ** 0.5)
    assert twice.nnz == 3
    assert _canonical(twice).nnz == 2  # not only once SciPy slices it
