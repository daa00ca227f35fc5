"""The exact solver: no support is better, and where its limit ends the search, the bound holds."""

import warnings
from itertools import combinations

import numpy as np
import pytest
import torch
from engines import ENGINES, each_engine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

from skamort.datasets import make_sparse_coded_signal
from skamort.metrics import latent_mcc
from skamort.solvers import sparse_encode
from skamort.solvers._base import Problem
from skamort.solvers._supports_search import search, sum_of_binomials

EXAMPLES = settings(max_examples=40, deadline=None)
any_engine = st.sampled_from(ENGINES)


def encode(X, dictionary, k, **options):
    options = {"algorithm": "exact", "return_info": True} | options
    return sparse_encode(X, dictionary, n_nonzero_coefs=k, **options)


def least_residual(x, dictionary, k, positive):
    """By SciPy and NumPy, over all supports."""
    residuals = []
    for support in combinations(range(len(dictionary)), k):
        atoms = dictionary[list(support)].T
        z = nnls(atoms, x)[0] if positive else np.linalg.lstsq(atoms, x, rcond=None)[0]
        residuals.append(((x - atoms @ z) ** 2).sum())
    return min(residuals)


@st.composite
def problems(draw):
    """X, a dictionary, k and the sign constraint; atoms may be twice there."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n_features, n_components = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    dictionary = rng.standard_normal((n_components, n_features))
    copies = rng.integers(n_components, size=n_components)
    dictionary = dictionary[copies] if draw(st.booleans()) else dictionary
    X = rng.standard_normal((2, n_features))
    return X, dictionary, draw(st.integers(1, min(n_components, 4))), draw(st.booleans())


@EXAMPLES
@given(problems(), any_engine)
def test_no_support_leaves_less(problem, engine):
    X, dictionary, k, positive = problem
    info = encode(X, dictionary, k, positive=positive, engine=engine)[1]
    least = [least_residual(x, dictionary, k, positive) for x in X]
    np.testing.assert_allclose(info.residual, least, atol=1e-9)
    assert info.converged.all()
    assert not info.gap.any()


@EXAMPLES
@given(problems(), any_engine, st.integers(1, 20))
def test_a_limit_leaves_a_bound_that_holds(problem, engine, node_limit):
    X, dictionary, k, positive = problem
    options = {"positive": positive, "engine": engine}
    least = encode(X, dictionary, k, **options)[1].residual
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        codes, info = encode(X, dictionary, k, node_limit=node_limit, **options)
    assert (info.n_iter <= node_limit).all()
    assert (info.residual >= least - 1e-9).all()
    assert (info.residual - 2 * info.gap <= least + 1e-9).all()
    assert (info.converged == (info.gap == 0)).all()
    np.testing.assert_allclose(((X - codes @ dictionary) ** 2).sum(1), info.residual, atol=1e-9)


@each_engine
def test_a_limit_is_told_of_with_the_bound_that_was_reached(engine):
    rng = np.random.default_rng(0)
    X, dictionary = rng.standard_normal((10, 12)), rng.standard_normal((11, 12))
    message = (
        r"BranchAndBound: 10 of 10 samples .* node_limit=2 supports; .* at least (\d[\d.e-]*)\. "
    )
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        info = encode(X, dictionary, 4, node_limit=2, engine=engine)[1]
    bound = float(str(caught[0].message).split("at least ")[1].split(". ")[0])
    # Least squares on all atoms.
    left = X - X @ np.linalg.pinv(dictionary) @ dictionary
    assert 0 < (left**2).sum(axis=1).mean() - 1e-9 <= info.residual.mean()
    np.testing.assert_allclose(bound, (left**2).sum(axis=1).mean(), rtol=0.2)
    greedy = sparse_encode(X, dictionary, algorithm="ormp", n_nonzero_coefs=4, return_info=True)[1]
    assert (info.residual <= greedy.residual + 1e-9).all()


@pytest.mark.parametrize("positive", [False, True])
def test_bounds_cut_off_supports(positive):
    """With fewer atoms than features, most need not be looked at."""
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((14, 30))
    codes = rng.uniform(1, 2, (20, 14)) * (rng.random((20, 14)).argsort(axis=1) < 5)
    X = codes @ dictionary + 0.3 * rng.standard_normal((20, 30))
    info = encode(X, dictionary, 5, positive=positive)[1]
    assert info.n_iter.mean() < 0.2 * sum_of_binomials(14, 5)


@pytest.mark.parametrize("positive", [False, True])
def test_a_search_that_begins_with_nothing_finds_the_best(positive):
    """Most starts leave it nothing to find."""
    pytest.importorskip("numba")
    from skamort.solvers._supports_search_numba import search as compiled

    rng = np.random.default_rng(0)
    X, dictionary = rng.standard_normal((6, 5)), rng.standard_normal((8, 5))
    energy, support = (X**2).sum(1), np.empty((6, 3), np.int64)
    n_iter, bound = np.empty(6, np.int64), np.empty(6)
    cov = X @ dictionary.T
    orders = np.argsort(-cov if positive else -np.abs(cov), axis=1)
    gram, rest = dictionary @ dictionary.T, (energy, energy, n_iter, bound, support)
    compiled(gram, 3, positive, 1000, cov, orders, *rest)
    for x, places in zip(X, support, strict=True):
        atoms = dictionary[places[places >= 0]]
        found = least_residual(x, atoms, len(atoms), positive)
        np.testing.assert_allclose(found, least_residual(x, dictionary, 3, positive), atol=1e-9)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_a_search_in_torch_that_begins_with_nothing_finds_the_best(positive, block, monkeypatch):
    monkeypatch.setattr("skamort.solvers._supports_search.BLOCK_ELEMENTS", block)
    rng = np.random.default_rng(0)
    X, dictionary = rng.standard_normal((7, 5)), rng.standard_normal((8, 5))
    X[5] = 2 * dictionary[3] + dictionary[6]
    best = np.array([least_residual(x, dictionary, 3, positive) for x in X])
    residual = torch.tensor((X**2).sum(axis=1))
    residual[6] = best[6]  # nothing is to be found
    data, atoms = torch.from_numpy(X), torch.from_numpy(dictionary)
    problem = Problem(atoms, torch.ones(()), None, atoms, None, positive)
    every = sum_of_binomials(8, 3)
    assert every == 1 + 8 + 28
    n_iter, bound, support = search(data, problem, 3, every, residual)
    for x, places, least in zip(X[:6], support.numpy(), best, strict=False):
        chosen = dictionary[places[places >= 0]]
        assert 0 < len(chosen) <= 3
        assert least_residual(x, chosen, len(chosen), positive) == pytest.approx(least, abs=1e-9)
    assert (support[6] == -1).all()
    assert bound.isinf().all()
    assert (n_iter[[0, 1, 2, 3, 4, 6]] == every).all()
    assert n_iter[5] <= 1 + 8  # what leaves nothing ends the search
    n_iter, bound, _ = search(data, problem, 3, every - 1, residual)
    assert (n_iter[:5] == every - 1).all()
    np.testing.assert_allclose(bound[:5], 0, atol=1e-9)  # what all atoms leave
    assert bound[5].isinf()


def test_an_atom_of_which_nothing_is_left_makes_no_nan():
    """Compiled code takes numbers not to be NaN."""
    pytest.importorskip("numba")
    from skamort.solvers._supports_search_numba import _extend

    as_written = getattr(_extend, "py_func", _extend)
    gram, c, left = np.ones((1, 1)), np.zeros((1, 1)), np.zeros((1, 1))
    with np.errstate(invalid="raise"):
        found = as_written(0, 0, 0.0, 0.0, False, gram, c, left, None, None, None, None)
    assert found == (-1, 0.0)


@each_engine
def test_codes_that_leave_nothing_end_the_search(engine):
    dictionary = np.random.default_rng(0).standard_normal((20, 6))
    X = np.vstack([dictionary[:3] + dictionary[5:8], np.zeros((1, 6))])
    codes, info = encode(X, dictionary, 2, engine=engine)
    assert info.n_iter.max() <= 1
    assert info.residual.max() < 1e-12
    assert not codes[-1].any()


@pytest.mark.parametrize("seed", [0, 1])
def test_finds_the_sources_of_the_published_signals(seed):
    X, dictionary, truth = make_sparse_coded_signal(
        120, n_components=16, n_features=8, n_nonzero_coefs=3, positive=True, random_state=seed
    )
    codes = encode(X, dictionary, 3, positive=True)[0]
    assert latent_mcc(truth, codes) > 0.9999
    beams = encode(X, dictionary, 3, positive=True, algorithm="exchange", beam_width=32)[0]
    assert latent_mcc(truth, beams) > 0.99


def test_bad_input():
    X, atoms = np.ones((2, 3)), np.eye(3)
    with pytest.raises(
        ValueError, match=r"'exchange' has no node_limit; choose one of \['exact'\]"
    ):
        encode(X, atoms, 1, algorithm="exchange", node_limit=2)
    with pytest.raises(ValueError, match="node_limit must be >= 1"):
        encode(X, atoms, 1, node_limit=0)
    with pytest.raises(ValueError, match="X contains NaN"):
        encode(np.full((2, 3), np.nan), atoms, 1)
