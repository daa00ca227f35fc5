"""Codes with few non-zeros are no worse than those they start from."""

import numpy as np
import pytest
import torch
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from ksparse import any_solver, each_solver, encode

from skamort.solvers import sparse_encode
from skamort.solvers._base import Problem
from skamort.solvers._keep_start import keep_start


def coherent_problem(rng, n_samples, n_components, n_features, k, coherence):
    """Noisy samples of k atoms that share a direction, these atoms, and the codes."""
    dictionary = rng.standard_normal((n_components, n_features))
    dictionary += coherence * rng.standard_normal(n_features)
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    kept = rng.random((n_samples, n_components)).argsort(axis=1) < k
    codes = rng.exponential(size=kept.shape) * kept
    X = codes @ dictionary + 0.05 * rng.standard_normal((n_samples, n_features))
    return X, dictionary, codes


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), any_solver, st.booleans(), st.floats(0, 5), st.booleans())
def test_an_encoders_codes_are_only_improved(seed, solver, positive, coherence, masked):
    rng = np.random.default_rng(seed)
    X, dictionary, encoded = coherent_problem(rng, 20, 24, 10, 4, coherence)
    encoded *= 1 if positive else rng.choice([-1, 1], encoded.shape)
    X = encoded @ dictionary + 0.05 * rng.standard_normal(X.shape)
    mask = rng.random(X.shape) < 0.9 if masked else np.ones(X.shape, bool)
    codes, info = encode(X, dictionary, 4, positive, solver, init=encoded, mask=mask)
    before = np.square((X - encoded @ dictionary) * mask).sum(axis=1)
    assert (info.residual <= before + 1e-9).all()
    assert ((codes != 0).sum(axis=1) <= 4).all()
    after = np.square((X - codes @ dictionary) * mask).sum(axis=1)
    np.testing.assert_allclose(info.residual, after, atol=1e-9)
    if solver[0] == "topk_refined":
        assert (encoded[codes != 0] != 0).all()


@each_solver
def test_of_a_start_with_more_atoms_the_largest_are_not_beaten_by_less(solver):
    rng = np.random.default_rng(1)
    X, dictionary, encoded = coherent_problem(rng, 40, 24, 10, 6, 4.0)
    largest = np.where(np.argsort(np.argsort(-encoded, axis=1), axis=1) < 3, encoded, 0)
    _, info = encode(X, dictionary, 3, True, solver, init=encoded)
    assert (info.residual <= np.square(X - largest @ dictionary).sum(axis=1) + 1e-9).all()


@each_solver
@pytest.mark.parametrize("size", [1.0, -1e20])
def test_what_a_search_misses_is_found_in_a_start_of_more_atoms(solver, size):
    """Where it begins with an atom between those of the sample, in whatever unit and sign."""
    dictionary = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.7, 0.7, np.sqrt(0.02)]])
    start = size * np.array([[1.0, 1.0, 0.05, 0.0]])
    codes, info = encode(
        size * dictionary[:1] + size * dictionary[1:2], dictionary, 2, False, solver, init=start
    )
    np.testing.assert_allclose(codes / size, [[1, 1, 0, 0]], atol=1e-9)
    assert info.residual <= (1e-9 * size) ** 2


@pytest.mark.parametrize("solver", [("omp", "auto"), ("ormp", "torch")])
def test_a_residual_that_is_small_enough_asks_for_no_start(solver):
    rng = np.random.default_rng(2)
    X, dictionary, encoded = coherent_problem(rng, 40, 24, 10, 6, 4.0)
    options = {"residual_tol": 0.3}
    for k in (None, 6):
        alone, found = (
            encode(X, dictionary, k, True, solver, init=init, **options)[0]
            for init in (None, encoded)
        )
        enough = np.square(X - alone @ dictionary).sum(axis=1) <= 0.3
        assert enough.any()
        np.testing.assert_array_equal(found[enough], alone[enough])


def test_least_squares_on_the_atoms_of_the_start_take_the_place_of_worse_codes():
    atoms = np.array([[1.0, 0, 0], [0, 1, 0], [2 / 3, 2 / 3, 1 / 3]])
    X = np.array([[1.0, 1.0, 0.0]])  # correlates most with the third
    codes = sparse_encode(X, atoms, algorithm="omp", n_nonzero_coefs=2)
    assert codes[0, 2] != 0
    for second in (0.9, 1.0):
        init = [[1.0, second, 0.0]]
        codes = sparse_encode(X, atoms, algorithm="omp", n_nonzero_coefs=2, init=init)
        np.testing.assert_allclose(codes, [[1, 1, 0]], atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_largest_of_a_start_are_so_by_what_is_observed_of_their_atoms(engine):
    atoms, mask = torch.tensor([[0.1, 1.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    X, start, codes = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 1.0]]), torch.zeros(1, 2)
    problem = Problem(atoms, torch.ones(()), None, atoms, None, False, mask)
    residual = torch.tensor([4.0], dtype=torch.float64)
    keep_start(X, problem, 1, start, codes, residual, n_jobs=int(engine == "numba"))
    torch.testing.assert_close(codes, torch.tensor([[0.0, 2.0]]))
    assert residual < 1e-9
