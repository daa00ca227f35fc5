"""Coordinate descent: its two engines, its threads."""

import numpy as np
import pytest
import torch
from engines import callable_part, each_engine, needs_numba

from skamort.solvers import CoordinateDescent, sparse_encode


def problem(n_samples=40, n_components=60, n_features=20, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    dictionary = torch.randn(n_components, n_features, generator=generator, dtype=dtype)
    X = torch.randn(n_samples, n_features, generator=generator, dtype=dtype)
    return X, dictionary / dictionary.norm(dim=1, keepdim=True)


@needs_numba
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("positive", [False, True])
def test_engines_give_the_same_codes(dtype, positive):
    X, dictionary = problem(dtype=dtype)
    tol = 1e-5 if dtype == torch.float32 else 1e-10
    results = [
        CoordinateDescent(tol=tol, engine=engine).solve(X, dictionary, alpha=0.3, positive=positive)
        for engine in ("torch", "numba")
    ]
    assert all(result.converged.all() for result in results)
    torch.testing.assert_close(results[0].codes, results[1].codes, atol=0.02, rtol=0)


@needs_numba
def test_number_of_threads_changes_nothing():
    X, dictionary = problem()
    one, four = (
        CoordinateDescent(engine="numba", n_jobs=n_jobs).solve(
            X, dictionary, alpha=0.3, positive=False
        )
        for n_jobs in (1, 4)
    )
    assert torch.equal(one.codes, four.codes)
    assert torch.equal(one.gap, four.gap)


@needs_numba
def test_working_set_that_grows_large():
    X, dictionary = problem(n_samples=3, n_components=150, n_features=100)
    result = CoordinateDescent(engine="numba").solve(X, dictionary, alpha=1e-3, positive=False)
    assert result.converged.all()
    assert (result.codes != 0).sum(dim=1).min() > 60


@each_engine
def test_few_rounds_are_enough(engine):
    X, dictionary = problem(n_components=200)
    result = CoordinateDescent(engine=engine).solve(X, dictionary, alpha=0.5, positive=True)
    assert result.n_iter.max() <= 12


def test_refuses_unknown_engines_and_thread_counts():
    X, dictionary = problem()
    with pytest.raises(ValueError, match="engine='cuda' is unknown"):
        sparse_encode(X, dictionary, algorithm="cd", engine="cuda")
    with pytest.raises(ValueError, match="n_jobs must be"):
        sparse_encode(X, dictionary, algorithm="cd", n_jobs=0)
    with pytest.raises(ValueError, match="has no compiled kernel"):
        sparse_encode(X, dictionary, algorithm="fista", engine="numba")


def test_without_numba_the_answer_is_the_same(monkeypatch):
    X, dictionary = problem()
    with_numba = sparse_encode(X, dictionary, algorithm="cd", alpha=0.3)
    monkeypatch.setattr("skamort._engine.has_numba", lambda: False)
    without = sparse_encode(X, dictionary, algorithm="cd", alpha=0.3)
    np.testing.assert_allclose(without, with_numba, atol=0.05)
    with pytest.raises(ImportError, match=r"pip install skamort\[fast\]"):
        sparse_encode(X, dictionary, algorithm="cd", engine="numba")


@each_engine
@pytest.mark.parametrize("offset", [0.0, -1.0])
def test_correlations_far_below_zero(engine, offset):
    generator = torch.Generator().manual_seed(0)
    places = 64 * torch.rand(128, 1, generator=generator, dtype=torch.float64)
    dictionary = torch.exp(-(((torch.arange(64) - places) / 3) ** 2))
    X = torch.randn(300, 64, generator=generator, dtype=torch.float64) + offset
    alpha = 0.05 * (X @ dictionary.T).clamp(min=0).amax(dim=1)
    result = CoordinateDescent(engine=engine).solve(X, dictionary, alpha=alpha, positive=True)
    assert (result.gap <= 1e-3 * X.square().sum(dim=1)).all()
    assert result.converged.double().mean() > 0.98


@needs_numba
def test_codes_of_nearly_dependent_atoms_stay_small():
    """What is left of an atom is rounded relative to the products that cancel."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        dictionary = rng.standard_normal((20, 5)) @ rng.standard_normal((5, 16))
        dictionary += 1e-7 * rng.standard_normal(dictionary.shape)
        X, dictionary = (torch.from_numpy(a) for a in (rng.standard_normal((3, 16)), dictionary))
        solver = CoordinateDescent(tol=1e-8, max_iter=300, engine="numba")
        assert solver.solve(X, dictionary, alpha=0.0, positive=True).codes.max() < 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounds_end_where_the_dtype_is_at_its_end(dtype):
    rng = np.random.default_rng(0)
    X, atoms = (torch.tensor(rng.standard_normal((n, 16)), dtype=dtype) for n in (6, 400))
    solver = CoordinateDescent(tol=0, engine="torch", is_guarded=False)
    result = solver.solve(X, atoms, alpha=1.5, positive=False)
    assert result.n_iter.max() < 30
    assert (result.gap <= 100 * torch.finfo(dtype).eps * X.double().square().sum(1)).all()


@needs_numba
def test_a_step_whose_end_is_lost_in_rounding_is_not_taken():
    """The first code falls to 0 on the way, but the product that tells it is 0 in float32."""
    from skamort.solvers._working_set_numba import _polish

    atoms, z = np.float32([1, 1e-20]), np.float32([1e-30, 1])
    support, factor, step = np.empty(2, np.int64), np.empty((2, 2), z.dtype), np.empty_like(z)
    alpha, u, block = np.float32(1), np.float32([1, 2]), np.outer(atoms, atoms)
    assert callable_part(_polish)(z, u, block, 2, alpha, support, factor, step)
    np.testing.assert_array_equal(z, np.float32([1e-30, 1]))
