"""Generalized orthogonal matching pursuit."""

import numpy as np
import pytest
import torch
from engines import ENGINES, needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st
from ksparse import problems

from skamort import ITOCoder, TopKSAE
from skamort.solvers import GOMP, sparse_encode
from skamort.solvers._base import Problem
from skamort.solvers._gomp import _scores
from skamort.solvers._least_squares import Fit

EXAMPLES = settings(max_examples=40, deadline=None)
# Kernels by products with the dictionary, and by its Gram matrix.
ENGINES = [*ENGINES, *["gram"] * ("numba" in ENGINES)]
each_engine = pytest.mark.parametrize("engine", ENGINES)
signs = pytest.mark.parametrize("positive", [False, True])
any_engine = st.sampled_from(ENGINES)


def encode(X, dictionary, k, algorithm="gomp", **options):
    if options.get("engine") == "gram":
        options |= {"engine": "numba", "gram": dictionary @ dictionary.T}
    return sparse_encode(
        X, dictionary, algorithm=algorithm, n_nonzero_coefs=k, return_info=True, **options
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((90, 40))
    return rng.standard_normal((30, 40)), dictionary / np.linalg.norm(dictionary, axis=1)[:, None]


@EXAMPLES
@given(problems(), any_engine)
def test_as_many_stages_as_non_zeros_are_omp(problem, engine):
    X, dictionary, k, _ = problem
    k = min(k, *dictionary.shape, max(dictionary.shape[1] - 1, 1))
    codes, info = encode(X, dictionary, k, n_stages=k, engine=engine)
    expected, theirs = encode(X, dictionary, k, "omp")
    # Not the codes: of atoms that are equal but for their sign either may be taken.
    np.testing.assert_allclose(codes @ dictionary, expected @ dictionary, atol=1e-5)
    np.testing.assert_array_equal(info.n_iter, theirs.n_iter)


@EXAMPLES
@given(problems(), any_engine)
def test_one_stage_is_least_squares_on_the_largest_correlations(problem, engine):
    X, dictionary, k, positive = problem
    options = {"positive": positive, "engine": engine}
    residual = encode(X, dictionary, k, n_stages=1, **options)[1].residual
    expected = encode(X, dictionary, k, "topk_refined", **options)[1].residual
    np.testing.assert_allclose(residual, expected, atol=1e-7)


@EXAMPLES
@given(problems(), any_engine, st.integers(1, 20))
def test_codes_solve_least_squares_on_their_support(problem, engine, n_stages):
    X, dictionary, k, positive = problem
    codes, _ = encode(X, dictionary, k, n_stages=n_stages, positive=positive, engine=engine)
    correlations = (X - codes @ dictionary) @ dictionary.T
    assert np.abs(correlations[codes != 0]).max(initial=0) < 1e-6


@needs_numba
@signs
@pytest.mark.parametrize("n_stages", [1, 3, 12])
def test_the_gram_matrix_gives_the_codes_of_products(data, positive, n_stages):
    init = np.random.default_rng(1).standard_normal((30, 90)) * (np.arange(30) % 2)[:, None]
    options = {"positive": positive, "n_stages": n_stages, "init": init}
    codes, info = encode(*data, 12, engine="gram", **options)
    expected, theirs = encode(*data, 12, engine="torch", **options)
    np.testing.assert_allclose(codes, expected, atol=1e-8)
    np.testing.assert_array_equal(info.n_iter, theirs.n_iter)
    np.testing.assert_allclose(info.residual, theirs.residual)


def test_the_gram_matrix_is_computed_where_it_saves_more_products(data):
    dictionary = torch.from_numpy(data[1])
    for n_stages, least in ((1, None), (2, 90), (4, 30), (12, 10)):  # 10 stages at most
        solver = GOMP(n_nonzero_coefs=10, n_stages=n_stages)
        pays = [n for n in range(1, 200) if solver._gram_pays(n, dictionary)]
        assert pays == ([*range(least, 200)] if least and "numba" in ENGINES else [])


@signs
def test_more_stages_leave_less_on_average(data, positive):
    left = [
        encode(*data, 12, n_stages=n, positive=positive)[1].residual.mean() for n in (1, 2, 4, 12)
    ]
    assert (np.diff(left) < 0).all()


@each_engine
@signs
def test_what_a_stage_drops_makes_room(data, engine, positive):
    """A last stage has all its non-zeros where least squares keep them, at most so many else."""
    codes, _ = encode(*data, 12, n_stages=3, positive=positive, engine=engine)
    counts = (codes != 0).sum(axis=1)
    assert counts.max() == 12
    first, _ = encode(*data, 4, n_stages=1, positive=positive, engine=engine)
    assert (counts >= (first != 0).sum(axis=1) + (0 if positive else 8)).all()


@each_engine
def test_the_first_stage_is_the_encoders(data, engine):
    X, dictionary = data
    init = np.zeros((len(X), 90))
    init[::2, 5], init[::2, 7] = 1e-17, 2e-17
    options = {"positive": True, "engine": engine, "n_stages": 2}
    codes, _ = encode(X, dictionary, 2, init=init, **options)
    free, _ = encode(X, dictionary, 2, **options)
    fits = (X @ dictionary[7] > 0) & (init[:, 7] > 0)
    assert (codes[fits, 7] != 0).mean() > 0.7  # the second stage may drop it
    np.testing.assert_allclose(codes[1::2], free[1::2])


def test_ito_coder_goes_on_from_a_trained_encoder(data):
    X = data[0]
    topk = TopKSAE(60, k=6, max_iter=2, tol=0, random_state=0)
    with pytest.warns(match="still falling"):
        topk.fit(X)
    scores = [
        ITOCoder(estimator=topk, algorithm=name, n_nonzero_coefs=6).fit(X).score(X)
        for name in ("topk_refined", "gomp")
    ]
    assert scores[1] > scores[0] > topk.score(X)


@each_engine
@signs
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_duplicates_zero_rows_and_more_non_zeros_than_the_rank(engine, positive, dtype):
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((6, 5))
    dictionary = np.vstack([atoms, atoms, -atoms]).astype(dtype)
    X = np.vstack([np.zeros(5), rng.standard_normal((4, 5)), atoms[0]]).astype(dtype)
    codes, info = encode(X, dictionary, 18, n_stages=3, positive=positive, engine=engine)
    assert np.isfinite(codes).all()
    assert not codes[0].any()
    assert info.n_iter[0] == 0
    assert (info.residual <= 1e-8 * 10 ** (5 * (dtype == np.float32))).all()


def test_a_residual_of_zero_takes_no_more_atoms():
    rng = np.random.default_rng(0)
    dictionary = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    codes, info = encode(dictionary[:3] @ np.eye(12), dictionary, 8, n_stages=4)
    np.testing.assert_allclose(codes, np.eye(12)[:3], atol=1e-12)
    assert ((codes != 0).sum(axis=1) == 1).all()
    assert (info.n_iter == 1).all()


@each_engine
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_left_by_rounding_takes_no_atoms(data, engine, dtype):
    dictionary = data[1].astype(dtype)
    _, info = encode(3 * dictionary, dictionary, 8, n_stages=4, engine=engine)
    assert info.n_iter.mean() < 1.5  # torch's ridge leaves more than rounding now and then


def test_atoms_in_use_are_not_wanted_again(data):
    X, dictionary = map(torch.from_numpy, data)
    problem = Problem(dictionary, torch.ones(()), None, dictionary, None, False)
    support = torch.tensor([[3, 5, 3]]).expand(len(X), -1)  # the last place is not in use
    active = torch.tensor([[True, True, False]]).expand(len(X), -1)
    fit = Fit(active.double(), active, X, X.square().sum(dim=1), support[:, 0])
    scores = _scores(problem, support, fit)
    assert not scores[:, [3, 5]].any()
    assert (scores > 0).sum() == len(X) * 88


def test_more_stages_than_non_zeros_are_no_error_and_none_is(data):
    codes, _ = encode(*data, 3, n_stages=50)
    np.testing.assert_allclose(codes, encode(*data, 3, n_stages=3)[0])
    with pytest.raises(ValueError, match="n_stages must be >= 1"):
        encode(*data, 3, n_stages=0)
    with pytest.raises(ValueError, match=r"'omp' has no n_stages; choose one of \['gomp'\]"):
        encode(*data, 3, "omp", n_stages=2)


def test_threads_change_nothing(data):
    X, dictionary = map(torch.from_numpy, data)
    one, three = (GOMP(6, n_jobs=n).solve(X, dictionary, positive=True).codes for n in (1, 3))
    assert torch.equal(one, three)
