import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse

from skamort.metrics import dead_fraction, mean_l0

CODES = arrays(
    np.float64, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(-2, 2)
)


@settings(deadline=None)
@given(CODES, st.sampled_from([0.0, 1.0]))
def test_definition(codes, threshold):
    active = np.abs(codes) > threshold
    assert mean_l0(codes, threshold=threshold) == pytest.approx(active.sum() / len(codes))
    dead = [not column.any() for column in active.T]
    assert dead_fraction(codes, threshold=threshold) == pytest.approx(np.mean(dead))


@settings(deadline=None)
@given(CODES, st.sampled_from([sparse.csr_array, sparse.csr_matrix, sparse.coo_array]))
def test_sparse_codes_as_dense_ones(codes, container):
    assert mean_l0(container(codes)) == mean_l0(codes)
    assert dead_fraction(container(codes)) == dead_fraction(codes)
    assert dead_fraction(container(codes), threshold=1) == dead_fraction(codes, threshold=1)


def test_stored_zeros_are_silent():
    codes = sparse.csr_array(([0.0, 3.0], ([0, 1], [0, 1])), shape=(2, 3))
    assert codes.nnz == 2
    assert mean_l0(codes) == 0.5
    assert dead_fraction(codes) == pytest.approx(2 / 3)


def test_a_million_rows_stay_sparse():
    """Dense, these codes would take 131 GB."""
    rows = np.arange(1_000_000)
    codes = sparse.csr_array((np.ones(len(rows)), (rows, rows % 1000)), shape=(1_000_000, 16_384))
    assert mean_l0(codes) == 1
    assert dead_fraction(codes) == 1 - 1000 / 16_384


@pytest.mark.parametrize("metric", [mean_l0, dead_fraction])
def test_bad_input(metric):
    with pytest.raises(ValueError, match="codes contains NaN"):
        metric([[0.0, np.nan]])
    with pytest.raises(ValueError, match=r"matrix .* got shape \(2,\)"):
        metric([1.0, 2.0])
    with pytest.raises(ValueError, match=f"'threshold' parameter of {metric.__name__}"):
        metric([[1.0]], threshold=-1)
