"""Every k-sparse solver: sparsity, residuals, optimality on the support, agreement with
scikit-learn and of engines."""

import numpy as np
import pytest
import torch
from engines import ENGINES, each_engine, needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st
from ksparse import (
    NAMES,
    SOLVER_CHOICES,
    OMPWithoutGram,
    ORMPWithoutGram,
    any_solver,
    each_solver,
    encode,
    problems,
)
from sklearn.linear_model import orthogonal_mp

from skamort.solvers import OMP, ORMP, SOLVERS, sparse_encode
from skamort.solvers._ksparse import refit

EXAMPLES = settings(max_examples=200, deadline=None)
each_omp = pytest.mark.parametrize(
    "solver", [s for s in SOLVER_CHOICES if s[0] in ("omp", "ormp")], ids="-".join
)
PURSUITS = [(name, engine) for name in ("omp", "ormp") for engine in ENGINES]
any_pursuit = st.sampled_from(PURSUITS)


@EXAMPLES
@given(problems(), any_solver)
def test_codes_are_k_sparse_and_explain_data(problem, solver):
    X, dictionary, k, positive = problem
    codes, info = encode(X, dictionary, k, positive, solver)
    assert ((codes != 0).sum(axis=1) <= k).all()
    if positive:
        assert (codes >= 0).all()
    residual = ((X - codes @ dictionary) ** 2).sum(axis=1)
    np.testing.assert_allclose(info.residual, residual, atol=1e-9)
    assert (residual <= (X**2).sum(axis=1) * (1 + 1e-9)).all()
    assert info.algorithm == solver[0]


@EXAMPLES
@given(problems(), any_pursuit)
def test_residual_is_orthogonal_to_the_support(problem, solver):
    X, dictionary, k, positive = problem
    codes, _ = encode(X, dictionary, k, positive, solver)
    correlations = (X - codes @ dictionary) @ dictionary.T
    assert np.abs(correlations[codes != 0]).max(initial=0) < 1e-6


@EXAMPLES
@given(problems(), any_pursuit)
def test_residual_does_not_rise_with_k(problem, solver):
    X, dictionary, _, positive = problem
    residuals = [
        encode(X, dictionary, k, positive, solver)[1].residual
        for k in range(1, len(dictionary) + 1)
    ]
    assert (np.diff(residuals, axis=0) <= 1e-9).all()


@EXAMPLES
@given(problems(), st.sampled_from(ENGINES))
def test_omp_agrees_with_scikit_learn(problem, engine):
    X, dictionary, k, _ = problem
    # Beyond the rank scikit-learn's answer is arbitrary.
    k = min(k, *dictionary.shape, max(dictionary.shape[1] - 1, 1))
    codes, info = encode(X, dictionary, k, False, ("omp", engine))
    reference = orthogonal_mp(dictionary.T, X.T, n_nonzero_coefs=k).reshape(len(dictionary), -1).T
    theirs = ((X - reference @ dictionary) ** 2).sum(axis=1)
    np.testing.assert_allclose(info.residual, theirs, atol=1e-8)
    np.testing.assert_allclose(codes, reference, atol=1e-5)


WITHOUT_GRAM = [(OMP, OMPWithoutGram), (ORMP, ORMPWithoutGram)]


@EXAMPLES
@given(problems(), st.sampled_from(WITHOUT_GRAM))
def test_torch_gives_the_same_codes_with_and_without_gram(problem, solvers):
    X, dictionary, k, positive = problem
    k = min(k, max(dictionary.shape[1] - 1, 1))
    X, dictionary = torch.from_numpy(X), torch.from_numpy(dictionary)
    with_gram, without_gram = (solver(k, engine="torch") for solver in solvers)
    by_gram = with_gram.solve(X, dictionary, positive=positive, gram=dictionary @ dictionary.T)
    by_dictionary = without_gram.solve(X, dictionary, positive=positive)
    torch.testing.assert_close(by_gram.codes, by_dictionary.codes, atol=1e-5, rtol=0)
    torch.testing.assert_close(by_gram.residual, by_dictionary.residual, atol=1e-8, rtol=0)


