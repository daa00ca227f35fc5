"""Compiled coordinate descent without the Gram matrix of all atoms: the answer of the one with
it."""

import numpy as np
import pytest
import torch
from engines import needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from skamort.solvers import CoordinateDescent

pytestmark = needs_numba


class WithoutGram(CoordinateDescent):
    """Coordinate descent as it is for dictionaries of very many atoms."""

    def _gram_pays(self, n_samples, dictionary):
        return False


def problem(seed, n_samples, n_features, n_components, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    dictionary = torch.randn(n_components, n_features, generator=generator, dtype=dtype)
    return torch.randn(n_samples, n_features, generator=generator, dtype=dtype), dictionary


def solve(solver, X, dictionary, alpha, positive, *, init=None, **options):
    options = {"tol": 1e-9, "engine": "numba"} | options
    return solver(**options).solve(X, dictionary, alpha=alpha, positive=positive, init=init)


def objective(X, codes, dictionary, alpha):
    return 0.5 * (X - codes @ dictionary).square().sum(dim=1) + alpha * codes.abs().sum(dim=1)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 5),
    st.integers(1, 8),
    st.integers(1, 60),
    st.sampled_from([0.03, 0.1, 0.3, 1.1]),
    st.booleans(),
)
def test_agrees_with_the_gram_matrix(seed, n_samples, n_features, n_components, share, positive):
    X, dictionary = problem(seed, n_samples, n_features, n_components)
    alpha = share * float((X @ dictionary.T).abs().max())
    ours = solve(WithoutGram, X, dictionary, alpha, positive)
    theirs = solve(CoordinateDescent, X, dictionary, alpha, positive)
    assert ours.engine == theirs.engine == "numba"
    assert ours.converged.all()
    assert (ours.gap >= 0).all()
    excess = objective(X, ours.codes, dictionary, alpha)
    excess -= objective(X, theirs.codes, dictionary, alpha)
    assert (excess <= ours.gap + 1e-12).all()
    assert (-excess <= theirs.gap + 1e-12).all()
    if positive:
        assert (ours.codes >= 0).all()
    again = solve(WithoutGram, X, dictionary, alpha, positive, init=ours.codes, tol=1e-8)
    assert not again.n_iter.any()
    torch.testing.assert_close(again.codes, ours.codes)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 8),
    st.integers(1, 60),
    st.sampled_from([WithoutGram, CoordinateDescent]),
)
def test_without_a_penalty_is_non_negative_least_squares(seed, n_features, n_components, solver):
    X, dictionary = problem(seed, 3, n_features, n_components)
    result = solve(solver, X, dictionary, 0.0, True, tol=1e-6)
    assert result.converged.all()
    assert (result.codes >= 0).all()
    best = torch.tensor(
        [0.5 * nnls(dictionary.T.numpy(), x.numpy())[1] ** 2 for x in X], dtype=X.dtype
    )
    excess = objective(X, result.codes, dictionary, 0.0) - best
    assert (excess <= result.gap + 1e-12 * (1 + X.square().sum(dim=1))).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("limit", [1, 1 << 26])
def test_memory_and_threads_change_nothing(dtype, limit, monkeypatch):
    X, dictionary = problem(0, 20, 40, 300, dtype)
    tol = 1e-6 if dtype == torch.float32 else 1e-10
    expected = solve(CoordinateDescent, X, dictionary, 0.5, False, tol=tol)
    monkeypatch.setattr("skamort.solvers._cd_factored._BLOCK_LIMIT", limit)
    one, three = (
        solve(WithoutGram, X, dictionary, 0.5, False, tol=tol, n_jobs=n_jobs) for n_jobs in (1, 3)
    )
    assert one.converged.all()
    assert (one.n_iter > 1).all()
    assert torch.equal(one.codes, three.codes)
    torch.testing.assert_close(one.codes, expected.codes, atol=0.02, rtol=0)
    alone = torch.cat(
        [solve(WithoutGram, x[None], dictionary, 0.5, False, tol=tol).codes for x in X]
    )
    torch.testing.assert_close(one.codes, alone, atol=0.02, rtol=0)


def test_working_sets_that_grow_large():
    X, dictionary = problem(0, 3, 100, 150)
    result = solve(WithoutGram, X, dictionary, 1e-2, False, tol=1e-4)
    assert result.converged.all()
    assert (result.codes != 0).sum(dim=1).min() > 60


def test_stops_after_max_iter():
    X, dictionary = problem(0, 5, 40, 300)
    result = solve(WithoutGram, X, dictionary, 0.1, False, max_iter=1)
    assert (result.n_iter == 1).all()
    assert not result.converged.any()
    energy = 0.5 * X.square().sum(dim=1)
    assert result.gap.isfinite().all()
    assert (objective(X, result.codes, dictionary, 0.1) < energy).all()


def test_there_is_room_for_what_joins_or_half_of_the_samples_wait(monkeypatch):
    from skamort.solvers._cd_factored import _WorkingSets

    codes = torch.zeros(3, 90, dtype=torch.float64)
    codes[0, :40], codes[1, 5] = -1.0, 2.0
    sets = _WorkingSets.of(codes)
    assert sets.sizes.tolist() == [40, 1, 0]
    assert not sets.known.any()
    atoms, z = sets.atoms.copy(), sets.z.copy()
    for rows, batch, multiple in (([0, 1, 2], 8, 1), ([1, 2], 8, 1), ([0], 40, 64), ([2], 2, 1)):
        blocks = sets.blocks.copy()
        assert sets.make_room(np.array(rows), batch, multiple)
        width = sets.blocks.shape[1]
        assert sets.blocks.shape == (3, width, width)
        assert sets.atoms.shape == sets.z.shape == (3, width)
        assert width >= sets.sizes[rows].max() + batch
        assert width % multiple == 0
        assert (sets.atoms[:, :40] == atoms).all()
        assert (sets.z[:, :40] == z).all()
        np.testing.assert_array_equal(sets.blocks[:, : len(blocks[0]), : len(blocks[0])], blocks)
        sets.blocks[:] = np.arange(width)
    rest = torch.ones(3, 90, dtype=torch.float64)
    sets.store(np.array([0, 2]), rest)
    assert torch.equal(rest[[0, 2]], codes[[0, 2]])
    assert (rest[1] == 1).all()
    monkeypatch.setattr("skamort.solvers._cd_factored._BLOCK_LIMIT", 3 * width**2)
    assert not sets.make_room(np.array([0, 1]), width, 1)
    assert sets.blocks.shape[1] == width
    assert sets.make_room(np.array([0]), width, 1)  # of a single sample there are no halves
