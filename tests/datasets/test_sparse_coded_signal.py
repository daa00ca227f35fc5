import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skamort.datasets import make_sparse_coded_signal, zipf_weights

SIZES = {"n_components": 10, "n_features": 6, "n_nonzero_coefs": 3}


@settings(deadline=None)
@given(
    n_samples=st.integers(1, 20),
    n_components=st.integers(1, 12),
    n_features=st.integers(1, 12),
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_call_of_sklearn_means_the_same(n_samples, n_components, n_features, data, seed):
    call = {
        "n_samples": n_samples,
        "n_components": n_components,
        "n_features": n_features,
        "n_nonzero_coefs": data.draw(st.integers(1, n_components)),
        "random_state": seed,
    }
    ours = make_sparse_coded_signal(**call)
    theirs = sklearn.datasets.make_sparse_coded_signal(**call)
    for our, their in zip(ours, theirs, strict=True):
        assert our.shape == their.shape
        assert_allclose(our, their, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(
    positive=st.booleans(),
    zipf_exponent=st.sampled_from([0.0, 0.5, 2.0]),
    n_nonzero_coefs=st.integers(1, 10),
    seed=st.integers(0, 2**32 - 1),
)
def test_structure(positive, zipf_exponent, n_nonzero_coefs, seed):
    X, dictionary, codes = make_sparse_coded_signal(
        30,
        n_components=10,
        n_features=6,
        n_nonzero_coefs=n_nonzero_coefs,
        positive=positive,
        zipf_exponent=zipf_exponent,
        random_state=seed,
    )
    assert_array_equal((codes != 0).sum(axis=1), n_nonzero_coefs)
    assert_allclose(np.linalg.norm(dictionary, axis=1), 1)
    assert_allclose(X, codes @ dictionary)
    assert (codes.min() >= 0) == positive


def test_positive_only_drops_the_signs():
    _, _, signed = make_sparse_coded_signal(20, **SIZES, random_state=0)
    _, _, positive = make_sparse_coded_signal(20, **SIZES, positive=True, random_state=0)
    assert_array_equal(positive, np.abs(signed))


def test_noise_has_the_standard_deviation_asked_for():
    X, dictionary, codes = make_sparse_coded_signal(5000, **SIZES, noise=0.3, random_state=0)
    error = X - codes @ dictionary
    assert error.std() == pytest.approx(0.3, rel=0.02)
    assert error.mean() == pytest.approx(0, abs=0.01)


def test_zipf_weights_frequency_and_magnitude():
    _, _, codes = make_sparse_coded_signal(
        20_000, n_components=6, n_features=2, n_nonzero_coefs=1, zipf_exponent=1, random_state=0
    )
    rank = np.arange(1, 7)
    fired = codes != 0
    assert_allclose(fired.mean(axis=0), (1 / rank) / (1 / rank).sum(), rtol=0.1)
    rms = np.sqrt((codes**2).sum(axis=0) / fired.sum(axis=0))
    assert_allclose(rms, 1 / rank, rtol=0.1)


def test_more_non_zeros_than_atoms():
    with pytest.raises(ValueError, match=r"n_nonzero_coefs=11 exceeds n_components=10"):
        make_sparse_coded_signal(5, n_components=10, n_features=4, n_nonzero_coefs=11)


# -- Laws of supports ------------------------------------------------------------------------------


def active(n_samples=3000, **params):
    """Which of twelve sources are active."""
    settings = {"n_components": 12, "n_features": 4, "n_nonzero_coefs": 3, "random_state": 0}
    return make_sparse_coded_signal(n_samples, **settings | params)[2] != 0


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    span=st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted).map(tuple),
    zipf_exponent=st.sampled_from([0.0, 1.0]),
    group_size=st.integers(2, 12),
    correlation=st.sampled_from([0.0, 0.5, 0.99]),
    hierarchical=st.booleans(),
)
def test_supports_have_a_number_in_the_range_and_no_child_without_its_parent(
    seed, span, hierarchical, **law
):
    fired = active(20, n_nonzero_coefs=span, hierarchical=hierarchical, random_state=seed, **law)
    counts = fired.sum(axis=1)
    assert span[0] <= counts.min() <= counts.max() <= span[1]
    if hierarchical:
        size = law["group_size"]
        parents = fired[:, np.arange(12) // size * size]
        assert parents[fired].all()


def test_numbers_of_a_range_are_equally_likely():
    counts = active(n_nonzero_coefs=(1, 4)).sum(axis=1)
    assert_allclose(np.bincount(counts, minlength=5)[1:] / 3000, 0.25, atol=0.03)


def test_binomial_sources_are_active_on_their_own():
    fired = active(n_nonzero_law="binomial")
    assert fired.mean() == pytest.approx(0.25, abs=0.01)
    assert fired.sum(axis=1).var() == pytest.approx(12 * 0.25 * 0.75, rel=0.1)
    correlations = np.corrcoef(fired.T) - np.eye(12)
    assert np.abs(correlations).max() < 0.08


def test_correlation_brings_the_sources_of_a_group_together():
    together = []
    for correlation in (0, 0.5, 0.95):
        fired = active(group_size=3, correlation=correlation).astype(float)
        correlations = np.corrcoef(fired.T)
        together.append(np.mean([correlations[i, i + 1] for i in range(0, 12, 3)]))
        assert_allclose(fired.mean(axis=0), 0.25, atol=0.04)
    assert together[0] < 0 < together[1] < together[2]
    assert together[2] > 0.6


def test_keys_draw_in_proportion_to_the_weights():
    """With next to no correlation, as where there is none and NumPy draws."""
    law = {"zipf_exponent": 1, "n_nonzero_coefs": 2, "group_size": 2}
    without = active(6000, **law).mean(axis=0)
    assert_allclose(active(6000, correlation=1e-9, **law).mean(axis=0), without, atol=0.03)


# -- Laws of magnitudes and of data ----------------------------------------------------------------


def test_importance_scales_codes_and_leaves_frequencies():
    weights = zipf_weights(10, offset=0.1)
    params = {**SIZES, "zipf_exponent": 1, "random_state": 0}
    alike = make_sparse_coded_signal(50, **params, importance=np.ones(10))[2]
    assert_allclose(make_sparse_coded_signal(50, **params, importance=weights)[2], alike * weights)
    by_rank = make_sparse_coded_signal(50, **params)[2]
    assert_allclose(by_rank, alike / np.arange(1, 11))


@given(st.integers(1, 40), st.floats(0, 3), st.floats(0, 2))
def test_zipf_weights(n, exponent, offset):
    weights = zipf_weights(n, exponent=exponent, offset=offset)
    assert weights.sum() == pytest.approx(1 + offset * n)
    assert_allclose((weights - offset) / (weights[0] - offset), np.arange(1, n + 1) ** -exponent)


def test_an_intercept_is_one_vector_of_the_norm_asked_for():
    X, dictionary, codes = make_sparse_coded_signal(20, **SIZES, intercept=1.5, random_state=0)
    rest = X - codes @ dictionary
    assert_allclose(rest, np.broadcast_to(rest[0], rest.shape))
    assert np.linalg.norm(rest[0]) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_nonzero_coefs": (3, 11)}, r"n_nonzero_coefs=\(3, 11\) exceeds n_components=10"),
        ({"n_nonzero_coefs": (3, 2)}, r"the least and the largest of a range.* got \(3, 2\)"),
        ({"n_nonzero_coefs": (1, 2, 3)}, "the least and the largest"),
        ({"n_nonzero_coefs": (0.5, 2)}, "the least and the largest"),
        ({"n_nonzero_coefs": (1, 2), "n_nonzero_law": "binomial"}, "draws around one number"),
        ({"correlation": 0.5}, "groups of two atoms and more, got group_size=1"),
        ({"hierarchical": True}, "groups of two atoms and more"),
        ({"importance": np.ones(4)}, r"one weight an atom.*shape \(4,\).*10 atoms"),
        ({"importance": -np.ones(10)}, "0 or above"),
    ],
)
def test_laws_that_do_not_go_together(wrong, message):
    with pytest.raises(ValueError, match=f"make_sparse_coded_signal: .*{message}"):
        make_sparse_coded_signal(5, **SIZES | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_samples": 0},
        {"n_components": 2.5},
        {"n_features": -1},
        {"noise": -0.1},
        {"zipf_exponent": float("nan")},
        {"positive": "yes"},
        {"random_state": "seed"},
    ],
)
def test_bad_parameter(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=rf"'{name}' parameter of make_sparse_coded_signal"):
        make_sparse_coded_signal(**{"n_samples": 5, **SIZES, **wrong})


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        ({"n_nonzero_coefs": (True, 3)}, r"n_nonzero_coefs must be .*\(True, 3\)"),
        ({"n_nonzero_coefs": (1, True)}, r"n_nonzero_coefs must be .*\(1, True\)"),
        ({"group_size": 9}, "group_size=9 exceeds n_components=8"),
    ],
)
def test_numbers_of_atoms_that_there_cannot_be(broken, match):
    settings = {"n_components": 8, "n_features": 4, "n_nonzero_coefs": 2} | broken
    with pytest.raises(ValueError, match=match):
        make_sparse_coded_signal(5, **settings)
