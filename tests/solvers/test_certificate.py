"""The duality gap on codes of any origin."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from skamort.solvers import duality_gap
from skamort.solvers._certificate import certified_gap, certify, directions, gap_from_gram
from skamort.solvers._certificate import objective as objective_of


def objective(X, codes, dictionary, alpha):
    return 0.5 * ((X - codes @ dictionary) ** 2).sum(axis=1) + alpha * np.abs(codes).sum(axis=1)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 10), st.integers(1, 20), st.floats(0, 3), st.booleans()
)
def test_gap_bounds_the_excess_of_any_codes(seed, n_features, n_components, alpha, positive):
    rng = np.random.default_rng(seed)
    dictionary = rng.standard_normal((n_components, n_features))
    X = rng.standard_normal((3, n_features))
    codes, rival = rng.standard_normal((2, 3, n_components)) * rng.integers(
        0, 2, (2, 3, n_components)
    )
    if positive:
        codes, rival = np.abs(codes), np.abs(rival)
    gap = duality_gap(X, codes, dictionary, alpha, positive)
    assert (gap >= 0).all()
    lower = objective(X, codes, dictionary, alpha) - gap
    for other in (rival, 0 * rival):
        assert (lower <= objective(X, other, dictionary, alpha) + 1e-9).all()


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("n_components", [5, 30])
def test_gap_vanishes_at_the_optimum(positive, n_components):
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((n_components, 10))
    X = rng.standard_normal((20, 10))
    # Lasso divides the squared error by the number of features.
    lasso = Lasso(0.03, fit_intercept=False, tol=1e-14, max_iter=100_000, positive=positive)
    codes = lasso.fit(dictionary.T, X.T).coef_
    assert (duality_gap(X, codes, dictionary, 0.3, positive) < 1e-9).all()


def test_gap_is_float64_and_exact_for_float32_codes():
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((20, 10)).astype(np.float32)
    X, codes = rng.standard_normal((2, 4, 10)).astype(np.float32)
    codes = np.hstack([codes, codes])
    gap = duality_gap(X, codes, dictionary, 0.25)
    assert gap.dtype == np.float64
    np.testing.assert_allclose(
        gap, duality_gap(*(a.astype(float) for a in (X, codes, dictionary)), 0.25), rtol=1e-12
    )
    tensors = duality_gap(*(torch.from_numpy(a) for a in (X, codes, dictionary)), 0.25)
    np.testing.assert_allclose(tensors, gap)


def test_negative_codes_are_refused_where_codes_must_be_positive():
    with pytest.raises(ValueError, match="codes holds negative values"):
        duality_gap(np.eye(2), -np.eye(2), np.eye(2), 0.1, positive=True)


def test_codes_below_zero_by_rounding_count_as_zero():
    # scikit-learn's solvers with positive=True leave such codes.
    X, codes = np.array([[3.0, 0.5]]), np.array([[2.0, -1e-18]])
    for size in (1.0, 2.0**30, 2.0**-30):
        gap = duality_gap(size * X, size * codes, np.eye(2), size, positive=True)
        np.testing.assert_array_equal(gap, 0.0)
        with pytest.raises(ValueError, match="negative values"):
            duality_gap(size * X, size * np.array([[2, -1e-9]]), np.eye(2), size, positive=True)


def test_rounding_makes_no_gap_negative():
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 9, (2000, 1))
    for alpha in (0.1, 0.3):
        best = X - alpha
        for codes in (best, np.nextafter(best, 9), np.nextafter(best, 0)):
            gap = duality_gap(X, codes, np.eye(1), alpha)
            assert (gap >= 0).all()
            assert (gap < 1e-14).all()


@pytest.mark.parametrize("positive", [False, True])
def test_the_gram_matrix_gives_the_same_gap(positive):
    draw = torch.Generator().manual_seed(0)
    X, atoms = (torch.randn(n, 6, generator=draw, dtype=torch.float64) for n in (40, 9))
    codes = torch.randn(40, 9, generator=draw, dtype=torch.float64) * torch.rand(
        40, 1, generator=draw
    )
    codes = codes.clamp(min=0) if positive else codes
    codes[0] = 0
    cov, gram, alpha = X @ atoms.T, atoms @ atoms.T, torch.linspace(0.1, 9, 40).double()
    energy = X.square().sum(dim=1)
    gap = gap_from_gram(energy, cov, codes, cov - codes @ gram, alpha, positive)
    expected = certified_gap(X, codes, atoms, alpha, positive)
    torch.testing.assert_close(gap, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_what_no_atom_can_explain_is_no_matter(positive, alpha):
    rng = np.random.default_rng(0)
    space = np.linalg.qr(rng.standard_normal((9, 9)))[0]
    dictionary, codes = rng.standard_normal((3, 5)) @ space[:5], rng.random((20, 3))
    X, beyond = rng.standard_normal((20, 5)) @ space[:5], rng.standard_normal((20, 4)) @ space[5:]
    gap = duality_gap(X, codes, dictionary, alpha, positive)
    far = duality_gap(X + 1e3 * beyond, codes, dictionary, alpha, positive)
    np.testing.assert_allclose(far, gap, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("masked", [False, True])
def test_the_objective_comes_with_the_gap(masked):
    draw = torch.Generator().manual_seed(0)
    X, atoms = (torch.randn(n, 6, generator=draw, dtype=torch.float64) for n in (9, 7))
    codes, alpha = (
        torch.randn(9, 7, generator=draw, dtype=torch.float64),
        torch.rand(9, generator=draw),
    )
    mask = (torch.rand(9, 6, generator=draw) < 0.7).double() if masked else None
    X = X if mask is None else X * mask
    _, value = certify(X, codes, atoms, alpha, False, mask)
    error = X - (codes @ atoms if mask is None else codes @ atoms * mask)
    expected = [
        0.5 * e @ e + w * z.abs().sum() for e, w, z in zip(error, alpha, codes, strict=True)
    ]
    torch.testing.assert_close(value, torch.stack(expected).double())
    torch.testing.assert_close(objective_of(X, codes, atoms, alpha, mask), value)


@pytest.mark.parametrize(("n_atoms", "n_features"), [(40, 300), (300, 40), (1, 7)])
def test_directions_are_as_many_as_the_rank(n_atoms, n_features):
    draw = torch.Generator().manual_seed(0)
    for rank, size in ((1, 1.0), (min(n_atoms, 17), 1e9), (min(n_atoms, n_features), 1e-9)):
        factors = [torch.randn(n, rank, generator=draw).double() for n in (n_atoms, n_features)]
        atoms = size * factors[0] @ factors[1].T
        basis = directions(atoms)
        assert basis.shape == (n_features, rank)
        torch.testing.assert_close(atoms @ basis @ basis.T, atoms)
        torch.testing.assert_close(basis.T @ basis, torch.eye(rank).double())
