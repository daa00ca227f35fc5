import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.decomposition import sparse_encode

from skamort import _explained_variance
from skamort.metrics import reconstruction_bias, reconstruction_slope

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed):
    rng = np.random.default_rng(seed)
    return rng, rng.standard_normal((30, 5))


@settings(deadline=None)
@given(SEEDS, st.floats(0.01, 10), st.sampled_from([1e-300, 1e-30, 1, 1e30, 1e300]))
def test_what_is_only_shrunk_is_found_in_any_unit(seed, factor, unit):
    _, X = draw(seed)
    assert reconstruction_slope(unit * X, unit * (factor * X)) == pytest.approx(factor)
    assert reconstruction_bias(unit * X, unit * (factor * X)) == pytest.approx(factor)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 4), st.floats(0.1, 1))
def test_bias_does_not_see_what_is_left_out_and_slope_does(seed, rank, factor):
    """Of a projection, shrunk."""
    rng, X = draw(seed)
    basis = np.linalg.qr(rng.standard_normal((5, rank))).Q
    X_hat = factor * X @ basis @ basis.T
    assert reconstruction_bias(X, X_hat) == pytest.approx(factor)
    explained = np.square(X_hat / factor).sum() / np.square(X).sum()
    assert reconstruction_slope(X, X_hat) == pytest.approx(factor * explained)


@settings(deadline=None)
@given(SEEDS)
def test_definitions_hold_for_any_reconstruction(seed):
    """The slope minimizes ||X_hat - slope X||, the bias ||X - X_hat / bias||."""
    rng, X = draw(seed)
    X_hat = X + rng.standard_normal(X.shape)
    slope, bias = reconstruction_slope(X, X_hat), reconstruction_bias(X, X_hat)
    assert_allclose((X * (X_hat - slope * X)).sum(), 0, atol=1e-10)
    assert_allclose((X_hat * (X - X_hat / bias)).sum(), 0, atol=1e-10)


def test_a_penalty_shrinks_and_least_squares_do_not():
    rng, X = draw(0)
    atoms = rng.standard_normal((8, 5))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    penalized = sparse_encode(X, atoms, alpha=0.5) @ atoms
    pursued = sparse_encode(X, atoms, algorithm="omp", n_nonzero_coefs=2) @ atoms
    assert reconstruction_bias(X, penalized) < 0.9
    assert reconstruction_bias(X, pursued) == pytest.approx(1)


def test_sparse_data_and_blocks_of_rows(monkeypatch):
    rng, X = draw(1)
    X_hat = X * rng.integers(2, size=X.shape)
    for metric in (reconstruction_slope, reconstruction_bias):
        expected = metric(X, X_hat)
        assert metric(sparse.csr_array(X), sparse.csr_matrix(X_hat)) == pytest.approx(expected)
        with monkeypatch.context() as patch:
            patch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 20)
            assert metric(X, X_hat) == pytest.approx(expected)


def test_nothing_reconstructed_or_nothing_there():
    X = np.eye(2)
    assert reconstruction_slope(X, 0 * X) == reconstruction_bias(X, 0 * X) == 0
    assert reconstruction_bias(X, X[::-1]) == np.inf
    with pytest.raises(ValueError, match="reconstruction_slope: X is 0 everywhere"):
        reconstruction_slope(0 * X, X)
    with pytest.raises(ValueError, match="must have the shape of X"):
        reconstruction_bias(X, X[:1])
    with pytest.raises(ValueError, match="X contains NaN"):
        reconstruction_slope([[np.nan]], [[1.0]])
