"""The contract of every solver, on problems made to break it: no codes are worse than zero or than
their start, a certificate is never above the truth, and what is solved is said to be."""

import warnings

import numpy as np
import pytest
import torch
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

from skamort.solvers import (
    FISTA,
    SOLVERS,
    KSparseSolver,
    LassoSolver,
    SolverResult,
    duality_gap,
    sparse_encode,
)
from skamort.solvers._base import Problem
from skamort.solvers._certificate import certified_gap
from skamort.solvers._certificate import objective as tensor_objective
from skamort.solvers._safeguard import keep_better, round_exact, shrink_start

LASSO = [("fista", "auto"), ("lca", "auto"), ("adam", "auto")] + [("cd", e) for e in ENGINES]
K_SPARSE = [(name, "auto") for name in SOLVERS if SOLVERS[name].is_k_sparse]
K_SPARSE += [("omp", "torch"), ("ormp", "torch"), ("exchange", "torch"), ("exact", "torch")]
K_SPARSE += [("topk_refined", "torch"), ("gomp", "torch")]
each_solver = pytest.mark.parametrize("solver", [s for s in LASSO if s[0] in ("cd", "fista")])
KINDS = ["plain", "antipodal", "near-parallel", "lengths", "low rank"]
DTYPES = [np.float32, np.float64]


def make_dictionary(rng, kind):
    n_components, n_features = rng.integers(2, 12), rng.integers(1, 9)
    atoms = rng.standard_normal((n_components, n_features))
    if kind == "antipodal":
        return np.vstack([atoms, -atoms])
    if kind == "near-parallel":
        nearness = 10.0 ** rng.integers(-7, -1)
        return np.vstack([atoms, atoms + nearness * rng.standard_normal(atoms.shape)])
    if kind == "lengths":
        return atoms * 10.0 ** rng.integers(-6, 7, (n_components, 1))
    if kind == "low rank":
        return rng.standard_normal((n_components, 1)) @ atoms[:1] + atoms[1] * 1.5
    return atoms


def objective(X, codes, dictionary, alpha):
    X, codes, dictionary = (np.asarray(a, np.float64) for a in (X, codes, dictionary))
    return 0.5 * ((X - codes @ dictionary) ** 2).sum(axis=1) + alpha * np.abs(codes).sum(axis=1)


def best_objective(X, dictionary, alpha, positive):
    """What rivals reach: SciPy's where alpha is 0."""
    X, atoms = X.astype(np.float64), dictionary.astype(np.float64)
    atoms = atoms if positive else np.vstack([atoms, -atoms])
    if not alpha:
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        return np.array([0.5 * nnls(atoms.T, x, maxiter=10_000)[1] ** 2 for x in X])
    codes, _ = encode(X, atoms, ("cd", "auto"), alpha=alpha, positive=True, tol=1e-12)
    return objective(X, codes, atoms, alpha)


def encode(X, dictionary, solver, **options):
    options = {"tol": 1e-4} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return sparse_encode(
            X, dictionary, algorithm=solver[0], engine=solver[1], return_info=True, **options
        )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from(KINDS),
    st.sampled_from(LASSO),
    st.sampled_from(DTYPES),
    st.sampled_from([0, 1e-6, 0.1, 0.99]),
    st.booleans(),
    st.sampled_from([None, 1, 1e6, 1e30]),
    st.sampled_from([3, 200]),
)
def test_lasso_codes_are_no_worse_than_zero_and_their_gap_is_true(
    seed, kind, solver, dtype, share, positive, far, max_iter
):
    rng = np.random.default_rng(seed)
    dictionary = make_dictionary(rng, kind).astype(dtype)
    X = rng.standard_normal((3, dictionary.shape[1])).astype(dtype)
    alpha = float(dtype(share) * np.abs(X @ dictionary.T).max())
    start = np.zeros((3, len(dictionary)), dtype)
    if far:
        start += (far * rng.standard_normal(start.shape)).astype(dtype)
        start = abs(start) if positive else start
    options = {"alpha": alpha, "positive": positive, "max_iter": max_iter}
    codes, info = encode(X, dictionary, solver, init=start if far else None, **options)
    found, energy = objective(X, codes, dictionary, alpha), objective(X, 0 * codes, dictionary, 0)
    assert (found <= energy * (1 + 1e-12)).all()
    # A compiled solver stops as soon as the tolerance is met.
    assert (found <= objective(X, start, dictionary, alpha) + 1e-4 * energy).all()
    excess = found - best_objective(X, dictionary, alpha, positive)
    # Atoms that depend on each other but for rounding leave no more digits.
    assert (info.gap >= excess - 1e-7 * energy).all()
    assert (info.converged == (info.gap <= 1e-4 * energy)).all()


