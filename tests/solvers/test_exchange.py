"""Exchanges: no single one is left that lowers the residual, none is made in circles."""

from itertools import product

import numpy as np
import pytest
import torch
from engines import ENGINES, each_engine
from hypothesis import given, settings
from hypothesis import strategies as st
from ksparse import problems

from skamort.solvers import Exchange, sparse_encode
from skamort.solvers._base import Problem
from skamort.solvers._beam import beam_search

EXAMPLES = settings(max_examples=25, deadline=None)
any_engine = st.sampled_from(ENGINES)


def encode(X, dictionary, k, **options):
    return sparse_encode(
        X, dictionary, algorithm="exchange", n_nonzero_coefs=k, return_info=True, **options
    )


def least_squares(x, atoms):
    return ((x - np.linalg.lstsq(atoms.T, x, rcond=None)[0] @ atoms) ** 2).sum()


def neighbours(support, k, n_components):
    """Supports that one exchange makes of a support, or one atom more where there is room."""
    inside = np.flatnonzero(support)
    gone = [inside[inside != i] for i in inside] + [inside] * (len(inside) < k)
    yield from (np.append(rest, j) for rest, j in product(gone, range(n_components)))


@EXAMPLES
@given(problems(), any_engine, st.booleans())
def test_no_single_exchange_lowers_the_residual(problem, engine, is_started):
    X, dictionary, k, _ = problem
    k = min(k, 4)
    init = np.where(np.arange(len(dictionary)) < k, 1.0, 0) if is_started else np.zeros(1)
    codes, info = encode(
        X, dictionary, k, engine=engine, init=np.broadcast_to(init, (len(X), len(dictionary)))
    )
    for x, z, left in zip(X, codes, info.residual, strict=True):
        for support in neighbours(z != 0, k, len(dictionary)):
            assert least_squares(x, dictionary[support]) >= left - 1e-9 * (x**2).sum()


@each_engine
@pytest.mark.parametrize("positive", [False, True])
def test_exchanges_win_over_the_pursuits(engine, positive):
    rng = np.random.default_rng(0)
    X, dictionary = rng.standard_normal((60, 12)), rng.standard_normal((30, 12))
    asked = {"engine": engine, "positive": positive}
    greedy = sparse_encode(
        X, dictionary, algorithm="ormp", n_nonzero_coefs=4, return_info=True, **asked
    )[1]
    codes, found = encode(X, dictionary, 4, **asked)
    assert (found.residual <= greedy.residual * (1 + 1e-9)).all()
    assert found.residual.mean() < 0.97 * greedy.residual.mean()
    assert (found.residual < 0.999 * greedy.residual)[found.n_iter > 0].all()
    # Where all codes are above 0 they are least squares.
    correlations = np.abs((X - codes @ dictionary) @ dictionary.T)
    assert correlations[codes != 0].max() < 1e-8
    beams = encode(X, dictionary, 4, beam_width=10, **asked)[1]
    assert beams.residual.mean() < 0.97 * found.residual.mean()


@each_engine
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beam_width", [1, 5])
def test_duplicate_atoms_are_not_exchanged_for_each_other(engine, positive, dtype, beam_width):
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((7, 5)).astype(dtype)
    X = np.vstack([rng.standard_normal((20, 5)), np.zeros((1, 5))]).astype(dtype)
    asked = {"positive": positive, "engine": engine, "beam_width": beam_width}
    plain = encode(X, atoms, 3, **asked)[1]
    twice = np.vstack([atoms, atoms, atoms])
    codes, info = encode(X, twice, 3, **asked)
    assert info.n_iter.max() < 50
    assert ((codes != 0).sum(axis=1) <= 3).all()
    assert not codes[-1].any()
    if beam_width == 1:
        np.testing.assert_allclose(info.residual, plain.residual, atol=1e-4)


@pytest.mark.parametrize("positive", [False, True])
def test_without_gram_the_codes_are_the_same(positive):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(40, 10, generator=generator, dtype=torch.float64)
    atoms = torch.randn(25, 10, generator=generator, dtype=torch.float64)

    class WithoutGram(Exchange):
        def _gram_pays(self, n_samples, dictionary):
            return False

    for beam_width in (1, 3):
        ours, theirs = (
            solver(4, beam_width=beam_width).solve(X, atoms, positive=positive)
            for solver in (Exchange, WithoutGram)
        )
        torch.testing.assert_close(ours.codes, theirs.codes)


@each_engine
def test_an_atom_that_leaves_makes_room(engine):
    """Non-negative: exchanging the second atom for the fourth would turn the first code negative,
    so that atom leaves, and another fills its place."""
    rng = np.random.default_rng(3)
    X, dictionary = np.abs(rng.standard_normal((400, 6))), rng.standard_normal((14, 6))
    codes, info = encode(X, dictionary, 3, positive=True, engine=engine)
    for x, z, left in zip(X, codes, info.residual, strict=True):
        atoms, room = dictionary[z > 0], (z > 0).sum() < 3
        np.testing.assert_allclose(least_squares(x, atoms), left, atol=1e-9)
        assert not room or ((x - z @ dictionary) @ dictionary.T).max() < 1e-6


@each_engine
def test_limit_of_exchanges(engine):
    rng = np.random.default_rng(0)
    X, dictionary = rng.standard_normal((30, 12)), rng.standard_normal((30, 12))
    init = np.tile(np.arange(30) < 4, (30, 1)).astype(float)
    start, one, more = (
        encode(X, dictionary, 4, init=init, max_iter=n, engine=engine)[1] for n in (0, 1, 1000)
    )
    assert (start.n_iter == 0).all()
    assert (one.n_iter == 1).all()
    assert (more.n_iter > 1).any()
    assert (start.residual > one.residual).all()
    assert (one.residual >= more.residual).all()


def test_beams_are_supports_of_their_own_the_best_first():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    atoms = torch.randn(12, 6, generator=generator, dtype=torch.float64)
    problem = Problem(atoms, torch.ones(()), None, atoms, atoms @ atoms.T, positive=False)
    codes = beam_search(X, problem, 3, 10)
    assert codes.shape == (10, 20, 12)
    for sample in codes.unbind(dim=1):
        assert len(torch.unique(sample != 0, dim=0)) == 10
    residual = (X - codes @ atoms).square().sum(dim=2)
    assert (residual.diff(dim=0) >= -1e-9).all()


def test_bad_input():
    X, atoms = np.ones((2, 3)), np.eye(3)
    with pytest.raises(ValueError, match=r"'omp' has no beam_width; choose one of \['exchange'\]"):
        sparse_encode(X, atoms, algorithm="omp", beam_width=2)
    with pytest.raises(ValueError, match="beam_width must be >= 1"):
        encode(X, atoms, 1, beam_width=0)
    with pytest.raises(ValueError, match="X contains NaN"):
        encode(np.full((2, 3), np.nan), atoms, 1)
