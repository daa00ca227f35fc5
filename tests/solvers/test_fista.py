"""FISTA: optimality, agreement with scikit-learn, equivariance, certificates."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import sparse_encode as sklearn_sparse_encode

from skamort.solvers import FISTA, duality_gap, sparse_encode

EXAMPLES = settings(max_examples=60, deadline=None)


@st.composite
def problems(draw, dtype=np.float64):
    """X, a dictionary of atoms of any norm, alpha and the sign constraint."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n_features, n_components = draw(st.integers(1, 12)), draw(st.integers(1, 24))
    dictionary = rng.standard_normal((n_components, n_features)) * rng.uniform(
        0.5, 2, (n_components, 1)
    )
    X = rng.standard_normal((draw(st.integers(1, 6)), n_features))
    alpha = draw(st.sampled_from([0.01, 0.1, 0.5, 2.0]))
    return X.astype(dtype), dictionary.astype(dtype), alpha, draw(st.booleans())


def objective(X, codes, dictionary, alpha):
    X, codes, dictionary = (np.asarray(a, dtype=np.float64) for a in (X, codes, dictionary))
    return 0.5 * ((X - codes @ dictionary) ** 2).sum(axis=1) + alpha * np.abs(codes).sum(axis=1)


def encode(X, dictionary, alpha, positive, **options):
    options = {"tol": 1e-9, "max_iter": 100_000, "return_info": True} | options
    return sparse_encode(X, dictionary, alpha=alpha, positive=positive, **options)


@EXAMPLES
@given(problems())
def test_codes_satisfy_the_kkt_conditions(problem):
    X, dictionary, alpha, positive = problem
    codes, info = encode(X, dictionary, alpha, positive)
    correlations = (X - codes @ dictionary) @ dictionary.T
    norms = np.linalg.norm(dictionary, axis=1)
    # Mending a violation v of one coordinate lowers the objective by v^2 / (2 ||d||^2), at most the
    # gap.
    slack = np.sqrt(2 * info.gap)[:, None] * norms + 1e-9
    assert ((correlations if positive else np.abs(correlations)) <= alpha + slack).all()
    active = np.abs(codes) > slack / norms**2
    assert (np.abs(correlations - alpha * np.sign(codes)) <= slack)[active].all()
    assert info.converged.all()
    if positive:
        assert (codes >= 0).all()


@EXAMPLES
@given(problems())
def test_objective_agrees_with_scikit_learn(problem):
    X, dictionary, alpha, positive = problem
    codes, _ = encode(X, dictionary, alpha, positive)
    reference = sklearn_sparse_encode(
        X, dictionary, algorithm="lasso_lars", alpha=alpha, positive=positive, max_iter=10_000
    )
    ours, theirs = (objective(X, z, dictionary, alpha) for z in (codes, reference))
    assert (ours <= theirs + 1e-8 * (X**2).sum(axis=1)).all()
    assert (theirs - duality_gap(X, reference, dictionary, alpha, positive) <= ours + 1e-12).all()


@pytest.mark.parametrize("positive", [False, True])
def test_objective_agrees_with_scikit_learn_lasso_cd(positive):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((30, 12))
    X = rng.standard_normal((20, 12))
    codes, _ = encode(X, dictionary, 0.5, positive)
    reference = sparse_encode(
        X, dictionary, algorithm="lasso_cd", alpha=0.5, positive=positive, max_iter=10_000
    )
    np.testing.assert_allclose(
        objective(X, codes, dictionary, 0.5), objective(X, reference, dictionary, 0.5), rtol=1e-3
    )


@EXAMPLES
@given(problems(), st.sampled_from([np.float32, np.float64]), st.integers(0, 30))
def test_gap_bounds_the_distance_to_the_best(problem, dtype, max_iter):
    X, dictionary, alpha, positive = problem
    X32, dictionary32 = X.astype(dtype), dictionary.astype(dtype)
    rough = FISTA(max_iter=max_iter, tol=0.0).solve(
        torch.from_numpy(X32), torch.from_numpy(dictionary32), alpha=alpha, positive=positive
    )
    gap = duality_gap(X32, rough.codes.numpy(), dictionary32, alpha, positive)
    best, _ = encode(X32.astype(np.float64), dictionary32.astype(np.float64), alpha, positive)
    excess = objective(X32, rough.codes, dictionary32, alpha) - objective(
        X32, best, dictionary32, alpha
    )
    assert (gap >= 0).all()
    assert (gap >= excess - 1e-12 * (1 + (X**2).sum(axis=1))).all()
    np.testing.assert_allclose(rough.gap, gap, rtol=1e-6, atol=1e-12)