@each_solver
def test_least_squares_with_antipodal_atoms(solver):
    rng = np.random.default_rng(0)
    for _ in range(20):
        atoms, X = rng.standard_normal((10, 8)), rng.standard_normal((2, 8))
        dictionary = np.vstack([atoms, -atoms])
        codes, info = encode(X, dictionary, solver, alpha=0.0)
        assert info.converged.all()
        assert np.abs(codes).max() < 1e3
        assert (
            objective(X, codes, dictionary, 0) <= 1e-4 * objective(X, 0 * codes, dictionary, 0)
        ).all()


@each_solver
@pytest.mark.parametrize("length", [1e-15, 1e-7, 1e9])
def test_least_squares_with_an_atom_of_another_length(solver, length):
    dictionary, X = np.diag([1.0, length]), np.array([[0.0, 1.0], [3.0, 2.0]])
    np.testing.assert_allclose(duality_gap(X, 0 * X, dictionary, 0), [0.5, 6.5])
    np.testing.assert_allclose(duality_gap(X, 0 * X, dictionary, 0, positive=True), [0.5, 6.5])
    codes, info = encode(X, dictionary, solver, alpha=0.0)
    assert info.converged.all()
    np.testing.assert_allclose(codes * [1, length], X, atol=0.03)


@pytest.mark.parametrize("solver", [s for s in LASSO if s[0] == "cd"])
@pytest.mark.parametrize("share", [0.0, 1e-6])
def test_what_float32_solves_is_said_to_be_solved(solver, share):
    rng = np.random.default_rng(0)
    for _ in range(4):
        dictionary, X = (rng.standard_normal(s).astype(np.float32) for s in ((20, 30), (3, 30)))
        alpha = share * float((X @ dictionary.T).max())
        codes, info = encode(X, dictionary, solver, alpha=alpha, positive=True)
        assert info.converged.all()
        assert codes.dtype == np.float32
        excess = objective(X, codes, dictionary, alpha)
        excess -= best_objective(X, dictionary, alpha, positive=True)
        assert (info.gap >= excess - 1e-12).all()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from(KINDS),
    st.sampled_from(K_SPARSE),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.sampled_from([None, 1, 1e6, 1e30]),
)
def test_k_sparse_codes_are_no_worse_than_zero_or_their_start(
    seed, kind, solver, dtype, positive, far
):
    rng = np.random.default_rng(seed)
    dictionary = make_dictionary(rng, kind).astype(dtype)
    X = rng.standard_normal((3, dictionary.shape[1])).astype(dtype)
    X[1] = 0
    k, start = min(3, len(dictionary)), None
    if far:
        start = (far * rng.standard_normal((3, len(dictionary)))).astype(dtype)
        start *= rng.random(start.shape).argsort(axis=1) < k
        start = abs(start) if positive else start
    codes, info = encode(X, dictionary, solver, init=start, n_nonzero_coefs=k, positive=positive)
    found = objective(X, codes, dictionary, 0)
    np.testing.assert_allclose(2 * found, info.residual, atol=1e-2)
    assert (found <= objective(X, 0 * codes, dictionary, 0) * (1 + 1e-6)).all()
    assert not codes[1].any()
    if far and solver[0] in ("iht", "topk_refined"):
        assert (found <= objective(X, start, dictionary, 0) + 1e-5 * (X**2).sum(axis=1)).all()


@pytest.mark.parametrize(
    ("dtype", "nearness", "tolerance"),
    [(np.float32, 1e-2, 1e-4), (np.float32, 1e-3, 1e-3), (np.float64, 1e-6, 1e-7)],
)
@pytest.mark.parametrize("positive", [False, True])
def test_topk_refined_is_least_squares_on_nearly_parallel_atoms(
    dtype, nearness, tolerance, positive
):
    rng = np.random.default_rng(0)
    for _ in range(20):
        atoms = rng.standard_normal((2, 5))
        dictionary = np.vstack([atoms, atoms + nearness * rng.standard_normal(atoms.shape)])
        dictionary, X = dictionary.astype(dtype), rng.standard_normal((3, 5)).astype(dtype)
        options = {"n_nonzero_coefs": 4, "init": np.ones((3, 4)), "positive": positive}
        _, info = encode(X, dictionary, ("topk_refined", "auto"), **options)
        excess = info.residual - 2 * best_objective(X, dictionary, 0, positive)
        assert (excess <= tolerance * (X**2).sum(axis=1)).all()


