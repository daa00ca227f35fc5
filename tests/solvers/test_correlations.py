"""Correlations in bfloat16: their bound, and codes as accurate as those without it."""

import pytest
import torch
from engines import needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.solvers import CoordinateDescent

pytestmark = needs_numba


def problem(seed, n_samples=40, n_features=600, n_components=900):
    generator = torch.Generator().manual_seed(seed)
    dictionary = torch.randn(n_components, n_features, generator=generator)
    dictionary *= torch.rand(n_components, 1, generator=generator) / n_features**0.5
    return torch.randn(n_samples, n_features, generator=generator) / 5, dictionary


@pytest.fixture(autouse=True)
def rough(monkeypatch):
    """bfloat16 also where the CPU has no instructions for it."""
    monkeypatch.setattr("skamort.solvers._correlations.multiplies_bfloat16", lambda: True)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(-6, 6))
def test_bound_holds(seed, size):
    from skamort.solvers._correlations import Correlations

    X, dictionary = problem(seed)
    X = 10**size * X
    correlations, error = Correlations(dictionary, len(X))(X, torch.full((len(X),), torch.inf))
    exact = X.double() @ dictionary.double().T
    assert (error > 0).all()
    assert ((correlations - exact).abs() <= error[:, None]).all()


def test_bound_holds_where_rounding_errs_the_most():
    from skamort.solvers._correlations import Correlations

    for n_features in range(512, 550):
        X, dictionary = torch.ones(40, n_features), torch.full((2, n_features), 1 + 2**-8)
        dictionary[1] = 0
        for sign in (1, -1):
            correlations, error = Correlations(sign * dictionary, 40)(
                X, torch.full((40,), torch.inf)
            )
            exact = sign * dictionary.sum(dim=1)
            assert ((correlations - exact).abs() <= error[:, None]).all()
            assert (error <= 0.02 * n_features).all()


def test_not_used_where_its_error_would_hide_too_much():
    from skamort.solvers._correlations import Correlations

    X, dictionary = problem(0)
    correlations, error = Correlations(dictionary, len(X))(X, torch.full((len(X),), 1e-6))
    assert not error.any()
    torch.testing.assert_close(correlations, X @ dictionary.T)


def test_the_error_is_tolerable_for_every_row_or_there_is_none():
    from skamort.solvers._correlations import Correlations

    X, dictionary = problem(0)
    alpha = torch.full((len(X),), torch.inf)
    alpha[7] = 1e-6
    assert not Correlations(dictionary, len(X))(X, alpha)[1].any()


@pytest.mark.parametrize(
    ("n_samples", "n_features", "dtype"),
    [(1, 600, torch.float32), (40, 300, torch.float32), (40, 600, torch.float64)],
)
def test_only_many_rows_of_many_features_in_float32_are_rounded(n_samples, n_features, dtype):
    from skamort.solvers._correlations import Correlations

    X, dictionary = (a.to(dtype) for a in problem(0, n_samples, n_features))
    free = torch.full((n_samples,), torch.inf)
    correlations, error = Correlations(dictionary, n_samples)(X, free)
    assert not error.any()
    assert torch.equal(correlations, X @ dictionary.T)


class WithoutGram(CoordinateDescent):
    def _gram_pays(self, n_samples, dictionary):
        return False


@pytest.mark.parametrize("solver", [CoordinateDescent, WithoutGram])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("alpha", [0.1, 0.5, 3.0])
def test_codes_are_as_accurate(solver, positive, alpha, monkeypatch):
    X, dictionary = problem(1)
    options = {"alpha": alpha, "positive": positive}
    result = solver(tol=1e-6, engine="numba").solve(X, dictionary, **options)
    assert result.converged.all()
    again = solver(tol=2e-6, engine="numba").solve(X, dictionary, init=result.codes, **options)
    assert not again.n_iter.any()
    monkeypatch.setattr("skamort.solvers._correlations.multiplies_bfloat16", lambda: False)
    expected = solver(tol=1e-6, engine="numba").solve(X, dictionary, **options)
    torch.testing.assert_close(
        result.codes @ dictionary, expected.codes @ dictionary, atol=2e-2, rtol=0
    )


@pytest.mark.parametrize("solver", [CoordinateDescent, WithoutGram])
@pytest.mark.parametrize("positive", [False, True])
def test_codes_begin_where_they_do_without_rounding(solver, positive):
    X, dictionary = problem(2)
    exact = X.double() @ dictionary.double().T
    largest = (exact if positive else exact.abs()).amax(dim=1)
    solver = solver(tol=1e-7, engine="numba", is_guarded=False)
    for share, begin in ((1.001, False), (0.999, True)):
        codes = solver.solve(X, dictionary, alpha=share * largest, positive=positive).codes
        assert (codes.any(dim=1) == begin).all()
