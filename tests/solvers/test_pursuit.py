"""Pursuits to a residual tolerance."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from ksparse import OMPWithoutGram, ORMPWithoutGram, problems
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import orthogonal_mp

from skamort.solvers import (
    MP,
    OMP,
    ORMP,
    GradientPursuit,
    _gradient_pursuit,
    _mp,
    _omp_gram,
    _omp_torch,
    sparse_encode,
)
from skamort.solvers._pursuit import squared_norm

EXAMPLES = settings(max_examples=40, deadline=None)
PURSUITS = [(name, engine) for name in ("omp", "ormp") for engine in ENGINES]
PURSUITS += [("mp", "auto"), ("gradient_pursuit", "auto")]
shares = st.floats(0.001, 0.99) | st.just(1.01)  # of the energy, at which rounding decides


def pursue(X, dictionary, solver, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return sparse_encode(
            X, dictionary, algorithm=solver[0], engine=solver[1], return_info=True, **options
        )


@EXAMPLES
@given(problems(), st.sampled_from(PURSUITS), shares)
def test_a_pursuit_ends_with_the_first_atom_that_suffices(problem, solver, share):
    X, dictionary, _, positive = problem
    tol = share * (X**2).sum(axis=1).max()
    codes, info = pursue(X, dictionary, solver, residual_tol=tol, positive=positive)
    residual = ((X - codes @ dictionary) ** 2).sum(axis=1)
    np.testing.assert_array_equal(info.converged, info.residual <= tol)
    np.testing.assert_allclose(info.residual, residual, atol=1e-9)
    assert not info.n_iter[(X**2).sum(axis=1) <= tol].any()
    if positive:
        return  # atoms may leave again, so steps are no non-zeros
    for i in np.flatnonzero(info.n_iter > 1):
        steps = int(info.n_iter[i])
        longer, shorter = (
            pursue(X[i : i + 1], dictionary, solver, n_nonzero_coefs=k) for k in (steps, steps - 1)
        )
        np.testing.assert_allclose(codes[i], longer[0][0], atol=1e-7)
        assert shorter[1].residual[0] > tol


@EXAMPLES
@given(problems(), st.sampled_from(ENGINES), st.floats(0.01, 0.99))
def test_agrees_with_scikit_learns_tol(problem, engine, share):
    X, dictionary, _, _ = problem
    tol = share * (X**2).sum(axis=1).mean()
    codes, info = pursue(X, dictionary, ("omp", engine), residual_tol=tol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = orthogonal_mp(dictionary.T, X.T, tol=tol).reshape(len(dictionary), -1).T
    # Theirs takes one atom where zero would do, too.
    rows = info.converged & (info.n_iter > 0)
    np.testing.assert_allclose(codes[rows], theirs[rows], atol=1e-7)


@EXAMPLES
@given(problems(), st.sampled_from([OMPWithoutGram, ORMPWithoutGram]), shares)
def test_torch_ends_alike_with_and_without_gram(problem, solver, share):
    X, dictionary, _, positive = problem
    tol = share * (X**2).sum(axis=1).mean()
    X, dictionary = torch.from_numpy(X), torch.from_numpy(dictionary)
    solver = solver(residual_tol=tol, engine="torch")
    by_gram = solver.solve(X, dictionary, positive=positive, gram=dictionary @ dictionary.T)
    by_dictionary = solver.solve(X, dictionary, positive=positive)
    # Not the codes: where one dimension is left all atoms explain the rest, and rounding chooses.
    torch.testing.assert_close(by_gram.residual, by_dictionary.residual, atol=1e-5, rtol=0)
    assert torch.equal(by_gram.n_iter, by_dictionary.n_iter)
    assert torch.equal(by_gram.converged, by_dictionary.converged)


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((90, 40))
    return rng.standard_normal((30, 40)), dictionary / np.linalg.norm(dictionary, axis=1)[:, None]


@pytest.mark.parametrize("solver", PURSUITS[:-2], ids="-".join)
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("unit", [1, 1e-20])
def test_float32_meets_the_tolerance_it_claims_in_any_unit(wide, solver, positive, unit):
    X, dictionary = (a.astype(np.float32) for a in wide)
    X *= np.float32(unit)
    energy = (X.astype(float) ** 2).sum(axis=1).mean()
    for share in (0.2, 1e-4, 1e-6):
        options = {"residual_tol": share * energy, "positive": positive}
        codes, info = pursue(X, dictionary, solver, **options)
        left = X.astype(float) - codes.astype(float) @ dictionary.astype(float)
        assert ((left**2).sum(axis=1) <= share * energy)[info.converged].all()
        assert info.converged.mean() > (0.9 if share == 1e-6 else 0.999)


def test_both_limits_hold_and_a_limit_of_ones_own_is_not_warned_about(wide):
    X, dictionary = wide
    codes, info = sparse_encode(
        X, dictionary, residual_tol=21.0, n_nonzero_coefs=4, return_info=True
    )
    counts = (codes != 0).sum(axis=1)
    assert info.algorithm == "omp"
    assert counts.max() == 4
    assert counts.min() < 4
    assert (info.converged == (info.residual <= 21)).all()
    assert info.converged[counts < 4].all()


def test_a_tolerance_out_of_reach_warns(wide):
    X, dictionary = wide
    with pytest.warns(ConvergenceWarning, match=r"OMP: 30 of 30 samples did not reach residual_to"):
        sparse_encode(X, dictionary[:10], residual_tol=1e-3)


def test_solvers_without_tolerance_refuse_it(wide):
    for algorithm in ("iht", "cd"):
        with pytest.raises(ValueError, match=r"has no residual_tol; choose one of \['gradient_pur"):
            sparse_encode(*wide, residual_tol=1.0, algorithm=algorithm)


@pytest.mark.parametrize("positive", [False, True])
def test_kernels_serve_few_samples_of_many_atoms(positive):
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    X, dictionary = rng.standard_normal((100, 40)), rng.standard_normal((2500, 40))
    options = {"algorithm": "ormp", "positive": positive, "return_info": True}
    _, info = sparse_encode(X, dictionary, n_nonzero_coefs=26, **options)
    assert info.engine == "numba"
    _, info = sparse_encode(X[:9], dictionary, n_nonzero_coefs=26, **options)
    assert info.engine == "torch"  # the Gram matrix would cost more


TORCH = [kind(4, engine="torch") for kind in (OMP, ORMP, OMPWithoutGram, ORMPWithoutGram)]
TORCH += [MP(4), GradientPursuit(4)]


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("solver", TORCH, ids=lambda solver: type(solver).__name__)
def test_only_a_tolerance_costs_a_residual_a_step(solver, positive, monkeypatch):
    measured = []
    for module in (_gradient_pursuit, _mp, _omp_gram, _omp_torch):
        record = lambda residual: (measured.append(residual), squared_norm(residual))[1]  # noqa: E731
        monkeypatch.setattr(module, "squared_norm", record)
    draw = torch.Generator().manual_seed(0)
    X, dictionary = (torch.randn(n, 9, generator=draw, dtype=torch.float64) for n in (30, 14))
    plain = solver.solve(X, dictionary, positive=positive)
    assert len(measured) == 1
    exact = replace(solver, residual_tol=0.0).solve(X, dictionary, positive=positive)
    assert len(measured) > 4
    assert torch.equal(exact.codes, plain.codes)
    assert torch.equal(exact.n_iter, plain.n_iter)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("algorithm", ["omp", "ormp", "exchange"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("rows", [1, 150])  # without and with the Gram matrix
@pytest.mark.parametrize(
    ("dtype", "apart", "faint"), [("f8", 2e-9, 1e-10), ("f4", 5e-4, 3e-5)], ids=["f8", "f4"]
)
def test_an_atom_that_depends_on_the_support_hides_no_other(
    engine, algorithm, positive, rows, dtype, apart, faint
):
    """The near copy of an atom correlates best with what this leaves, and cannot join."""
    atoms = np.zeros((5, 6))
    atoms[0, :2], atoms[1, :2] = [0.6, 0.8], [0.6 - 0.8 * apart, 0.8 + 0.6 * apart]
    atoms[2, 2] = atoms[3, 3] = atoms[4, 4] = 1
    # Beside the first atom, and across to it by what the second has more of.
    X = 2 * atoms[:1] + 0.5 * (atoms[1] - atoms[0]) / apart + faint * np.array([0, 0, 1, 2, 0, 0])
    X, atoms = np.repeat(X, rows, axis=0).astype(dtype), atoms.astype(dtype)
    codes = sparse_encode(
        X, atoms, n_nonzero_coefs=3, algorithm=algorithm, engine=engine, positive=positive
    )
    assert np.count_nonzero(codes[:, :2], axis=1).tolist() == [1] * rows
    np.testing.assert_allclose(codes[:, 2:], [[faint, 2 * faint, 0]] * rows, rtol=1e-5)
