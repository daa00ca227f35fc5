"""GroupTopK, SignedTopK and ProLU."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import gradients, make_problem

from skamort.modules import GroupTopK, ProLU, SignedTopK
from skamort.training import SparseCodingLoss


def draw(n, width, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed)).double()


@settings(deadline=None, max_examples=20)
@given(k=st.integers(1, 5), size=st.integers(1, 6), n=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_largest_of_each_block_is_kept(k, size, n, seed):
    A = draw(n, k * size, seed)
    codes = GroupTopK(k)(A)
    blocks = codes.unflatten(1, (k, size))
    assert torch.equal(blocks.amax(2), A.unflatten(1, (k, size)).amax(2).relu())
    assert (blocks > 0).sum(2).max() <= 1
    chosen = GroupTopK(k).select(A)
    assert torch.equal(chosen.with_values(chosen.values.relu()).to_dense(), codes)


@settings(deadline=None, max_examples=20)
@given(k=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_largest_magnitudes_are_kept_with_their_signs(k, seed):
    A = draw(4, 9, seed)
    codes = SignedTopK(k)(A)
    kept = codes != 0
    assert (kept.sum(1) == k).all()
    assert torch.equal(codes[kept], A[kept])
    left = A.abs().masked_fill(kept, 0).amax(1)
    assert (A.abs().masked_fill(~kept, torch.inf).amin(1) >= left).all()


def test_signed_codes_learn_and_are_counted_as_others():
    module, X = make_problem(activation=SignedTopK(3))
    other, _ = make_problem(activation=SignedTopK(3))
    outcome = SparseCodingLoss().backward(module, X)
    A = other.encoder(other.center(X))
    codes = A * (SignedTopK(3)(A.detach()) != 0)
    ((codes @ other.decoder.dictionary - other.center(X)).square().sum() / 2 / len(X)).backward()
    torch.testing.assert_close(gradients(module), gradients(other))
    assert torch.equal(outcome.codes.firing_counts(), (codes != 0).sum(0))


@pytest.mark.parametrize("straight_through", [False, True])
def test_prolu_learns_by_the_gradients_of_its_author(straight_through):
    """Those of the listing: bias and input get the gated gradient, times u through the step."""
    activation, u = ProLU(5, 2.0, straight_through).double(), 2 * draw(8, 5)
    with torch.no_grad():
        activation.bias.copy_(torch.tensor([-1.5, -0.5, 0.0, 0.5, -9.0]))
    codes, g = activation(u), draw(8, 5, 1)
    gate = (u + activation.bias > 0) & (u > 0)
    assert torch.equal(codes, torch.where(gate, u, 0))
    by_bias = g * gate * (u / 2 if straight_through else 1)
    by_input = g * gate * (1 + u / 2 if straight_through else 1)
    torch.testing.assert_close(activation.backward(u, codes, g), by_input)
    torch.testing.assert_close(activation.bias.grad, by_bias.sum(0))


def test_prolu_codes_are_proportional_while_active():
    activation = ProLU(5, 1.0).double()
    with torch.no_grad():
        activation.bias.sub_(0.5)
    u = draw(8, 5)
    codes = activation(u)
    assert torch.equal(activation(2 * u)[codes > 0], 2 * codes[codes > 0])
    assert (codes[codes > 0] > 0.5).all()
    activation.rescale(3.0)
    torch.testing.assert_close(activation(3 * u), 3 * codes)
    activation.restart(torch.tensor([1]))
    torch.testing.assert_close(activation.bias, torch.full((5,), -1.5).double())