@EXAMPLES
@given(problems(), st.floats(1e-3, 1e3))
def test_scaling_data_and_alpha_scales_codes(problem, factor):
    X, dictionary, alpha, positive = problem
    codes, _ = encode(X, dictionary, alpha, positive)
    scaled, _ = encode(factor * X, dictionary, factor * alpha, positive)
    ours, theirs = (objective(X, z, dictionary, alpha) for z in (codes, scaled / factor))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8 * (1 + (X**2).sum()))


@EXAMPLES
@given(problems(), st.randoms(use_true_random=False))
def test_permuting_atoms_and_samples_permutes_codes(problem, random):
    X, dictionary, alpha, positive = problem
    atoms, rows = list(range(len(dictionary))), list(range(len(X)))
    random.shuffle(atoms)
    random.shuffle(rows)
    codes, _ = encode(X, dictionary, alpha, positive)
    permuted, _ = encode(X[rows], dictionary[atoms], alpha, positive)
    np.testing.assert_allclose(
        objective(X[rows], permuted, dictionary[atoms], alpha),
        objective(X, codes, dictionary, alpha)[rows],
        atol=1e-8 * (1 + (X**2).sum()),
    )


@EXAMPLES
@given(problems())
def test_row_alone_equals_row_in_batch(problem):
    X, dictionary, alpha, positive = problem
    together, _ = encode(X, dictionary, alpha, positive)
    for row in range(len(X)):
        alone, _ = encode(X[row : row + 1], dictionary, alpha, positive)
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("positive", [False, True])
def test_gram_is_only_a_matter_of_cost(dtype, positive):
    generator = torch.Generator().manual_seed(0)
    dictionary = torch.randn(40, 10, generator=generator, dtype=dtype)
    X = torch.randn(30, 10, generator=generator, dtype=dtype)
    without = FISTA(tol=1e-5).solve(X, dictionary, alpha=0.5, positive=positive)
    with_gram = FISTA(tol=1e-5).solve(
        X, dictionary, alpha=0.5, positive=positive, gram=dictionary @ dictionary.T
    )
    assert without.converged.all()
    assert with_gram.converged.all()
    torch.testing.assert_close(
        with_gram.codes @ dictionary, without.codes @ dictionary, atol=0.05, rtol=0
    )


@pytest.mark.parametrize("positive", [False, True])
def test_warm_start_at_the_solution_takes_no_iterations(positive):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((16, 8)), rng.standard_normal((10, 8))
    codes, _ = encode(X, dictionary, 0.3, positive, tol=1e-8)
    again, info = encode(X, dictionary, 0.3, positive, tol=1e-6, init=codes)
    np.testing.assert_array_equal(again, codes)
    assert (info.n_iter == 0).all()


def test_alpha_beyond_alpha_max_gives_zeros_at_once():
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((16, 8)), rng.standard_normal((10, 8))
    alpha = np.abs(X @ dictionary.T).max()
    codes, info = encode(X, dictionary, alpha, False, init=np.ones((10, 16)))
    assert not codes.any()
    assert not info.n_iter.any()
    assert not info.gap.any()


def test_alpha_zero_is_least_squares():
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((5, 8)), rng.standard_normal((10, 8))
    codes, info = encode(X, dictionary, 0.0, False)
    expected = np.linalg.lstsq(dictionary.T, X.T)[0].T
    np.testing.assert_allclose(codes, expected, atol=1e-3)
    assert info.converged.all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e-10, 1e10, 1e30])
def test_extreme_sizes(dtype, size):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((16, 8)), rng.standard_normal((10, 8))
    expected = sparse_encode(X.astype(dtype), dictionary, alpha=0.3)
    codes = sparse_encode((size * X).astype(dtype), dictionary, alpha=0.3 * size)
    np.testing.assert_allclose(codes / dtype(size), expected, atol=1e-3)


def test_zero_rows_need_no_iterations():
    X = np.zeros((3, 4))
    codes, info = encode(X, np.eye(4), 0.1, False)
    assert not codes.any()
    assert info.converged.all()
    assert not info.n_iter.any()
