"""Samples with entries missing, by every solver: as if the rest were all there is."""

import warnings

import numpy as np
import pytest
import torch
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, orthogonal_mp

from skamort.solvers import (
    SOLVERS,
    CoordinateDescent,
    alpha_max,
    duality_gap,
    sparse_encode,
    sparse_encode_path,
)

EXAMPLES = settings(max_examples=10, deadline=None)
LASSO = [("fista", "auto")] + [("cd", engine) for engine in ENGINES]
PURSUITS = [(name, engine) for name in ("omp", "ormp") for engine in ENGINES]
OTHERS = [("mp", "auto"), ("gradient_pursuit", "auto"), ("iht", "auto")]
OTHERS += [(name, engine) for name in ("gomp", "topk_refined") for engine in ENGINES]
OTHERS += [("exact", "auto")] + [("exchange", engine) for engine in ENGINES]
SLOW = [("lca", "auto")]
each_lasso = pytest.mark.parametrize("solver", LASSO, ids="-".join)
each_solver = pytest.mark.parametrize("solver", LASSO + PURSUITS + OTHERS + SLOW, ids="-".join)
any_lasso = st.sampled_from(LASSO)


@st.composite
def problems(draw):
    """X, a mask, a dictionary of atoms of any norm, alpha and the sign constraint."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n_features, n_components = draw(st.integers(1, 8)), draw(st.integers(1, 16))
    dictionary = rng.standard_normal((n_components, n_features))
    dictionary *= rng.uniform(0.5, 2, (n_components, 1))
    dictionary[rng.random(dictionary.shape) < 0.2] = 0  # atoms that masks hide
    dictionary[:, 0] += dictionary[:, 0] == 0
    X = rng.standard_normal((draw(st.integers(1, 5)), n_features))
    mask = rng.random(X.shape) < draw(st.sampled_from([0.3, 0.6, 0.9]))
    fraction = draw(st.sampled_from([0.03, 0.1, 0.3, 1.1]))
    alpha = max(fraction * float(np.abs(X @ dictionary.T).max()), 1e-3)
    return X, mask, dictionary, alpha, draw(st.booleans())


def encode(X, mask, dictionary, solver=("cd", "auto"), **options):
    algorithm, engine = solver
    if SOLVERS[algorithm].is_k_sparse:
        options.pop("alpha", None)
        options = {"n_nonzero_coefs": 2} | options
    options = {"tol": 1e-7, "max_iter": 20_000, "return_info": True} | options
    return sparse_encode(X, dictionary, algorithm=algorithm, engine=engine, mask=mask, **options)


def objective(X, mask, codes, dictionary, alpha):
    X, codes = np.where(mask, X, 0).astype(float), np.asarray(codes, dtype=float)
    error = mask * (X - codes @ dictionary.astype(float))
    return 0.5 * (error**2).sum(axis=1) + alpha * np.abs(codes).sum(axis=1)


def row_by_row(X, mask, dictionary, **options):
    """Codes of every row in its own features, with the atoms that these show."""
    codes = np.zeros((len(X), len(dictionary)))
    for x, seen, z in zip(X, mask, codes, strict=True):
        used = dictionary[:, seen].any(axis=1)
        if used.any():
            atoms = dictionary[used][:, seen]
            z[used] = sparse_encode(x[None, seen], atoms, **options)[0]
    return codes


def some_data(dtype=np.float64, n_samples=30, n_features=10, n_components=16):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((n_components, n_features)).astype(dtype)
    X = rng.standard_normal((n_samples, n_features)).astype(dtype)
    return X, rng.random(X.shape) < 0.6, dictionary


@EXAMPLES
@given(problems(), any_lasso)
def test_codes_are_best_for_what_is_observed(problem, solver):
    X, mask, dictionary, alpha, positive = problem
    codes, info = encode(X, mask, dictionary, solver, alpha=alpha, positive=positive)
    assert info.converged.all()
    residual = mask * (X - codes @ dictionary)
    correlations = residual @ dictionary.T
    norms = np.sqrt(mask @ dictionary.T**2)
    slack = np.sqrt(2 * info.gap)[:, None] * norms + 1e-9
    assert ((correlations if positive else np.abs(correlations)) <= alpha + slack).all()
    active = np.abs(codes) * norms**2 > slack
    assert (np.abs(correlations - alpha * np.sign(codes)) <= slack)[active].all()
    reference = row_by_row(X, mask, dictionary, alpha=alpha, positive=positive, tol=1e-10)
    ours, best = (objective(X, mask, z, dictionary, alpha) for z in (codes, reference))
    assert (ours <= best + info.gap + 1e-12).all()
    assert (best <= ours + 1e-7 * (1 + (X**2).sum(axis=1))).all()


@each_lasso
@pytest.mark.parametrize("positive", [False, True])
def test_codes_agree_with_scikit_learn_row_by_row(solver, positive):
    X, mask, dictionary = some_data()
    codes, _ = encode(X, mask, dictionary, solver, alpha=0.5, positive=positive, tol=1e-10)
    for x, seen, z in zip(X, mask, codes, strict=True):
        lasso = Lasso(0.5 / seen.sum(), fit_intercept=False, positive=positive, tol=1e-8)
        lasso.set_params(max_iter=100_000)
        np.testing.assert_allclose(z, lasso.fit(dictionary[:, seen].T, x[seen]).coef_, atol=1e-3)


@EXAMPLES
@given(problems(), st.sampled_from([np.float32, np.float64]), st.integers(0, 10), any_lasso)
def test_gap_bounds_the_distance_to_the_best(problem, dtype, max_iter, solver):
    X, mask, dictionary, alpha, positive = problem
    X, dictionary = X.astype(dtype), dictionary.astype(dtype)
    reference = row_by_row(X, mask, dictionary.astype(float), alpha=alpha, positive=positive)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        codes, info = encode(
            X, mask, dictionary, solver, alpha=alpha, positive=positive, max_iter=max_iter, tol=0.0
        )
    gap = duality_gap(X, codes, dictionary, alpha, positive, mask=mask)
    excess = objective(X, mask, codes, dictionary, alpha)
    excess -= objective(X, mask, reference, dictionary, alpha)
    rounding = np.finfo(dtype).eps * (1 + (X**2).sum(axis=1))
    assert (gap >= excess - 100 * np.finfo(float).eps * (1 + (X**2).sum(axis=1))).all()
    assert (info.gap >= excess - 10 * rounding).all()
    assert (info.gap <= gap * (1 + 1e-5) + 10 * rounding).all()


@pytest.mark.parametrize("solver", PURSUITS + OTHERS, ids="-".join)
@pytest.mark.parametrize("positive", [False, True])
def test_pursuits_agree_with_those_of_single_rows(solver, positive):
    # With as many non-zeros as features observed all atoms would be as good for the last.
    X, mask, dictionary = some_data(n_samples=8, n_features=16)
    dictionary[3, 4:] = 0  # seen or not
    options = {"positive": positive, "n_nonzero_coefs": 3}
    codes, info = encode(X, mask, dictionary, solver, **options)
    reference = row_by_row(X, mask, dictionary, algorithm=solver[0], **options)
    np.testing.assert_allclose(codes, reference, atol=1e-9)
    np.testing.assert_allclose(
        info.residual, 2 * objective(X, mask, codes, dictionary, 0.0), atol=1e-9
    )


@pytest.mark.parametrize("solver", PURSUITS, ids="-".join)
def test_pursuits_stop_where_little_of_what_is_observed_is_left(solver):
    X, mask, dictionary = some_data(n_samples=8, n_features=60, n_components=40)
    options = {"residual_tol": 10.0, "n_nonzero_coefs": None}
    codes, info = encode(X, mask, dictionary, solver, **options)
    assert (info.n_iter > 16).any()  # more than fit in the first round
    assert (info.n_iter < 16).any()
    np.testing.assert_allclose(
        codes, row_by_row(X, mask, dictionary, algorithm=solver[0], **options), atol=1e-9
    )
    assert (2 * objective(X, mask, codes, dictionary, 0.0) <= 10).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_pursuit_agrees_with_scikit_learn_row_by_row(engine):
    X, mask, dictionary = some_data(n_samples=8, n_features=16)
    codes, _ = encode(X, mask, dictionary, ("omp", engine), n_nonzero_coefs=4)
    for x, seen, z in zip(X, mask, codes, strict=True):
        norms = np.linalg.norm(dictionary[:, seen], axis=1)
        atoms = dictionary[:, seen].T / norms
        expected = orthogonal_mp(atoms, x[seen], n_nonzero_coefs=4) / norms
        np.testing.assert_allclose(z, expected, atol=1e-9)


@each_solver
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_missing_makes_no_difference(solver, dtype):
    X, mask, dictionary = some_data(dtype)
    options = {"alpha": 0.7, "tol": 1e-3}
    found = []
    for hidden in (0.0, np.nan, np.inf, 1e30):
        codes, info = encode(np.where(mask, X, dtype(hidden)), mask, dictionary, solver, **options)
        assert codes.dtype == dtype
        found.append((codes, info.gap, info.n_iter))
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


@each_solver
def test_a_mask_that_hides_nothing_changes_nothing(solver):
    X, mask, dictionary = some_data()
    options = {"alpha": 0.7, "tol": 1e-3}
    masked, _ = encode(X, np.ones_like(mask), dictionary, solver, **options)
    plain, _ = encode(X, None, dictionary, solver, **options)
    np.testing.assert_array_equal(masked, plain)


@each_solver
def test_nothing_observed_has_no_codes_and_no_gap(solver):
    X, mask, dictionary = some_data()
    mask[[0, 7]] = False
    codes, info = encode(np.where(mask, X, np.nan), mask, dictionary, solver, alpha=0.7, tol=1e-3)
    assert not codes[[0, 7]].any()
    assert codes[1].any()
    assert info.converged[[0, 7]].all()
    if info.residual is not None:
        assert not info.residual[[0, 7]].any()


@each_solver
def test_atoms_of_which_nothing_is_observed_are_not_used(solver):
    X, mask, dictionary = some_data()
    dictionary[3, 2:] = 0
    dictionary[4] = 0
    dictionary[4, 0] = 1e-3
    mask[:20, :2] = False
    init = np.ones((len(X), len(dictionary)))
    codes, _ = encode(X, mask, dictionary, solver, alpha=1e-3, tol=1e-3, init=init)
    assert np.isfinite(codes).all()
    assert not codes[:20, 3:5].any()
    assert codes[:20].any(axis=1).all()


@each_lasso
def test_samples_with_the_same_mask_have_the_codes_of_samples_with_their_own(solver):
    X, mask, dictionary = some_data(n_samples=200)
    mask[:100], mask[100:150] = mask[0], True
    together, info = encode(X, mask, dictionary, solver, alpha=0.5)
    alone = [
        encode(x[None], m[None], dictionary, solver, alpha=0.5)[0][0]
        for x, m in zip(X[::7], mask[::7], strict=True)
    ]
    np.testing.assert_allclose(together[::7], alone, atol=1e-3)
    assert (info.gap <= 1e-7 * (X**2).sum(axis=1)).all()


def test_samples_of_every_block_have_their_own_mask(monkeypatch):
    X, mask, dictionary = some_data()
    options = {"alpha": 0.3, "tol": 1e-8}
    whole, info = encode(X, mask, dictionary, **options)
    for name, value in (("_MASKED_BLOCKS", 1e-9), ("_LEAST_ROWS", 8)):
        monkeypatch.setattr(f"skamort.solvers._cd.{name}", value)
    codes, other = encode(X, mask, dictionary, **options)
    np.testing.assert_allclose(codes, whole, atol=1e-9)
    np.testing.assert_array_equal(other.n_iter, info.n_iter)
    assert other.converged.all()


@each_lasso
@pytest.mark.parametrize("size", [2.0**-90, 1.0, 2.0**90])
def test_codes_scale_with_the_data(solver, size):
    X, mask, dictionary = some_data()
    codes, info = encode(size * X, mask, dictionary, solver, alpha=0.5 * size)
    plain, _ = encode(X, mask, dictionary, solver, alpha=0.5)
    np.testing.assert_allclose(codes / size, plain, atol=1e-4)
    assert info.converged.all()


@each_lasso
def test_a_far_start_is_no_worse_than_zero(solver):
    X, mask, dictionary = some_data(np.float32)
    rng = np.random.default_rng(1)
    init = 1e6 * rng.standard_normal((len(X), len(dictionary))).astype(np.float32)
    options = {"max_iter": 0, "tol": 1.0}
    codes, _ = encode(X, mask, dictionary, solver, alpha=0.5, init=init, **options)
    assert (objective(X, mask, codes, dictionary, 0.5) <= 0.5 * (mask * X**2).sum(1) + 1e-4).all()


@pytest.mark.parametrize("positive", [False, True])
def test_free_codes_are_least_squares(positive):
    X, mask, dictionary = some_data(n_components=5)
    dictionary[0, 1:] *= 1e-25  # hardly observed without the first feature
    codes, info = encode(X, mask, dictionary, alpha=0.0, positive=positive)
    assert info.converged.all()
    np.testing.assert_allclose(
        info.gap, duality_gap(X, codes, dictionary, 0.0, positive, mask=mask), atol=1e-12
    )
    if not positive:
        best = [
            np.linalg.lstsq(dictionary[:, m].T, x[m], rcond=None)[1]
            for x, m in zip(X, mask, strict=True)
        ]
        few = np.array([len(b) == 1 for b in best])
        found = 2 * objective(X, mask, codes, dictionary, 0.0)[few]
        np.testing.assert_allclose(found, np.concatenate([b for b in best if len(b)]), atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_free_codes_beside_others_are_least_squares_too(engine):
    X, mask, dictionary = some_data(n_components=5)
    dictionary[0, 1:] *= 1e-25  # hardly observed without the first feature
    data, atoms, seen = (torch.from_numpy(a) for a in (X, dictionary, mask))
    solver, weights = CoordinateDescent(tol=1e-8, engine=engine), torch.zeros(len(X)).double()
    weights[::2] = 0.3
    mixed = solver.solve(data, atoms, alpha=weights, positive=False, mask=seen)
    assert mixed.converged.all()
    for first, alpha in ((0, 0.3), (1, 0.0)):
        rows = slice(first, None, 2)
        alone = solver.solve(data[rows], atoms, alpha=alpha, positive=False, mask=seen[rows])
        ours, theirs = (
            objective(X[rows], mask[rows], codes, dictionary, alpha)
            for codes in (mixed.codes[rows], alone.codes)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("positive", [False, True])
def test_gaps_of_free_codes_are_those_of_single_rows(positive):
    X, mask, dictionary = some_data(n_samples=12)
    dictionary[np.random.default_rng(1).random(dictionary.shape) < 0.4] = 0
    dictionary[2, 1:], dictionary[2, 0], dictionary[3] = 0, 1, 1
    X, mask[:6, 0], mask[11] = np.where(mask, X, 0), False, False
    codes = 0.1 * np.abs(np.random.default_rng(2).standard_normal((12, 16)))
    gap = duality_gap(X, codes, dictionary, 0.0, positive, mask=mask)
    assert gap[11] == 0
    for x, seen, z, found in zip(X[:11], mask, codes, gap, strict=False):
        used = dictionary[:, seen].any(axis=1)
        atoms = dictionary[used][:, seen]
        expected = duality_gap(x[None, seen], z[None, used], atoms, 0.0, positive)
        np.testing.assert_allclose(found, expected[0], rtol=1e-6)


@pytest.mark.parametrize("solver", PURSUITS + OTHERS, ids="-".join)
def test_what_no_observed_atom_explains_is_the_residual(solver):
    X, mask, dictionary = some_data(n_samples=3)
    dictionary[:, 2:], mask[:], mask[:2, :2] = 0, True, False
    codes, info = encode(X, mask, dictionary, solver)
    assert not codes[:2].any()
    np.testing.assert_allclose(info.residual[:2], (X[:2, 2:] ** 2).sum(axis=1))


@pytest.mark.parametrize("positive", [False, True])
def test_alpha_max_is_where_codes_vanish(positive):
    X, mask, dictionary = some_data()
    X[~mask] = np.nan
    largest = alpha_max(X, dictionary, positive=positive, mask=mask)
    path = sparse_encode_path(X, dictionary, n_alphas=3, positive=positive, mask=mask)
    assert path.alphas[0] == largest.max()
    assert not path.codes[0].any()
    for factor, vanish in ((1.0, True), (0.999, False)):
        for x, m, alpha in zip(X[:5], mask[:5], factor * largest[:5], strict=True):
            options = {"alpha": alpha, "positive": positive}
            codes, _ = encode(x[None], m[None], dictionary, **options)
            assert codes.any() != vanish


@pytest.mark.parametrize("algorithm", ["omp", "ormp"])
def test_the_default_number_of_nonzeros_is_a_tenth_of_all_features(algorithm):
    X, mask, dictionary = some_data(n_features=30, n_components=40)
    codes = sparse_encode(X, dictionary, algorithm=algorithm, mask=mask)
    assert ((codes != 0).sum(axis=1) == 3).all()


def test_tensors_take_masks_of_tensors():
    X, mask, dictionary = some_data()
    arrays = sparse_encode(X, dictionary, alpha=0.5, mask=mask)
    X, seen, dictionary = map(torch.from_numpy, (X, mask, dictionary))
    codes = sparse_encode(X, dictionary, alpha=0.5, mask=seen)
    np.testing.assert_array_equal(codes.numpy(), arrays)
    assert torch.equal(sparse_encode(X, dictionary, alpha=0.5, mask=mask), codes)


def test_masks_that_are_none_are_refused():
    X, mask, dictionary = some_data()
    with pytest.raises(TypeError, match="boolean, True where X is observed"):
        sparse_encode(X, dictionary, mask=mask.astype(float))
    with pytest.raises(ValueError, match="shape"):
        sparse_encode(X, dictionary, mask=mask[:1])
    with pytest.raises(ValueError, match="'lasso_lars' is scikit-learn's and takes no mask"):
        sparse_encode(X, dictionary, algorithm="lasso_lars", mask=mask)
    X[0, mask[0].argmax()] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        sparse_encode(X, dictionary, mask=mask)
