"""The update of the atoms from rows: each is the best unit vector, held by its inertia."""

import numpy as np
import pytest
import torch
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.solvers import update_dictionary, update_dictionary_rows


def problem(seed, n_components, n_features, density=0.3, n_samples=30):
    rng = np.random.default_rng(seed)
    dictionary = rng.standard_normal((n_components, n_features))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    codes = rng.standard_normal((n_samples, n_components))
    codes *= rng.random(codes.shape) < density
    return dictionary, rng.standard_normal((n_samples, n_features)), codes, rng


def one_by_one(dictionary, X, codes, inertia, weights, positive):
    """The definition: what is left without atom j, and the atom as it was, times its inertia."""
    for j, z in enumerate(codes.T):
        if z.any():
            left = X - codes @ dictionary + np.outer(z, dictionary[j])
            target = (weights * z) @ left + inertia[j] * dictionary[j]
            target = target.clip(0) if positive else target
            dictionary[j] = target / np.linalg.norm(target) if target.any() else dictionary[j]
    return dictionary


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(1, 8),
    st.floats(0, 1),
    st.sampled_from(ENGINES),
    st.booleans(),
)
def test_follows_the_definition(seed, n_components, n_features, density, engine, positive):
    dictionary, X, codes, rng = problem(seed, n_components, n_features, density)
    dictionary = np.abs(dictionary) if positive else dictionary
    inertia, weights = 3 * rng.random(n_components), rng.random(len(X))
    expected = one_by_one(dictionary.copy(), X, codes, inertia, weights, positive)
    unused = update_dictionary_rows(
        dictionary, X, codes,
        inertia=inertia, sample_weight=weights, positive=positive, engine=engine,
    )  # fmt: skip
    np.testing.assert_allclose(dictionary, expected, atol=1e-9)
    assert unused.tolist() == [j for j in range(n_components) if not codes[:, j].any()]


@pytest.mark.parametrize("engine", ENGINES)
def test_without_inertia_it_is_the_update_by_sums(engine):
    dictionary, X, codes, _ = problem(0, 150, 20)
    by_sums = torch.from_numpy(dictionary.copy())
    update_dictionary(by_sums, codes.T @ codes, codes.T @ X)
    rows = [torch.from_numpy(a) for a in (dictionary, X, codes)]
    update_dictionary_rows(*rows, engine=engine)
    torch.testing.assert_close(rows[0], by_sums, atol=1e-9, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 55), (np.float64, 500)])
def test_the_size_of_rows_and_codes_changes_no_bit(dtype, most, engine):
    problem_of_one = [a.astype(dtype) for a in problem(2, 20, 6)[:3]]
    found = []
    for factor in (dtype(2) ** np.array([-most, 0, most])).astype(dtype):
        atoms, X, codes = (a.copy() for a in problem_of_one)
        inertia = np.full(20, factor * factor)
        update_dictionary_rows(atoms, factor * X, factor * codes, inertia=inertia, engine=engine)
        found.append(atoms)
    assert not np.array_equal(found[1], problem_of_one[0])
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[2], found[1])


def test_what_does_not_fit_is_refused():
    dictionary, X, codes, _ = problem(0, 5, 3)
    with pytest.raises(TypeError, match="update_dictionary_rows: dictionary is updated in place"):
        update_dictionary_rows(dictionary.tolist(), X, codes)
    with pytest.raises(ValueError, match=r"codes must have shape \(30, 5\), .* got \(30, 4\)"):
        update_dictionary_rows(dictionary, X, codes[:, :4])
    with pytest.raises(ValueError, match="inertia must be finite and >= 0"):
        update_dictionary_rows(dictionary, X, codes, inertia=[1, 1, 1, 1, -1.0])
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(30,\)"):
        update_dictionary_rows(dictionary, X, codes, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="NaN"):
        update_dictionary_rows(dictionary, X * np.nan, codes)
