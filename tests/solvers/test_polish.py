"""The last digits of lasso codes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.solvers import FISTA, CoordinateDescent
from skamort.solvers._polish import polish


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 16), st.integers(0, 40), st.booleans()
)
def test_only_improves_codes(seed, n_features, n_components, max_iter, positive):
    generator = torch.Generator().manual_seed(seed)
    dictionary = torch.randn(n_components, n_features, generator=generator)
    X = torch.randn(4, n_features, generator=generator)
    alpha = 0.1 * (X @ dictionary.T).abs().amax(dim=1)
    rough = FISTA(max_iter=max_iter, tol=0.0).solve(X, dictionary, alpha=alpha, positive=positive)
    codes, gap = polish(X, dictionary, alpha, positive, rough.codes, rough.gap)
    assert (gap <= rough.gap).all()
    same = (codes.sign() == rough.codes.sign()).all(dim=1)
    assert (same | (gap < rough.gap)).all()
    assert (codes.sign() * rough.codes.sign() >= 0).all()
    assert torch.equal(codes[gap == rough.gap], rough.codes[gap == rough.gap])


def test_solves_for_known_signs():
    dictionary = torch.eye(3)
    X, codes = torch.tensor([[3.0, -2.0, 0.1]]), torch.tensor([[1.7, -1.2, 0.0]])
    alpha, gap = torch.ones(1), torch.ones(1, dtype=torch.float64)
    codes, gap = polish(X, dictionary, alpha, False, codes, gap)
    torch.testing.assert_close(codes, torch.tensor([[2.0, -1.0, 0.0]]))
    assert gap < 1e-12


def test_leaves_codes_whose_signs_would_change():
    codes, gap = torch.tensor([[1.0, 1.0]]), torch.tensor([9.0], dtype=torch.float64)
    polished = polish(torch.tensor([[3.0, 0.1]]), torch.eye(2), torch.ones(1), True, codes, gap)
    assert torch.equal(polished[0], codes)


def test_survives_dependent_atoms():
    dictionary = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    X, codes = torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    gap = torch.zeros(1, dtype=torch.float64)
    polished, gap = polish(X, dictionary, torch.ones(1), True, codes, gap)
    assert torch.equal(polished, codes)
    assert not gap.any()


def test_solves_for_the_non_zeros_of_every_sample_where_it_is_observed():
    draw = torch.Generator().manual_seed(0)
    X, dictionary = (torch.randn(n, 9, generator=draw, dtype=torch.float64) for n in (6, 12))
    mask = (torch.rand(6, 9, generator=draw) < 0.7).double()
    mask[5] = 1
    alpha, X = torch.linspace(0.2, 2.0, 6).double(), X * mask
    best = CoordinateDescent(tol=1e-13).solve(
        X, dictionary, alpha=alpha, positive=False, mask=mask.bool()
    )
    assert len(best.codes.count_nonzero(dim=1).unique()) > 2
    rough = best.codes * (1 + 1e-3)
    gap = torch.ones(6, dtype=torch.float64)
    codes, gap = polish(X, dictionary, alpha, False, rough, gap, mask)
    torch.testing.assert_close(codes, best.codes, rtol=0, atol=1e-9)
    assert (gap < 1e-12).all()
