import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skamort import _explained_variance
from skamort.metrics import latent_variance, semantic_consistency, sources_per_latent


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 4), st.integers(1, 40))
def test_definition(seed, n_samples, n_classes, n_top):
    rng = np.random.default_rng(seed)
    codes = rng.random((n_samples, 3))  # no ties
    y = rng.integers(n_classes, size=n_samples)
    expected = []
    for column in codes.T:
        top = [i for i in np.argsort(-column)[:n_top] if column[i] > column.min()]
        counts = np.bincount(y[top], minlength=1)
        expected.append(counts.max() / len(top) if top else 0)
    assert_allclose(semantic_consistency(codes, y, n_top=n_top), expected)


def test_silent_samples_are_never_top():
    codes = np.zeros((100, 3))
    codes[:4, 0] = 1  # fires for one class alone
    codes[[0, 99], 1] = 1  # fires for two
    y = np.repeat(["a", "b"], 50)
    assert_allclose(semantic_consistency(codes, y), [1, 0.5, 0])


def test_order_of_samples_does_not_matter():
    rng = np.random.default_rng(0)
    codes, y = rng.normal(size=(200, 5)), rng.integers(4, size=200)
    order = rng.permutation(200)
    assert_allclose(semantic_consistency(codes, y), semantic_consistency(codes[order], y[order]))


def test_bad_input():
    with pytest.raises(ValueError, match="codes and y must have the same number of rows"):
        semantic_consistency(np.ones((3, 2)), [0, 1])
    with pytest.raises(ValueError, match="codes contains NaN"):
        semantic_consistency([[np.nan]], [0])
    with pytest.raises(ValueError, match="'n_top' parameter of semantic_consistency"):
        semantic_consistency([[1.0]], [0], n_top=0)


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 4), st.floats(0, 2), st.booleans()
)
def test_sources_per_latent_definition(seed, n_samples, n_sources, threshold, as_csr):
    rng = np.random.default_rng(seed)
    codes = rng.standard_normal((n_samples, 3)) * rng.integers(2, size=(n_samples, 3))
    sources = rng.integers(n_sources, size=n_samples)
    expected = np.zeros(3, dtype=int)
    for source in range(n_sources):
        expected += np.abs(codes[sources == source]).sum(axis=0) > threshold
    codes = sparse.csr_array(codes) if as_csr else codes
    counts = sources_per_latent(codes, sources, threshold=threshold)
    assert isinstance(counts, np.ndarray)
    assert_array_equal(counts, expected)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 5), min_size=3, max_size=3))
def test_normalized_counts_do_not_depend_on_how_often_a_source_comes(seed, times):
    codes = np.random.default_rng(seed).standard_normal((3, 4))
    rows = np.repeat(np.arange(3), times)
    for given_codes in (codes[rows], sparse.csr_array(codes[rows])):
        counts = sources_per_latent(given_codes, rows, threshold=0.5, normalize=True)
        assert_array_equal(counts, (np.abs(codes) > 0.5).sum(axis=0))


def test_a_latent_for_each_source_and_one_for_all():
    names = np.array(["b", "a", "c"])
    codes = np.hstack([np.eye(3), np.ones((3, 1)), np.zeros((3, 1))])
    assert_array_equal(sources_per_latent(codes, names), [1, 1, 1, 3, 0])


def test_codes_of_a_source_add_up_to_the_threshold():
    codes, sources = np.full((4, 1), 0.3), [0, 0, 0, 1]
    assert_array_equal(sources_per_latent(codes, sources, threshold=0.5), [1])
    assert_array_equal(sources_per_latent(-codes, sources, threshold=0.5), [1])


def test_sources_per_latent_bad_input():
    with pytest.raises(ValueError, match="codes and sources must have the same number of rows"):
        sources_per_latent(np.ones((3, 2)), [0, 1])
    with pytest.raises(ValueError, match="codes contains NaN"):
        sources_per_latent([[np.nan]], [0])
    with pytest.raises(ValueError, match="'threshold' parameter of sources_per_latent"):
        sources_per_latent([[1.0]], [0], threshold=-1)


@pytest.mark.parametrize("n_top", [1, 3, 50])
@pytest.mark.parametrize("signed", [False, True])
def test_consistency_of_sparse_codes_is_that_of_dense_ones(n_top, signed, monkeypatch):
    random = np.random.default_rng(0)
    codes = random.poisson(0.2, (40, 9)) * (random.choice([-1, 1], (40, 9)) if signed else 1)
    y = random.integers(3, size=40)
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 40 * 4)
    found = semantic_consistency(sparse.csr_array(codes), y, n_top=n_top)
    assert_array_equal(found, semantic_consistency(codes, y, n_top=n_top))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.floats(0.1, 1e6))
def test_latent_variance_is_that_of_columns_dense_and_sparse(seed, n_samples, scale):
    rng = np.random.default_rng(seed)
    codes = scale * rng.random((n_samples, 4)) * rng.integers(2, size=(n_samples, 4))
    codes[:, 0] = 0  # a dead latent
    expected = np.var(codes, axis=0)
    means = np.where(codes.any(axis=0), codes.mean(axis=0), np.inf)
    for form in (codes, sparse.csr_array(codes), sparse.csr_matrix(codes)):
        before = form.copy()
        assert_allclose(latent_variance(form), expected, atol=1e-12 * scale**2)
        assert_allclose(latent_variance(form, relative=True), expected / means**2, atol=1e-12)
        assert abs(form - before).max() == 0  # nothing was changed


def test_constant_codes_have_no_variance():
    assert_allclose(latent_variance(sparse.csr_array(np.full((5, 2), 0.1))), 0, atol=1e-30)
    with pytest.raises(ValueError, match="codes contains NaN"):
        latent_variance([[np.nan]])
