from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.modules import TopK, _activations
from skamort.modules._activations import largest


@settings(deadline=None)
@given(seed=st.integers(0, 2**16), n_components=st.integers(1, 12), data=st.data())
def test_topk_keeps_the_k_largest_and_clips_them(seed, n_components, data):
    k = data.draw(st.integers(1, n_components))
    preactivations = torch.randn(6, n_components, generator=torch.Generator().manual_seed(seed))
    codes = TopK(k)(preactivations)
    threshold = preactivations.sort(dim=1, descending=True).values[:, k - 1 : k]
    expected = torch.where(preactivations >= threshold, preactivations, 0).clamp(min=0)
    assert torch.equal(codes, expected)


def test_derivative_is_one_where_a_code_is_positive():
    preactivations = torch.tensor([[3.0, -1.0, 2.0, 1.0], [-1.0, -2.0, 5.0, -3.0]])
    preactivations.requires_grad_()
    codes = TopK(2)(preactivations)
    codes.sum().backward()
    assert torch.equal(preactivations.grad, (codes > 0).float())


def test_repr_shows_k():
    assert "k=3" in repr(TopK(3))


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**16),
    k=st.integers(1, 6),
    n_components=st.integers(6, 600),
    dtype=st.sampled_from([torch.float64, torch.bfloat16]),
)
def test_largest_through_blocks_are_the_largest(seed, k, n_components, dtype):
    """Narrow rows go to torch.topk, wide ones through blocks; bfloat16 makes ties."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(5, n_components, generator=generator).to(dtype)
    values, columns = largest(A, k)
    assert torch.equal(values, A.gather(1, columns))
    assert torch.equal(values.sort(1).values, A.topk(k).values.sort(1).values)
    assert all(len(row.unique()) == k for row in columns)


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**16),
    k=st.integers(1, 6),
    n_components=st.integers(96, 600),
    offset=st.sampled_from([-3.0, -1.0, 0.0, 2.0]),
    n_levels=st.sampled_from([1, 2, 50, 10**6]),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    n_threads=st.sampled_from([1, 3]),
)
def test_compiled_largest_are_the_largest(
    seed, k, n_components, offset, n_levels, dtype, n_threads
):
    """Negative numbers, zeros and many equal ones among them."""
    pytest.importorskip("numba")
    A = torch.randn(5, n_components, generator=torch.Generator().manual_seed(seed)) + offset
    A = ((A * n_levels).round() / n_levels).to(dtype)
    with (
        patch.object(_activations, "_FEWEST_ELEMENTS", 0),
        patch.object(_activations.torch, "get_num_threads", lambda: n_threads),
        patch.object(torch.Tensor, "topk", side_effect=AssertionError("not compiled")),
    ):
        values, columns = largest(A, k)
    assert torch.equal(values, A.gather(1, columns))
    assert torch.equal(values.sort(1).values, A.topk(k).values.sort(1).values)
    assert all(len(row.unique()) == k for row in columns)


def test_compiled_largest_of_a_row_with_nan_are_columns():
    """What a diverging net yields must not crash, so that its loss can tell."""
    pytest.importorskip("numba")
    A = torch.full((2, 64), torch.nan)
    A[1, ::2] = -1
    with patch.object(_activations, "_FEWEST_ELEMENTS", 0):
        values, columns = largest(A, 3)
    assert ((columns >= 0) & (columns < 64)).all()
    assert values.isnan().all()
