"""The floor of k-sparse codes: never above the best, and never above any codes that it is about."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ksparse import problems

from skamort.solvers import ksparse_bound, sparse_encode
from skamort.solvers._ksparse_bound import _Allowed

EXAMPLES = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**31)


def objective(X, codes, dictionary):
    return 0.5 * ((X - codes @ dictionary) ** 2).sum(axis=1)


def norms(codes):
    return np.abs(codes).sum(axis=1), np.linalg.norm(codes, axis=1)


@EXAMPLES
@given(problems(), st.sampled_from(["exact", "omp"]))
def test_floor_is_never_above_the_best_codes(problem, algorithm):
    X, dictionary, k, positive = problem
    k = min(k, 3)
    asked = {"n_nonzero_coefs": k, "positive": positive}
    best = sparse_encode(X, dictionary, algorithm="exact", **asked)
    codes = sparse_encode(X, dictionary, algorithm=algorithm, **asked)
    l1, l2 = norms(best)
    bound = ksparse_bound(X, codes, dictionary, positive, n_nonzero_coefs=k, max_l1=l1, max_l2=l2)
    assert (bound <= objective(X, best, dictionary) + 1e-9 * (1 + (X**2).sum(axis=1))).all()
    assert (bound >= 0).all()


@EXAMPLES
@given(problems(), SEEDS)
def test_floor_holds_for_all_codes_that_it_is_about(problem, seed):
    X, dictionary, k, positive = problem
    rng = np.random.default_rng(seed)
    codes = rng.standard_normal((len(X), len(dictionary)))
    codes = np.abs(codes) if positive else codes
    codes[rng.random(codes.shape).argsort(axis=1) >= k] = 0
    bound = ksparse_bound(X, codes, dictionary, positive)
    assert (bound <= objective(X, codes, dictionary) + 1e-9).all()
    # Those half as large, with their places drawn anew, are allowed as well.
    others = 0.5 * rng.permuted(codes, axis=1)
    assert (bound <= objective(X, others, dictionary) + 1e-9).all()
    nearest = np.clip(X @ dictionary.T, 0, None) if positive else X @ dictionary.T
    few = np.where(
        np.abs(nearest).argsort(axis=1).argsort(axis=1) >= len(dictionary) - k, nearest, 0
    )
    (l1, l2), (most_l1, most_l2) = norms(few), norms(codes)
    few *= np.minimum(most_l1 / np.maximum(l1, 1e-9), most_l2 / np.maximum(l2, 1e-9))[:, None]
    held = (few != 0).sum(axis=1) <= (codes != 0).sum(axis=1)
    assert (bound <= objective(X, few, dictionary) + 1e-9)[held].all()


@EXAMPLES
@given(SEEDS, st.integers(1, 9), st.floats(0.1, 1), st.booleans())
def test_height_is_the_least_of_all_levels(seed, k, share, positive):
    rng = np.random.default_rng(seed)
    correlations = torch.from_numpy(rng.standard_normal((6, 9)))
    l2 = torch.from_numpy(rng.uniform(0.5, 2, 6))
    l1 = l2 * (1 + share * (k**0.5 - 1))
    allowed = _Allowed(torch.full((6,), k), l1, l2, positive)
    found = allowed.height(correlations)
    size = correlations.clamp(min=0) if positive else correlations.abs()
    top = size.sort(dim=1, descending=True).values[:, :k]
    levels = torch.linspace(0, 1, 4000, dtype=torch.float64)[None, :, None] * top[:, :1, None]
    rest = (top[:, None, :] - levels).clamp(min=0).norm(dim=2)
    every = l1[:, None] * levels[:, :, 0] + l2[:, None] * rest
    assert (found <= every.amin(dim=1) + 1e-12).all()
    assert (found >= every.amin(dim=1) * (1 - 1e-4)).all()
    # No allowed codes reach higher, and some come near.
    z = rng.standard_normal((2000, 6, k)) ** 2 * top.numpy()
    z *= np.minimum(
        l1.numpy() / np.maximum(z.sum(axis=2), 1e-300),
        l2.numpy() / np.maximum(np.linalg.norm(z, axis=2), 1e-300),
    )[:, :, None]
    reached = (z * top.numpy()).sum(axis=2)
    assert (reached <= found.numpy() + 1e-9).all()


def test_floor_of_good_codes_is_near():
    """Sources that are far apart: the floor is most of what the best codes leave."""
    rng = np.random.default_rng(0)
    dictionary = np.linalg.qr(rng.standard_normal((20, 20)))[0][:12]
    truth = rng.uniform(1, 2, (50, 12)) * (rng.random((50, 12)).argsort(axis=1) < 3)
    X = truth @ dictionary + 0.2 * rng.standard_normal((50, 20))
    codes = sparse_encode(X, dictionary, algorithm="exact", n_nonzero_coefs=3)
    bound, best = ksparse_bound(X, codes, dictionary), objective(X, codes, dictionary)
    assert 0.75 * best.mean() < bound.mean() < best.mean()
    # The L1 norm does the most of it, and the L2 norm alone something.
    loose = ksparse_bound(X, codes, dictionary, max_l1=1e6)
    assert 0.5 * best.mean() < loose.mean() < bound.mean()
    wide = ksparse_bound(X, codes, dictionary, max_l1=1e6, max_l2=1e6)
    inside = X @ dictionary.T @ dictionary
    assert wide.mean() <= 0.5 * ((X - inside) ** 2).sum(axis=1).mean() + 1e-9


def test_degenerate_input():
    X, atoms = np.array([[3.0, 4.0], [0.0, 0.0]]), np.eye(2)
    np.testing.assert_allclose(ksparse_bound(X, np.zeros((2, 2)), atoms), [12.5, 0])
    twice = np.vstack([atoms, atoms])
    assert ksparse_bound(X, np.array([[3.0, 4, 0, 0], [0, 0, 0, 0]]), twice).max() < 1e-9
    tensors = (torch.tensor(array) for array in (X, np.diag([3.0, 0]), atoms))
    assert ksparse_bound(*tensors).dtype == torch.float64
    single = ksparse_bound(X.astype(np.float32), np.diag([3.0, 0]), atoms)
    np.testing.assert_allclose(single, ksparse_bound(X, np.diag([3.0, 0]), atoms), rtol=1e-5)
    with pytest.raises(ValueError, match="X contains NaN"):
        ksparse_bound(np.full((2, 2), np.nan), np.eye(2), atoms)
    with pytest.raises(ValueError, match=r"codes must have shape .* = \(2, 2\)"):
        ksparse_bound(X, np.eye(3), atoms)


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        ({"n_nonzero_coefs": True}, TypeError, "n_nonzero_coefs must be integers, got torch.bool"),
        ({"n_nonzero_coefs": 1.5}, TypeError, "n_nonzero_coefs must be integers"),
        ({"n_nonzero_coefs": -1}, ValueError, "n_nonzero_coefs must be >= 0, got -1"),
        (
            {"n_nonzero_coefs": [1, 1, 1]},
            ValueError,
            r"one for each of the 2 samples, got .*\(3,\)",
        ),
        ({"max_l1": True}, TypeError, "max_l1 must be numbers"),
        ({"max_l1": np.nan}, ValueError, "max_l1 must be >= 0"),
        ({"max_l2": [1.0, -1.0]}, ValueError, "max_l2 must be >= 0"),
        ({"max_l2": [[1.0], [1.0]]}, ValueError, r"got shape \(2, 1\)"),
    ],
)
def test_refuses_limits_of_nothing(limits, error, message):
    with pytest.raises(error, match=f"ksparse_bound: .*{message}"):
        ksparse_bound(np.eye(2), np.eye(2), np.eye(2), **limits)


def test_limits_are_one_for_all_or_one_each():
    X, codes = np.array([[3.0, 1.0], [2.0, 2.0]]), np.array([[3.0, 0.0], [2.0, 0.0]])
    one = ksparse_bound(X, codes, np.eye(2), n_nonzero_coefs=1, max_l1=4, max_l2=4.0)
    each = ksparse_bound(X, codes, np.eye(2), n_nonzero_coefs=[1, 1], max_l1=[4.0, 4.0], max_l2=4)
    np.testing.assert_array_equal(one, each)
    np.testing.assert_array_equal(ksparse_bound(X, codes, np.eye(2), n_nonzero_coefs=0), [5, 4])
