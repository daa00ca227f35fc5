"""Products in bfloat16: no error beyond the bound, for data of any size and shape."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort._bfloat16 import ROUNDING, SLACK, lengths_of, round_rows

KINDS = ["normal", "halfway", "tiny and large", "some zero"]


def matrix(kind, n_rows, n_features, generator):
    A = torch.randn(n_rows, n_features, generator=generator)
    if kind == "halfway":  # between two numbers of bfloat16, where rounding errs the most
        return torch.full_like(A, 1 + 2**-8)
    if kind == "tiny and large":
        return A * 10 ** torch.empty_like(A).uniform_(-20, 3, generator=generator)
    return A * (torch.rand(A.shape, generator=generator) < 0.1) if kind == "some zero" else A


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    st.tuples(st.integers(-36, 15), st.integers(-36, 15)),
    st.sampled_from([1, 7, 300]),
)
def test_bound_holds(seed, kinds, sizes, n_features):
    generator = torch.Generator().manual_seed(seed)
    X, W = (
        matrix(kind, n, n_features, generator) * 10.0**size
        for kind, size, n in zip(kinds, sizes, (5, 30), strict=True)
    )
    x, slopes = round_rows(X)
    product = (x @ W.bfloat16().T).double()
    exact = X.double() @ W.double().T
    bound = torch.outer(slopes.double(), lengths_of(W).double()) + ROUNDING * product.abs()
    assert ((product - exact).abs() <= bound).all()


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e15])
def test_lengths_are_no_less_than_norms_and_hardly_more(size):
    A = size * torch.randn(20, 500, generator=torch.Generator().manual_seed(0))
    norms = torch.linalg.vector_norm(A.double(), dim=1)
    lengths = lengths_of(A).double()
    assert (lengths >= norms).all()
    assert (lengths <= SLACK * norms + 1e-15).all()


def test_bound_is_a_small_share_of_the_lengths():
    X = torch.randn(20, 500, generator=torch.Generator().manual_seed(0))
    _, slopes = round_rows(X)
    assert (slopes < 1.5 * ROUNDING * lengths_of(X)).all()
