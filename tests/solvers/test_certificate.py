"""The duality gap on codes of any origin."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from skamort.solvers import duality_gap


def objective(X, codes, dictionary, alpha):
    return 0.5 * ((X - codes @ dictionary) ** 2).sum(axis=1) + alpha * np.abs(codes).sum(axis=1)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 10), st.integers(1, 20), st.floats(0, 3), st.booleans()
)
def test_gap_bounds_the_excess_of_any_codes(seed, n_features, n_components, alpha, positive):
    rng = np.random.default_rng(seed)
    dictionary = rng.standard_normal((n_components, n_features))
    X = rng.standard_normal((3, n_features))
    codes, rival = rng.standard_normal((2, 3, n_components)) * rng.integers(
        0, 2, (2, 3, n_components)
    )
    if positive:
        codes, rival = np.abs(codes), np.abs(rival)
    gap = duality_gap(X, codes, dictionary, alpha, positive)
    assert (gap >= 0).all()
    lower = objective(X, codes, dictionary, alpha) - gap
    for other in (rival, 0 * rival):
        assert (lower <= objective(X, other, dictionary, alpha) + 1e-9).all()


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("n_components", [5, 30])
def test_gap_vanishes_at_the_optimum(positive, n_components):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((n_components, 10))
    X = rng.standard_normal((20, 10))
    # Lasso divides the squared error by the number of features.
    lasso = Lasso(0.03, fit_intercept=False, tol=1e-14, max_iter=100_000, positive=positive)
    codes = lasso.fit(dictionary.T, X.T).coef_
    assert (duality_gap(X, codes, dictionary, 0.3, positive) < 1e-9).all()


def test_gap_is_float64_and_exact_for_float32_codes():
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((20, 10)).astype(np.float32)
    X, codes = rng.standard_normal((2, 4, 10)).astype(np.float32)
    codes = np.hstack([codes, codes])
    gap = duality_gap(X, codes, dictionary, 0.25)
    assert gap.dtype == np.float64
    np.testing.assert_allclose(
        gap, duality_gap(*(a.astype(float) for a in (X, codes, dictionary)), 0.25), rtol=1e-12
    )
    tensors = duality_gap(*(torch.from_numpy(a) for a in (X, codes, dictionary)), 0.25)
    np.testing.assert_allclose(tensors, gap)


def test_negative_codes_are_refused_where_codes_must_be_positive():
    with pytest.raises(ValueError, match="codes holds negative values"):
        duality_gap(np.eye(2), -np.eye(2), np.eye(2), 0.1, positive=True)


def test_codes_below_zero_by_rounding_count_as_zero():
    # scikit-learn's solvers with positive=True leave such codes.
    X, codes = np.array([[3.0, 0.5]]), np.array([[2.0, -1e-18]])
    np.testing.assert_array_equal(duality_gap(X, codes, np.eye(2), 1.0, positive=True), 0.0)
