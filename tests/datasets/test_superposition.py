import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skamort.datasets import make_superposition

SMALL = {"n_components": 3, "n_features": 2}
SEEDS = st.integers(0, 2**32 - 1)


def gram_of(mixing, n_components, n_features):
    sizes = {"n_components": n_components, "n_features": n_features}
    _, dictionary, _ = make_superposition(1, mixing=mixing, **sizes)
    assert dictionary.shape == (n_components, n_features)
    return dictionary @ dictionary.T


@settings(deadline=None)
@given(SEEDS, st.floats(0, 0.99), st.integers(1, 5), st.integers(1, 5))
def test_structure(seed, sparsity, n_components, n_features):
    mixing = np.random.default_rng(seed).standard_normal((n_components, n_features))
    sizes = {"n_components": n_components, "n_features": n_features, "sparsity": sparsity}
    X, dictionary, codes = make_superposition(400, mixing=mixing, random_state=seed, **sizes)
    assert_array_equal(dictionary, mixing)
    assert_allclose(X, codes @ mixing)
    assert codes.shape == (400, n_components)
    assert codes.min() >= 0
    assert codes.max() <= 1
    assert abs((codes == 0).mean() - sparsity) < 0.15
    assert sparsity > 0 or codes.min() > 0
    again = make_superposition(400, mixing=mixing, random_state=seed, **sizes)
    assert_array_equal(X, again[0])


@settings(deadline=None)
@given(st.integers(1, 8), st.data())
def test_digons_are_opposite_and_all_else_is_at_right_angles(n_features, data):
    n = data.draw(st.integers(n_features + 1, 2 * n_features))
    gram = gram_of("digons", n, n_features)
    assert_array_equal(np.unique(gram), [-1, 0, 1] if n > 2 else [-1, 1])
    assert_array_equal((gram == -1).sum(axis=0) > 0, np.arange(n) < 2 * (n - n_features))


@settings(deadline=None)
@given(st.integers(1, 8), st.data())
def test_simplices_are_regular_and_at_right_angles(n_features, data):
    n = data.draw(st.integers(n_features + 1, 2 * n_features))
    gram = gram_of("simplices", n, n_features)
    sizes = 1 + (gram < -1e-9).sum(axis=0)  # of the simplex that a source is in
    assert_allclose(np.diag(gram), 1)
    assert sizes.max() - sizes.min() <= 1
    assert_allclose((1 / sizes).sum(), n - n_features)  # as many simplices
    expected = np.where(gram < -1e-9, -1 / (sizes - 1), np.eye(n))
    assert_allclose(gram, expected, atol=1e-9)


def test_learned_mixing_keeps_the_sources_that_are_important():
    settings = {"n_components": 4, "n_features": 2, "sparsity": 0.3, "random_state": 0}
    _, dictionary, _ = make_superposition(1, importance=[0, 0, 1, 1], max_iter=200, **settings)
    norms = np.linalg.norm(dictionary, axis=1)
    assert norms[2:].min() > 2 * norms[:2].max()
    assert abs(dictionary[2] @ dictionary[3]) < 0.2


def test_bad_input():
    with pytest.raises(ValueError, match="make no digons or simplices in 2 dimensions"):
        make_superposition(1, n_components=5, n_features=2, mixing="digons")
    with pytest.raises(ValueError, match="make no digons or simplices in 3 dimensions"):
        make_superposition(1, n_components=3, n_features=3, mixing="simplices")
    with pytest.raises(ValueError, match=r"mixing has shape \(2, 2\)"):
        make_superposition(1, mixing=np.eye(2), **SMALL)
    with pytest.raises(ValueError, match="mixing contains NaN"):
        make_superposition(1, mixing=[[np.nan, 0]], **SMALL)
    with pytest.raises(ValueError, match="needs 3 weights >= 0"):
        make_superposition(1, importance=[1, 2], **SMALL)
    with pytest.raises(ValueError, match="the smallest -1"):
        make_superposition(1, importance=[1, 2, -1], **SMALL)
    with pytest.raises(ValueError, match="importance weighs what is learned"):
        make_superposition(1, importance=[1, 1, 1], mixing="simplices", **SMALL)
    with pytest.raises(ValueError, match="'sparsity' parameter of make_superposition"):
        make_superposition(1, sparsity=1.0, **SMALL)
