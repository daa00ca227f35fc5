"""Every solver of the lasso: optimality, agreement with each other and with scikit-learn,
equivariance, certificates."""

import numpy as np
import pytest
import torch
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import sparse_encode as sklearn_sparse_encode
from sklearn.exceptions import ConvergenceWarning

from skamort.solvers import SOLVERS, duality_gap, sparse_encode

EXAMPLES = settings(max_examples=200, deadline=None)
# Algorithm and engine.
SOLVER_CHOICES = [("fista", "auto")] + [("cd", engine) for engine in ENGINES]
SLOW_CHOICES = [("lca", "auto"), ("adam", "auto")]
each_solver = pytest.mark.parametrize("solver", SOLVER_CHOICES, ids="-".join)
any_solver = st.sampled_from(SOLVER_CHOICES)


@st.composite
def problems(draw, dtype=np.float64):
    """X, a dictionary of atoms of any norm, alpha and the sign constraint."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n_features, n_components = draw(st.integers(1, 8)), draw(st.integers(1, 16))
    dictionary = rng.standard_normal((n_components, n_features)) * rng.uniform(
        0.5, 2, (n_components, 1)
    )
    X = rng.standard_normal((draw(st.integers(1, 4)), n_features))
    fraction = draw(st.sampled_from([0.03, 0.1, 0.3, 1.1]))
    alpha = fraction * float(np.abs(X @ dictionary.T).max())
    return X.astype(dtype), dictionary.astype(dtype), alpha, draw(st.booleans())


def objective(X, codes, dictionary, alpha):
    X, codes, dictionary = (np.asarray(a, dtype=np.float64) for a in (X, codes, dictionary))
    return 0.5 * ((X - codes @ dictionary) ** 2).sum(axis=1) + alpha * np.abs(codes).sum(axis=1)


def make_solver(solver, **options):
    algorithm, engine = solver
    if algorithm == "cd":
        options["engine"] = engine
    return SOLVERS[algorithm](**options)


def encode(X, dictionary, alpha, positive, solver=("fista", "auto"), **options):
    algorithm, engine = solver
    options = {"tol": 1e-8, "max_iter": 100_000, "return_info": True} | options
    return sparse_encode(
        X, dictionary, alpha=alpha, positive=positive, algorithm=algorithm, engine=engine, **options
    )


@EXAMPLES
@given(problems(), any_solver)
def test_codes_satisfy_the_kkt_conditions(problem, solver):
    X, dictionary, alpha, positive = problem
    codes, info = encode(X, dictionary, alpha, positive, solver)
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
@given(problems(), any_solver)
def test_objective_agrees_with_scikit_learn(problem, solver):
    X, dictionary, alpha, positive = problem
    codes, _ = encode(X, dictionary, alpha, positive, solver)
    reference = sklearn_sparse_encode(
        X, dictionary, algorithm="lasso_lars", alpha=alpha, positive=positive, max_iter=10_000
    )
    if positive:
        reference = np.maximum(reference, 0)
    ours, theirs = (objective(X, z, dictionary, alpha) for z in (codes, reference))
    assert (ours <= theirs + 1e-8 * (X**2).sum(axis=1)).all()
    assert (theirs - duality_gap(X, reference, dictionary, alpha, positive) <= ours + 1e-12).all()


@each_solver
@pytest.mark.parametrize("positive", [False, True])
def test_objective_agrees_with_scikit_learn_lasso_cd(positive, solver):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((30, 12))
    X = rng.standard_normal((20, 12))
    codes, _ = encode(X, dictionary, 0.5, positive, solver)
    reference = sklearn_sparse_encode(
        X, dictionary, algorithm="lasso_cd", alpha=0.5, positive=positive, max_iter=10_000
    )
    np.testing.assert_allclose(
        objective(X, codes, dictionary, 0.5), objective(X, reference, dictionary, 0.5), rtol=1e-3
    )


@EXAMPLES
@given(problems(), st.sampled_from([np.float32, np.float64]), st.integers(0, 30), any_solver)
def test_gap_bounds_the_distance_to_the_best(problem, dtype, max_iter, solver):
    X, dictionary, alpha, positive = problem
    X, dictionary = X.astype(dtype), dictionary.astype(dtype)
    exact = X.astype(np.float64), dictionary.astype(np.float64)
    best, _ = encode(*exact, alpha, positive)
    rough = make_solver(solver, max_iter=max_iter, tol=0.0).solve(
        torch.from_numpy(X), torch.from_numpy(dictionary), alpha=alpha, positive=positive
    )
    gap = duality_gap(X, rough.codes.numpy(), dictionary, alpha, positive)
    excess = objective(X, rough.codes, dictionary, alpha) - objective(X, best, dictionary, alpha)
    assert (gap >= 0).all()
    assert (gap >= excess - 1e-12 * (1 + (X**2).sum(axis=1))).all()
    if dtype == np.float64:
        np.testing.assert_allclose(rough.gap, gap, rtol=1e-5, atol=1e-12)
        return
    # Codes that float32 has rounded may be known to be better. alpha is rounded too.
    assert (rough.gap.numpy() <= gap * (1 + 1e-5) + 1e-6).all()
    assert (rough.gap.numpy() >= excess - 1e-6 * (1 + (X**2).sum(axis=1))).all()


@EXAMPLES
@given(problems(), st.floats(1e-3, 1e3), any_solver)
def test_scaling_data_and_alpha_scales_codes(problem, factor, solver):
    X, dictionary, alpha, positive = problem
    codes, _ = encode(X, dictionary, alpha, positive, solver)
    scaled, _ = encode(factor * X, dictionary, factor * alpha, positive, solver)
    ours, theirs = (objective(X, z, dictionary, alpha) for z in (codes, scaled / factor))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8 * (1 + (X**2).sum()))


@EXAMPLES
@given(problems(), st.randoms(use_true_random=False), any_solver)
def test_permuting_atoms_and_samples_permutes_codes(problem, random, solver):
    X, dictionary, alpha, positive = problem
    atoms, rows = list(range(len(dictionary))), list(range(len(X)))
    random.shuffle(atoms)
    random.shuffle(rows)
    codes, _ = encode(X, dictionary, alpha, positive, solver)
    permuted, _ = encode(X[rows], dictionary[atoms], alpha, positive, solver)
    np.testing.assert_allclose(
        objective(X[rows], permuted, dictionary[atoms], alpha),
        objective(X, codes, dictionary, alpha)[rows],
        atol=1e-8 * (1 + (X**2).sum()),
    )


@EXAMPLES
@given(problems(), any_solver)
def test_row_alone_equals_row_in_batch(problem, solver):
    X, dictionary, alpha, positive = problem
    together, _ = encode(X, dictionary, alpha, positive, solver)
    alone = np.vstack([encode(x[None], dictionary, alpha, positive, solver)[0] for x in X])
    np.testing.assert_allclose(
        objective(X, alone, dictionary, alpha),
        objective(X, together, dictionary, alpha),
        atol=1e-8 * (1 + (X**2).sum()),
    )


@pytest.mark.parametrize("solver", [*SOLVER_CHOICES[:2]], ids="-".join)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("positive", [False, True])
def test_gram_is_only_a_matter_of_cost(dtype, positive, solver):
    generator = torch.Generator().manual_seed(0)
    dictionary = torch.randn(40, 10, generator=generator, dtype=dtype)
    X = torch.randn(30, 10, generator=generator, dtype=dtype)
    solve = make_solver(solver, tol=1e-5).solve
    without = solve(X, dictionary, alpha=0.5, positive=positive)
    with_gram = solve(X, dictionary, alpha=0.5, positive=positive, gram=dictionary @ dictionary.T)
    assert without.converged.all()
    assert with_gram.converged.all()
    torch.testing.assert_close(
        with_gram.codes @ dictionary, without.codes @ dictionary, atol=0.05, rtol=0
    )


@each_solver
@pytest.mark.parametrize("positive", [False, True])
def test_warm_start_at_the_solution_takes_no_iterations(positive, solver):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((16, 8)), rng.standard_normal((10, 8))
    codes, _ = encode(X, dictionary, 0.3, positive, solver)
    again, info = encode(X, dictionary, 0.3, positive, solver, tol=1e-6, init=codes)
    np.testing.assert_array_equal(again, codes)
    assert not info.n_iter.any()


@each_solver
def test_alpha_beyond_alpha_max_gives_zeros_at_once(solver):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((16, 8)), rng.standard_normal((10, 8))
    alpha = np.abs(X @ dictionary.T).max()
    codes, info = encode(X, dictionary, alpha, False, solver, init=np.ones((10, 16)))
    assert not codes.any()
    assert not info.n_iter.any()
    assert (info.gap < 1e-12).all()


@each_solver
def test_alpha_zero_is_least_squares(solver):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((5, 8)), rng.standard_normal((10, 8))
    codes, info = encode(X, dictionary, 0.0, False, solver)
    expected = np.linalg.lstsq(dictionary.T, X.T, rcond=None)[0].T
    np.testing.assert_allclose(codes, expected, atol=1e-3)
    assert info.converged.all()


@each_solver
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_every_sample_has_the_weight_that_is_its_own(positive, masked, solver):
    draw = torch.Generator().manual_seed(0)
    dictionary, X = (torch.randn(n, 8, generator=draw, dtype=torch.float64) for n in (6, 5))
    mask = torch.rand(X.shape, generator=draw) < 0.8 if masked else None
    weights = torch.tensor([0.3, 0.0, 1e-3, 50.0, 0.0], dtype=torch.float64)
    solve = make_solver(solver, tol=1e-9, max_iter=10_000).solve
    together = solve(X, dictionary, alpha=weights, positive=positive, mask=mask)
    assert together.converged.all()
    for i in range(len(X)):
        rows, seen = slice(i, i + 1), None if mask is None else mask[i : i + 1]
        alone = solve(X[rows], dictionary, alpha=float(weights[i]), positive=positive, mask=seen)
        torch.testing.assert_close(together.codes[rows], alone.codes, atol=1e-3, rtol=0)
        assert alone.converged


@each_solver
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e-10, 1e10, 1e30])
def test_extreme_sizes(dtype, size, solver):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((16, 8)), rng.standard_normal((10, 8))
    expected, _ = encode(X.astype(dtype), dictionary, 0.3, False, solver, tol=1e-4)
    codes, _ = encode((size * X).astype(dtype), dictionary, 0.3 * size, False, solver, tol=1e-4)
    np.testing.assert_allclose(codes / dtype(size), expected, atol=1e-3)


@each_solver
def test_denormals_and_zero_rows_need_no_iterations(solver):
    X = np.zeros((3, 4))
    X[1] = 5e-324
    codes, info = encode(X, np.eye(4), 0.1, False, solver)
    assert not codes.any()
    assert info.converged.all()
    assert not info.n_iter.any()


@each_solver
@pytest.mark.parametrize("positive", [False, True])
def test_duplicate_and_antipodal_atoms(positive, solver):
    rng = np.random.default_rng(0)
    atoms, X = rng.standard_normal((6, 8)), rng.standard_normal((10, 8))
    dictionary = np.vstack([atoms, atoms, -atoms])
    codes, info = encode(X, dictionary, 0.2, positive, solver)
    expected, _ = encode(X, atoms, 0.2, False, solver)
    assert info.converged.all()
    np.testing.assert_allclose(
        objective(X, codes, dictionary, 0.2), objective(X, expected, atoms, 0.2), rtol=1e-6
    )


@each_solver
@pytest.mark.parametrize("positive", [False, True])
def test_rank_deficient_dictionaries(positive, solver):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((12, 2)) @ rng.standard_normal((2, 8))
    X = rng.standard_normal((10, 8))
    codes, info = encode(X, dictionary, 0.2, positive, solver, tol=1e-6)
    assert info.converged.all()
    reference = sklearn_sparse_encode(
        X, dictionary, algorithm="lasso_cd", alpha=0.2, positive=positive, max_iter=10_000
    )
    ours, theirs = (objective(X, z, dictionary, 0.2) for z in (codes, reference))
    assert (ours <= theirs + 1e-6 * (X**2).sum(axis=1)).all()


@each_solver
def test_one_sample_and_one_atom(solver):
    codes, info = encode([[2.0, 0.0]], [[1.0, 1.0]], 0.5, True, solver)
    np.testing.assert_allclose(codes, [[0.75]])
    assert info.converged.all()


@each_solver
def test_float32_does_not_fake_accuracy_it_cannot_hold(solver):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((2, 40, 20)).astype(np.float32)
    with pytest.warns(ConvergenceWarning):
        codes, info = encode(X, dictionary, 0.1, False, solver, tol=1e-14, max_iter=300)
    excess = objective(X, codes, dictionary, 0.1) - objective(
        X, encode(X.astype(float), dictionary, 0.1, False)[0], dictionary, 0.1
    )
    assert (info.gap >= excess - 1e-12).all()
    assert not info.converged.all()


@each_solver
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("n_atoms", [12, 60])
def test_float32_reaches_the_accuracy_it_can_hold(solver, positive, n_atoms):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((n_atoms, 20)).astype(np.float32)
    X = rng.standard_normal((50, 20)).astype(np.float32)
    _, info = encode(X, dictionary, 0.5, positive, solver, tol=5e-7, max_iter=3000)
    assert info.converged.all()


@pytest.mark.parametrize("solver", SLOW_CHOICES, ids="-".join)
@pytest.mark.parametrize("positive", [False, True])
def test_solvers_for_reproduction_reach_the_same_objective(solver, positive):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((16, 8)), rng.standard_normal((10, 8))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    codes, info = encode(X, dictionary, 0.3, positive, solver, tol=1e-3)
    best, _ = encode(X, dictionary, 0.3, positive)
    assert info.converged.all()
    assert (info.n_iter > 0).all()
    excess = objective(X, codes, dictionary, 0.3) - objective(X, best, dictionary, 0.3)
    assert (excess <= 1e-3 * (X**2).sum(axis=1)).all()
    again, info = encode(X, dictionary, 0.3, positive, solver, tol=2e-3, init=codes)
    assert not info.n_iter.any()
    np.testing.assert_allclose(again, codes, atol=1e-4)
