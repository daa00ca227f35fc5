"""The regularization path and its beginning."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import lasso_path

from skamort.solvers import alpha_max, sparse_encode, sparse_encode_path


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 12), st.booleans())
def test_alpha_max_is_where_codes_begin(seed, n_features, n_components, positive):
    rng = np.random.default_rng(seed)
    dictionary, x = (
        rng.standard_normal((n_components, n_features)),
        rng.standard_normal((1, n_features)),
    )
    limit = alpha_max(x, dictionary, positive=positive)
    assert limit.shape == (1,)
    above = sparse_encode(x, dictionary, alpha=limit[0], positive=positive, algorithm="cd")
    assert not above.any()
    if limit[0] > 0:
        below = sparse_encode(
            x, dictionary, alpha=0.9 * limit[0], positive=positive, algorithm="cd", tol=1e-9
        )
        assert below.any()


@pytest.mark.parametrize("positive", [False, True])
def test_agrees_with_scikit_learns_path(positive):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((20, 10)), rng.standard_normal((4, 10))
    path = sparse_encode_path(X, dictionary, positive=positive, n_alphas=8, tol=1e-10)
    for i, x in enumerate(X):
        _, coefs, _ = lasso_path(
            dictionary.T, x, alphas=path.alphas / 10, positive=positive, tol=1e-10, max_iter=100_000
        )
        np.testing.assert_allclose(path.codes[:, i], coefs.T, atol=1e-4)
    assert (path.gaps <= 1e-10 * (X**2).sum(axis=1)).all()


@pytest.mark.parametrize("algorithm", ["cd", "fista"])
def test_begins_at_zero_and_falls(algorithm):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((20, 10)), rng.standard_normal((4, 10))
    path = sparse_encode_path(X, dictionary, algorithm=algorithm, n_alphas=5, eps=0.1)
    assert path.codes.shape == (5, 4, 20)
    assert path.gaps.shape == (5, 4)
    assert not path.codes[0].any()
    assert (path.codes[-1] > 0).any()
    assert (path.codes[-1] < 0).any()
    assert (np.diff(path.alphas) < 0).all()
    np.testing.assert_allclose(path.alphas[-1] / path.alphas[0], 0.1)


def test_torch_in_torch_out():
    X, dictionary = torch.eye(3)[:2], torch.eye(3)
    path = sparse_encode_path(X, dictionary, alphas=torch.tensor([0.5, 2.0]))
    assert isinstance(path.codes, torch.Tensor)
    np.testing.assert_allclose(path.alphas, [2.0, 0.5])
    torch.testing.assert_close(path.codes[1], 0.5 * X)
    assert isinstance(alpha_max(X, dictionary), torch.Tensor)


def test_data_without_content():
    path = sparse_encode_path(np.zeros((2, 3)), np.eye(3), n_alphas=4)
    assert not path.codes.any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alphas": [0.1, -1.0]}, ValueError, "alphas must be >= 0"),
        ({"eps": 0.0}, ValueError, "eps must be between"),
        ({"eps": 1.0}, ValueError, "eps must be between"),
        ({"n_alphas": 0}, ValueError, "n_alphas must be >= 1"),
        ({"alphas": [np.nan]}, TypeError, "alphas must be a finite number"),
    ],
)
def test_refuses_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        sparse_encode_path(np.eye(3), np.eye(3), **options)
