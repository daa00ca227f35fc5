"""Triton's kernels, interpreted where there is no GPU, give what torch's operators give."""

from unittest import TestCase
from unittest.mock import MagicMock, patch

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skamort import _triton
from skamort.modules import RaggedCodes, SparseCodes

# Those of before 3.9 cannot be interpreted with NumPy 2.5.
pytest.importorskip("triton", "3.6" if torch.cuda.is_available() else "3.9")
from skamort.modules import _codes_triton, _dense_triton, _topk_triton

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HALF = torch.bfloat16, torch.float16


def sample(n, k, n_components, n_features, dtype, n_hot=0, seed=0):
    """Codes, a third of them 0, the first of which are of the same latents in all rows; two
    matrices."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(n, n_components, generator=generator).argsort(dim=1)
    ranks = order.argsort(dim=1)
    ranks[:, :n_hot] -= n_components
    indices = ranks.argsort(dim=1)[:, :k].contiguous()
    shapes = (n, k), (n, n_features), (n_components, n_features)
    values, Y, matrix = (torch.randn(s, generator=generator, dtype=dtype) for s in shapes)
    codes = SparseCodes(values.clamp(min=-0.4).relu().to(DEVICE), indices.to(DEVICE), n_components)
    return codes, Y.to(DEVICE), matrix.to(DEVICE)


def close(found, expected, dtype):
    """They agree but for the rounding of sums."""
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=30 * torch.finfo(dtype).eps)


@settings(deadline=None, max_examples=4)
@given(
    n=st.integers(1, 12),
    k=st.integers(1, 4),
    spare=st.integers(0, 5),
    n_features=st.integers(1, 40),
    n_hot=st.integers(0, 3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    is_ragged=st.booleans(),
    seed=st.integers(0, 2**16),
)
@example(11, 2, 3, 37, 1, torch.float32, False, 0)
@example(10, 3, 3, 17, 2, torch.float32, True, 0)
@example(1, 1, 0, 1, 1, torch.float32, False, 0)
def test_products_are_those_of_the_matrix(
    n, k, spare, n_features, n_hot, dtype, is_ragged, seed
):  # fmt: skip
    """With latents that fire everywhere, or nowhere; chunks have four terms, not 128."""
    codes, Y, matrix = sample(n, k, k + spare, n_features, dtype, min(n_hot, k), seed)
    Z, A = codes.to_dense(), Y.double() @ matrix.double().T
    if is_ragged:  # another number in every row
        codes = RaggedCodes.of(Z, Z.reshape(-1).nonzero().flatten())
    rows, Z = codes.rows, Z.double()
    values, indices = codes.values.reshape(-1), codes.indices.reshape(-1)
    with patch.multiple(_codes_triton, _CHUNK=4, _MOST_COLUMNS=16, _TERMS=2):
        given = values, indices, codes.offsets, matrix
        close(_codes_triton.sum_rows(*given), Z @ matrix.double(), dtype)
        less = Z @ matrix.double() - Y.double()
        close(_codes_triton.sum_rows(*given, Y), less, dtype)
        close(_codes_triton.sum_rows(*given, Y, 0.25), less / 4, dtype)
        bias = matrix[:, 0].contiguous()
        given = Y, matrix, indices, codes.offsets
        products = _codes_triton.multiply_rows(*given, bias, values)
        expected = (A + bias.double()) * (Z != 0)
        close(products, expected[rows, indices], dtype)
        plain = _codes_triton.multiply_rows(*given)
        close(plain, A[rows, indices], dtype)
        sums, weight_sums, counts = _codes_triton.sum_by_latent(values, *codes.by_latent, Y)
    close(sums, Z.T @ Y.double(), dtype)
    close(weight_sums, Z.sum(0), dtype)
    assert torch.equal(counts, (Z != 0).sum(0))


@settings(deadline=None, max_examples=4)
@given(
    n=st.integers(1, 12),
    width=st.integers(1, 9),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
@example(9, 7, torch.float32, 0)
def test_a_mask_finds_the_sums_of_latents(n, width, dtype, seed):
    """By blocks of four samples and two latents."""
    generator = torch.Generator().manual_seed(seed)
    codes, gradient = torch.randn(2, n, width, generator=generator, dtype=dtype).to(DEVICE)
    codes[codes.abs() < 0.7] = 0
    expected = gradient * (codes != 0)
    with patch.multiple(_dense_triton, _ENTRIES=8, _FEWEST_LATENTS=2, _MOST_LATENTS=2):
        gradient_sums, code_sums, counts = _dense_triton.mask(gradient, codes)
    assert torch.equal(gradient, expected)
    close(gradient_sums, expected.double().sum(0), dtype)
    close(code_sums, codes.double().sum(0), dtype)
    assert torch.equal(counts, codes.count_nonzero(0))


@pytest.mark.parametrize("width", [1, 4, 16, 512, 2048, 4096, 8192, 32_768])
def test_a_mask_has_programs_for_all_of_a_card(width):
    latents = _dense_triton._latents_of(width)
    assert min(width, 8) <= latents <= 32
    assert width // latents >= min(256, width // 8)


@pytest.mark.parametrize("dtype", HALF)
def test_factors_of_half_precision_are_summed_in_full(dtype):
    codes, _, matrix = sample(5, 3, 9, 21, torch.float32)
    half = matrix.to(dtype)
    values, indices = codes.values.reshape(-1), codes.indices.reshape(-1)
    sums = _codes_triton.sum_rows(values, indices, codes.offsets, half)
    assert sums.dtype == torch.float32
    close(sums, codes.to_dense().double() @ half.double(), torch.float32)


@settings(deadline=None, max_examples=4)
@given(
    n=st.integers(1, 3),
    n_columns=st.integers(1, 90),
    k=st.integers(1, 9),
    n_values=st.sampled_from([1, 3, 10_000]),
    dtype=st.sampled_from([*HALF, torch.float32]),
    seed=st.integers(0, 2**16),
)
@example(n=2, n_columns=90, k=9, n_values=1, dtype=torch.bfloat16, seed=0)
@example(n=2, n_columns=90, k=3, n_values=3, dtype=torch.float32, seed=0)
def test_largest_are_the_first_of_the_largest(n, n_columns, k, n_values, dtype, seed):
    """Among them equal ones, more than there is room for; groups are 32, not 1024."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randint(n_values, (n, n_columns), generator=generator) / (n_values / 4) - 2
    A, k = A.to(DEVICE, dtype), min(k, n_columns)
    with patch.object(_topk_triton, "_GROUPS", 32):
        values, columns = _topk_triton.select_rows(A, k)
    expected = torch.sort(A, dim=1, descending=True, stable=True).indices[:, :k]
    assert torch.equal(columns.sort(dim=1).values, expected.sort(dim=1).values)
    assert torch.equal(values, A.gather(1, columns))