class Careless(KSparseSolver):
    def _pursue_block(self, X, problem, k, enough, codes):
        codes[:, 0] = torch.tensor([1.0, 9.0, torch.nan])
        residual = X - codes @ problem.dictionary
        return torch.zeros(len(X), dtype=torch.int64), residual.double().square().sum(dim=1)


def test_k_sparse_codes_that_are_worse_than_zero_become_zero():
    result = Careless(1).solve(torch.ones(3, 2), torch.eye(2), positive=False)
    assert result.codes.tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert_allclose(result.residual, [1.0, 2.0, 2.0])


def careless(found, claimed=None):
    """A solver of the lasso that finds these codes and claims these gaps."""

    class Careless(LassoSolver):
        def _solve_block(self, X, problem, alpha, codes):
            codes.copy_(torch.tensor(found, dtype=torch.float64))
            gap = None if claimed is None else torch.tensor(claimed, dtype=torch.float64)
            return torch.zeros(len(X), dtype=torch.int64), gap

    return Careless


# The best codes of (3, 0) are (2, 0), and of (0, 3) they are (0, 2).
CODES = [[2.0, 0.0], [0.5, 0.0]]


@pytest.mark.parametrize("claimed", [None, [0.0, 9.0]])
@pytest.mark.parametrize("start", [None, [[0.5, 0.0], [0.0, 1.5]]])
def test_lasso_codes_that_are_worse_than_their_start_become_it(claimed, start):
    X, init = 3 * torch.eye(2).double(), None if start is None else torch.tensor(start).double()
    solver, options = careless(CODES, claimed), {"alpha": 1.0, "positive": True, "init": init}
    result = solver().solve(X, torch.eye(2).double(), **options)
    kept = [0.0, 0.0] if start is None else start[1]
    assert result.codes.tolist() == [CODES[0], kept]
    true = duality_gap(X, result.codes, np.eye(2), 1.0, positive=True)
    torch.testing.assert_close(result.gap, true)
    assert result.converged.tolist() == [True, False]
    result = solver(is_guarded=False).solve(X, torch.eye(2).double(), **options)
    assert result.codes.tolist() == CODES


def test_what_a_compiled_solver_calls_solved_is_not_looked_at_again_but_outside_of_its_space():
    result = careless(CODES, [0.0, 0.0])().solve(
        3 * torch.eye(2), torch.eye(2), alpha=1.0, positive=True
    )
    assert result.codes.tolist() == CODES
    assert result.gap.tolist() == [0.0, 0.0]
    weights = torch.tensor([0.0, 1.0]).double()
    result = careless(CODES, [0.0, 0.0])(is_guarded=False).solve(
        3 * torch.eye(2), torch.eye(2), alpha=weights, positive=True
    )
    assert result.gap[0] == pytest.approx(0.5)  # known to be wrong
    for alpha, atoms in ((0.0, 2), (1.0, 1)):  # no penalty, or a direction that no atom has
        result = careless([[9.0]] if atoms == 1 else [[9.0, 0.0]], [0.0])(is_guarded=False).solve(
            torch.tensor([[3.0, 1.0]]), torch.eye(2)[:atoms], alpha=alpha, positive=True
        )
        assert result.gap > 1
        assert not result.converged


def test_the_tolerance_is_a_share_of_half_the_energy():
    solver = careless(CODES, [0.44, 0.46])(tol=0.1, is_guarded=False)  # of 4.5
    result = solver.solve(3 * torch.eye(2), torch.eye(2), alpha=1.0, positive=True)
    assert result.converged.tolist() == [True, False]


def test_only_where_no_code_costs_anything_atoms_have_units_of_their_own():
    solver, atoms = FISTA(), torch.diag(torch.tensor([1.0, 2.0**40, 0.99 * 2.0**60]))
    for weights in ([0.0, 1.0], [1.0, 1.0]):
        assert solver._unit(atoms, torch.tensor(weights)) == 2.0**60
    assert solver._unit(atoms, torch.zeros(2)).tolist() == [1.0, 2.0**42, 2.0**60]


def test_every_sample_that_is_stuck_is_polished_and_no_other():
    near = [[2 + 2.0**-48, 0.0], [0.0, 1.0]]
    X, atoms = 3 * torch.eye(2).double(), torch.eye(2).double()
    result = careless(near)(tol=0.0).solve(X, atoms, alpha=1.0, positive=True)
    assert result.codes.tolist() == [[2.0, 0.0], [0.0, 1.0]]
    assert result.gap[0] == 0
    assert result.gap[1] > 0.1