@pytest.mark.parametrize("solver", [OMPWithoutGram, ORMPWithoutGram])
def test_rank_deficient_dictionaries_without_gram(solver):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((12, 2)) @ rng.standard_normal((2, 8))
    X = rng.standard_normal((10, 8))
    result = solver(12, engine="torch").solve(
        torch.from_numpy(X), torch.from_numpy(dictionary), positive=False
    )
    left = X - X @ np.linalg.pinv(dictionary) @ dictionary
    np.testing.assert_allclose(result.residual, (left**2).sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("algorithm", ["omp", "ormp"])
def test_many_atoms_and_non_zeros(engine, algorithm):
    """Sizes that no tile, group of rows or cache line divides."""
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((1301, 90))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    truth = rng.standard_normal((20, 1301)) * (rng.random((20, 1301)).argsort(axis=1) < 11)
    X = truth @ dictionary
    codes, info = encode(X, dictionary, 11, False, (algorithm, engine))
    reference = orthogonal_mp(dictionary.T, X.T, n_nonzero_coefs=11).T
    if algorithm == "omp":
        np.testing.assert_allclose(codes, reference, atol=1e-8)
    exact = ((codes != 0) == (truth != 0)).all(axis=1).mean()
    assert exact >= ((reference != 0) == (truth != 0)).all(axis=1).mean()
    np.testing.assert_allclose(
        info.residual, ((X - codes @ dictionary) ** 2).sum(axis=1), atol=1e-9
    )


@needs_numba
@EXAMPLES
@given(problems(), st.sampled_from(["omp", "ormp", "exchange", "topk_refined", "gomp"]))
def test_engines_agree(problem, algorithm):
    X, dictionary, k, positive = problem
    k = min(k, max(dictionary.shape[1] - 1, 1))
    compiled, _ = encode(X, dictionary, k, positive, (algorithm, "numba"))
    plain, _ = encode(X, dictionary, k, positive, (algorithm, "torch"))
    np.testing.assert_allclose(compiled, plain, atol=1e-5)


@EXAMPLES
@given(problems(), any_solver)
def test_row_alone_equals_row_in_batch(problem, solver):
    X, dictionary, k, positive = problem
    k = min(k, max(dictionary.shape[1] - 1, 1))
    together, _ = encode(X, dictionary, k, positive, solver)
    alone = np.vstack([encode(x[None], dictionary, k, positive, solver)[0] for x in X])
    np.testing.assert_allclose(alone, together, atol=1e-5)


@EXAMPLES
@given(problems(), any_solver, st.sampled_from([0.125, 4.0]))
def test_scaling_data_scales_codes(problem, solver, factor):
    X, dictionary, k, positive = problem
    k = min(k, max(dictionary.shape[1] - 1, 1))
    codes, _ = encode(X, dictionary, k, positive, solver)
    scaled, _ = encode(factor * X, dictionary, k, positive, solver)
    np.testing.assert_allclose(scaled, factor * codes, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    problems(),
    any_solver,
    st.integers(0, 2**31),
    st.sampled_from([0.1, 12]),
    st.booleans(),
    st.booleans(),
)
def test_norms_of_atoms_do_not_choose(problem, solver, seed, spread, masked, started):
    X, dictionary, k, positive = problem
    k = min(k, max(dictionary.shape[1] - 1, 1))
    rng = np.random.default_rng(seed)
    norms = 10 ** rng.uniform(-spread, spread, len(dictionary))
    mask = rng.random(X.shape) < 0.7
    # In a single feature all atoms are alike.
    mask = mask if masked and (mask.sum(axis=1) > max(k, 1)).all() else None
    start = np.abs(rng.standard_normal((len(X), len(dictionary)))) if started else None
    codes, info = encode(X, dictionary, k, positive, solver, mask=mask, init=start)
    start = None if start is None else start / norms
    found, uneven = encode(
        X, dictionary * norms[:, None], k, positive, solver, mask=mask, init=start
    )
    np.testing.assert_allclose(found * norms, codes, atol=1e-5)
    np.testing.assert_allclose(uneven.residual, info.residual, atol=1e-8)


@each_solver
def test_the_norms_of_unit_atoms_are_rounding_and_change_no_bit(solver, monkeypatch):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((20, 10)).astype("f"), rng.standard_normal((5, 10))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    codes, _ = encode(X.astype("f"), dictionary, 4, True, solver)
    monkeypatch.setattr("skamort.solvers._ksparse._EVEN", np.inf)
    np.testing.assert_array_equal(encode(X.astype("f"), dictionary, 4, True, solver)[0], codes)


@each_solver
@pytest.mark.parametrize("positive", [False, True])
def test_recovers_sparse_codes_of_an_orthonormal_dictionary(solver, positive):
    rng = np.random.default_rng(0)
    dictionary = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    truth = rng.uniform(1, 2, (20, 12)) * (rng.random((20, 12)).argsort(axis=1) < 3)
    if not positive:
        truth *= rng.choice([-1, 1], truth.shape)
    codes, info = encode(truth @ dictionary, dictionary, 3, positive, solver)
    np.testing.assert_allclose(codes, truth, atol=1e-6)
    assert (info.residual < 1e-9).all()


def test_ormp_finds_the_exact_support_more_often():
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((16, 8))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    truth = rng.standard_normal((500, 16)) * (rng.random((500, 16)).argsort(axis=1) < 3)
    exact = {
        name: (encode(truth @ dictionary, dictionary, 3, False, (name, "auto"))[1].residual < 1e-9)
        for name in ("omp", "ormp")
    }
    assert exact["ormp"].mean() > exact["omp"].mean() + 0.05


@each_solver
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("positive", [False, True])
def test_degenerate_inputs(solver, dtype, positive):
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((4, 6))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    dictionary = np.vstack([atoms, atoms, -atoms]).astype(dtype)
    X = np.vstack([np.zeros(6), rng.standard_normal((3, 6)), atoms[0]]).astype(dtype)
    for size in (1e-30, 1.0, 1e30):
        codes, info = encode((size * X).astype(dtype), dictionary, 12, positive, solver)
        assert np.isfinite(codes).all()
        assert not codes[0].any()
        assert np.isfinite(info.residual).all()
    assert (info.residual <= 1e60 * (X.astype(float) ** 2).sum(axis=1) * (1 + 1e-5)).all()


@each_solver
@pytest.mark.parametrize("positive", [False, True])
def test_rank_deficient_dictionaries(solver, positive):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((12, 2)) @ rng.standard_normal((2, 8))
    X = rng.standard_normal((10, 8))
    codes, info = encode(X, dictionary, 12, positive, solver)
    assert np.isfinite(codes).all()
    assert (info.residual <= (X**2).sum(axis=1) * (1 + 1e-9)).all()
    if not positive and solver[0] in ("omp", "ormp"):
        left = X - X @ np.linalg.pinv(dictionary) @ dictionary
        np.testing.assert_allclose(info.residual, (left**2).sum(axis=1), rtol=1e-6)


@each_solver
def test_denormals(solver):
    X = np.full((2, 4), 5e-324)
    codes, info = encode(X, np.eye(4), 2, True, solver)
    assert np.isfinite(codes).all()
    assert not info.residual.any()


@each_solver
@pytest.mark.parametrize("positive", [False, True])
def test_one_sample_and_one_atom(solver, positive):
    codes, _ = encode([[2.0, 0.0]], [[0.6, 0.8]], 1, positive, solver)
    np.testing.assert_allclose(codes, [[1.2]])


@needs_numba
@pytest.mark.parametrize("algorithm", ["omp", "ormp"])
def test_an_atom_that_depends_on_the_support_does_not_end_a_pursuit(algorithm):
    dictionary = np.array([[1, 1e-9, 0], [1, 0, 0], [0, 0, 1]])
    codes = encode(np.array([[1, 1, 1e-10]]), dictionary, 3, False, (algorithm, "numba"))[0]
    np.testing.assert_allclose(codes, [[1, 0, 1e-10]], rtol=1e-6)


def test_topk_refined_solves_nnls_on_the_support():
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((20, 10)), rng.standard_normal((30, 10))
    encoded = np.abs(rng.standard_normal((30, 20))) * (rng.random((30, 20)).argsort(axis=1) < 6)
    codes, _ = encode(X, dictionary, 6, True, ("topk_refined", "auto"), init=encoded)
    gradient = (X - codes @ dictionary) @ dictionary.T
    assert np.abs(gradient[codes > 0]).max() < 1e-8
    assert gradient[(encoded > 0) & (codes == 0)].max() < 1e-8


@pytest.mark.parametrize("positive", [False, True])
def test_least_squares_from_a_start_leave_no_more_than_it(positive):
    draw = torch.Generator().manual_seed(0)
    atoms = torch.randn(400, 6, 7, generator=draw, dtype=torch.float64) + 0.6
    X = torch.randn(400, 7, generator=draw, dtype=torch.float64)
    start = torch.rand(400, 6, generator=draw, dtype=torch.float64)
    start *= torch.rand(400, 6, generator=draw) < 0.7
    active = torch.rand(400, 6, generator=draw) < 0.8
    start *= active
    z, used = refit(atoms, X, start, active, positive)
    assert not z[~used].any()
    assert not (used & ~active).any()
    rest, before = (X - torch.einsum("nk,nkf->nf", codes, atoms) for codes in (z, start))
    assert (torch.einsum("nf,nkf->nk", rest, atoms)[used].abs() < 1e-9).all()
    assert (rest.square().sum(1) <= before.square().sum(1) + 1e-9).all()
    if positive:
        assert (z[used] > 0).all()
        assert used.sum() < active.sum()
    else:
        assert torch.equal(used, active)


@needs_numba
def test_least_squares_are_solved_by_the_engine_that_is_named(monkeypatch):
    monkeypatch.setattr("skamort.solvers._least_squares._compiled", None)
    X, dictionary = np.random.default_rng(0).standard_normal((2, 12, 8))
    options = {"algorithm": "topk_refined", "n_nonzero_coefs": 3}
    sparse_encode(X, dictionary, engine="torch", **options)
    with pytest.raises(TypeError, match="not callable"):
        sparse_encode(X, dictionary, engine="numba", **options)


@needs_numba
@pytest.mark.parametrize("solver", [OMP, ORMP])
def test_number_of_threads_changes_nothing(solver):
    generator = torch.Generator().manual_seed(0)
    X, dictionary = torch.randn(2, 30, 10, generator=generator)
    one, three = (
        solver(4, engine="numba", n_jobs=n_jobs).solve(X, dictionary, positive=False)
        for n_jobs in (1, 3)
    )
    assert torch.equal(one.codes, three.codes)


def test_number_of_non_zeros_defaults_to_a_tenth_of_the_features():
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((2, 40, 30))
    codes = sparse_encode(X, dictionary, algorithm="omp")
    assert ((codes != 0).sum(axis=1) == 3).all()
    codes = sparse_encode(X[:, :9], dictionary[:, :9], algorithm="omp")
    assert ((codes != 0).sum(axis=1) == 1).all()


def test_refuses_impossible_numbers_of_non_zeros():
    X, dictionary = np.ones((3, 4)), np.eye(4)
    with pytest.raises(ValueError, match="n_nonzero_coefs=5 exceeds the 4 atoms"):
        sparse_encode(X, dictionary, algorithm="omp", n_nonzero_coefs=5)
    with pytest.raises(ValueError, match="n_nonzero_coefs must be >= 1"):
        sparse_encode(X, dictionary, algorithm="omp", n_nonzero_coefs=0)
    with pytest.raises(TypeError, match="n_nonzero_coefs must be an integer"):
        sparse_encode(X, dictionary, algorithm="omp", n_nonzero_coefs=1.5)


def test_tests_know_every_solver():
    # "exact" takes too long for so many non-zeros, and has tests of its own.
    assert {*NAMES, "exact"} == {name for name in SOLVERS if SOLVERS[name].is_k_sparse}


@pytest.mark.parametrize(("dtype", "sine"), [(np.float32, 0.03), (np.float64, 1e-6)])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(
    "solver", [s for s in SOLVER_CHOICES if s[0] in ("omp", "ormp")], ids="-".join
)
def test_an_atom_close_to_the_support_joins_if_the_dtype_tells_it_apart(
    solver, dtype, sine, positive
):
    cosine = np.sqrt(1 - sine**2)
    dictionary = np.array([[1, 0, 0], [cosine, sine, 0], [0, 0, 1]], dtype)
    X = np.array([[2 + cosine, sine, 0]], dtype)
    codes = sparse_encode(
        X, dictionary, algorithm=solver[0], engine=solver[1], n_nonzero_coefs=2, positive=positive
    )
    np.testing.assert_allclose(codes, [[2, 1, 0]], rtol=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_refined_codes_are_least_squares_to_rounding(dtype):
    rng = np.random.default_rng(0)
    dictionary, X = rng.standard_normal((5, 20)).astype(dtype), rng.standard_normal((4, 20))
    X = X.astype(dtype)
    codes = sparse_encode(X, dictionary, algorithm="topk_refined", n_nonzero_coefs=5)
    expected = np.linalg.lstsq(dictionary.T.astype(float), X.T.astype(float), rcond=None)[0].T
    np.testing.assert_allclose(codes, expected, rtol=0, atol=50 * np.finfo(dtype).eps)


@each_engine
@pytest.mark.parametrize("algorithm", ["ormp", "exchange"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("apart", [3e-3, 1e-4, 1e-5, 1e-7])
def test_codes_of_atoms_that_hardly_differ_are_least_squares_on_their_support(
    algorithm, positive, apart, engine
):
    """Products of such atoms keep few digits of the difference that codes of 1 / apart weigh."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        D = rng.normal(size=(6, 10))
        other = D + apart * rng.normal(size=D.shape)
        D = np.vstack([D, -other if positive else other])
        D /= np.linalg.norm(D, axis=1, keepdims=True)
        sizes = np.abs(rng.normal(size=(6, 1))) / apart
        X = sizes * (D[:6] + (D[6:] if positive else -D[6:])) + 0.05 * rng.normal(size=(6, 10))
        options = {"algorithm": algorithm, "n_nonzero_coefs": 3, "engine": engine}
        for x, z in zip(X, sparse_encode(X, D, positive=positive, **options), strict=True):
            atoms = D[z != 0].T
            best = x - atoms @ np.linalg.lstsq(atoms, x, rcond=None)[0]
            if not positive or (np.linalg.lstsq(atoms, x, rcond=None)[0] > 0).all():
                assert np.sum((x - z @ D) ** 2) <= np.sum(best**2) + 1e-8 * np.sum(x**2)
