import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skamort.datasets import make_sparse_coded_signal

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