@pytest.mark.parametrize("masked", [False, True])
def test_a_start_that_is_worse_than_zero_is_made_as_long_as_is_best(masked):
    rng = np.random.default_rng(0)
    X, dictionary = rng.standard_normal((60, 6)), rng.standard_normal((8, 6))
    mask = (rng.random(X.shape) < 0.7).astype(float) if masked else np.ones_like(X)
    alpha, start = rng.uniform(0, 0.3, 60), rng.standard_normal((60, 8))
    start[:20] *= np.geomspace(1e-6, 1e200, 20)[:, None]
    start[20] = 0
    start[21, 0] = np.inf
    X *= mask
    codes = torch.tensor(start)
    shrink_start(*map(torch.from_numpy, (X, dictionary, alpha)), codes, torch.from_numpy(mask))

    def value(z):
        return 0.5 * ((X - mask * (z @ dictionary)) ** 2).sum(1) + alpha * np.abs(z).sum(1)

    found, zero = value(codes.numpy()), value(0 * codes.numpy())
    assert (found <= zero * (1 + 1e-12)).all()
    with np.errstate(all="ignore"):
        kept = value(start) <= zero
        assert (codes.numpy()[kept] == start[kept]).all()
        for factor in (0.99, 1.01):
            assert (found <= value(factor * codes.numpy()) + 1e-12 * zero)[~kept].all()
    moved = codes.numpy()[~kept].any(axis=1)
    assert 5 < moved.sum() < len(moved) - 5  # some are 0 at their best


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_only_what_is_worse_than_its_start_gives_way_to_it(started, masked):
    draw = torch.Generator().manual_seed(0)
    X, dictionary = (torch.randn(n, 6, generator=draw, dtype=torch.float64) for n in (5, 8))
    mask = (torch.rand(5, 6, generator=draw) < 0.7).double() if masked else torch.ones_like(X)
    X, weight = X * mask, torch.linspace(0.1, 0.3, 5, dtype=torch.float64)
    best = sparse_encode(X, dictionary, alpha=0.2, mask=mask.bool())
    start = 0.5 * best if started else None
    one = torch.ones((), dtype=torch.float64)
    problem = Problem(dictionary, one, None, dictionary, None, False, mask if masked else None)
    codes = best.clone()
    codes[1], codes[3] = torch.nan, -best[3]
    gap = certified_gap(X, best, dictionary, weight, False, problem.mask)
    before, value = gap.clone(), tensor_objective(X, codes, dictionary, weight, mask)
    keep_better(X, problem, weight, start, codes, gap, value)
    given = torch.zeros_like(best) if start is None else start
    for i in range(5):
        expected = given if i in (1, 3) else best
        assert torch.equal(codes[i], expected[i])
    true = certified_gap(X, codes, dictionary, weight, False, problem.mask)
    torch.testing.assert_close(gap, true)
    assert (gap[[1, 3]] > before[[1, 3]]).all()


def test_what_rounding_adds_to_the_objective_adds_to_the_gap():
    large, one = 2.0**24 + 1, torch.ones(1, 1, dtype=torch.float64)  # float32 has no such number
    codes = torch.tensor([[large]], dtype=torch.float64)

    def result(codes, gap):
        n_iter, converged = torch.ones(1, dtype=torch.int64), torch.tensor([False])
        return SolverResult(codes, torch.full((1,), gap, dtype=torch.float64), n_iter, converged)

    exact, limit = result(codes, 0.0), 0.5 * large**2
    for start, gap, expected in [(0.0, 9e30, 0.5), (large - 1, 9e30, 0.5), (large - 1, 0.25, 0.25)]:
        found = result(torch.tensor([[start]]), gap)
        weight, left = torch.zeros(1, dtype=torch.float64), torch.tensor([0])
        round_exact(found, exact, left, codes, one, weight, 1.01 * expected / limit, None)
        assert found.codes.item() == large - 1
        assert found.gap.item() == expected
        assert found.n_iter.item() == 2
        assert found.converged.item()
        round_exact(found, exact, left, codes, one, weight, 0.99 * expected / limit, None)
        assert not found.converged.item()


def test_what_float32_cannot_solve_is_solved_again_by_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    X, atoms = (torch.tensor(rng.standard_normal((n, 6)), dtype=torch.float32) for n in (9, 12))
    solver, asked = FISTA(tol=1e-9, max_iter=2000), {"alpha": 0.1, "positive": False}
    whole = solver.solve(X, atoms, **asked)
    assert (whole.gap > 0).all()
    monkeypatch.setattr("skamort.solvers._lasso._EXACT_BLOCKS", 0)
    parts = solver.solve(X, atoms, **asked)
    rough = FISTA(tol=1e-9, max_iter=2000, is_guarded=False).solve(X, atoms, **asked)
    assert parts.converged.sum() > rough.converged.sum()
    for name in ("codes", "gap", "n_iter", "converged"):
        assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-9)