@pytest.mark.parametrize("places", [range(9), range(0, 160, 32)], ids=["groups", "entries"])
def test_the_largest_is_not_lost_where_too_many_reach_the_bound(places):
    """In too many groups, or too many of one group: the largest is the last."""
    *equal, last = places
    A = torch.zeros(1, 160, device=DEVICE)
    A[0, equal], A[0, last], A[0, 1] = 1, 2, 1
    with patch.object(_topk_triton, "_GROUPS", 32):
        columns = _topk_triton.select_rows(A, 2)[1]
    assert sorted(columns[0].tolist()) == [0, last]


def test_largest_of_rows_with_nan_and_infinity():
    A = torch.zeros(3, 70, device=DEVICE)
    A[0], A[1, 3], A[1, 60], A[2, :68] = torch.nan, torch.nan, torch.inf, -torch.inf
    columns = _topk_triton.select_rows(A, 2)[1].sort(dim=1).values
    assert columns.tolist() == [[0, 1], [3, 60], [68, 69]]


def test_kernels_run_where_their_tensors_are():
    """Not on the GPU that is the current one."""
    kernel, tensor = MagicMock(), torch.zeros(2)
    with patch("torch.cuda.device_of") as place:
        _triton.launch(kernel, (2, 0), tensor)
        assert not place.called
        _triton.launch(kernel, (2, 3), tensor, 5, T=1)
    assert place.call_args.args[0] is tensor
    kernel[2, 3].assert_called_once_with(tensor, 5, T=1, enable_fp_fusion=True)


def test_kernels_that_fail_give_way():
    """Torch's operators take their place, and it is said once."""
    device = torch.device("cuda:7")

    def fail():
        raise RuntimeError("no compiler")

    with patch.object(_triton, "_broken", set()), TestCase().assertLogs("skamort") as told:
        assert _triton.attempt(fail, device) is None
        assert not _triton.has_triton(device)
    assert "no compiler" in "".join(told.output)


def test_memory_that_is_full_is_told():
    def fail():
        raise torch.cuda.OutOfMemoryError("full")

    with patch.object(_triton, "_broken", set()) as broken:
        with pytest.raises(torch.cuda.OutOfMemoryError):
            _triton.attempt(fail, torch.device("cuda:7"))
        assert not broken
