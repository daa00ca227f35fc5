"""Both layouts of codes give the same products."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort._threads import run_in_threads
from skamort.modules import DenseCodes, RaggedCodes, SparseCodes, _sparse_products
from skamort.modules._sparse_products import weighted_sums

DTYPES = [torch.float32, torch.float64]


def make_codes(n=9, k=3, n_components=20, seed=0, dtype=torch.float64):
    """The same codes in both layouts; about a third of the k values are zero."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, k, generator=generator, dtype=dtype).clamp(min=-0.4).relu()
    order = torch.rand(n, n_components, generator=generator).argsort(dim=1)
    sparse_codes = SparseCodes(values, order[:, :k].contiguous(), n_components)
    return sparse_codes, DenseCodes(sparse_codes.to_dense())


def make_matrices(n=9, n_components=20, n_features=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    Y = torch.randn(n, n_features, generator=generator, dtype=dtype)
    return Y, torch.randn(n_components, n_features, generator=generator, dtype=dtype)


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 12),
    k=st.integers(1, 6),
    spare=st.integers(0, 20),
    seed=st.integers(0, 2**16),
    penalty=st.sampled_from([0.0, 0.3]),
)
def test_layouts_agree(n, k, spare, seed, penalty):
    n_components = k + spare
    sparse_codes, dense = make_codes(n, k, n_components, seed)
    places = torch.rand(n * n_components).lt(0.9).logical_or(dense.values.flatten() > 0)
    ragged = RaggedCodes.of(dense.values, places.nonzero().flatten())
    Y, dictionary = make_matrices(n, n_components)
    weights = torch.arange(1.0, n + 1).double()
    largest = [codes.keep_largest(max(1, k // 2)).to_dense() for codes in (sparse_codes, dense)]
    assert torch.equal(*largest)
    for product in (
        lambda codes: codes.to_dense(),
        lambda codes: codes.sum(),
        lambda codes: codes.sum(weights),
        lambda codes: codes.gradient(Y, dictionary, weights.unsqueeze(1)).to_dense(),
        lambda codes: codes.column_sums(),
        lambda codes: codes.firing_counts(),
        lambda codes: codes.residual(dictionary, Y),
        lambda codes: codes.residual(dictionary, Y, 0.25),
        lambda codes: codes.transposed_product(Y),
        lambda codes: codes.gradient(Y, dictionary, penalty).to_dense(),
        lambda codes: codes.gradient(Y, dictionary, penalty).transposed_product(Y),
        lambda codes: torch.from_numpy(codes.to_csr().toarray()),
    ):
        torch.testing.assert_close(product(sparse_codes), product(dense))
        torch.testing.assert_close(product(ragged), product(dense))


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_those_of_the_matrix(dtype):
    codes, _ = make_codes(dtype=dtype)
    Y, dictionary = make_matrices(dtype=dtype)
    Z = codes.to_dense()
    torch.testing.assert_close(codes.residual(dictionary, Y), Z @ dictionary - Y)
    torch.testing.assert_close(codes.residual(dictionary, Y, 0.3), 0.3 * (Z @ dictionary - Y))
    torch.testing.assert_close(codes.transposed_product(Y), Z.T @ Y)
    gradient = codes.gradient(Y, dictionary, 0.5).to_dense()
    torch.testing.assert_close(gradient, (Y @ dictionary.T + 0.5) * (Z > 0))
    assert torch.equal(codes.firing_counts(), (Z > 0).sum(0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sampled_product_is_the_product_where_asked(dtype):
    Y, dictionary = make_matrices(dtype=dtype)
    codes = make_codes()[0]
    expected = (Y @ dictionary.T).gather(1, codes.indices)
    torch.testing.assert_close(codes.sample(Y, dictionary), expected)


@pytest.mark.parametrize("layout", [0, 1], ids=["sparse", "dense"])
def test_csr_is_canonical_and_holds_no_zeros(layout):
    codes = make_codes()[layout]
    csr = codes.to_csr()
    np.testing.assert_array_equal(csr.toarray(), codes.to_dense().numpy())
    assert csr.nnz == codes.to_dense().count_nonzero()
    assert csr.has_canonical_format
    assert csr.indices.dtype == np.int32


def test_dense_products_under_autocast_keep_the_dtype():
    _, codes = make_codes(dtype=torch.float32)
    Y, dictionary = make_matrices(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        products = [
            codes.residual(dictionary, Y),
            codes.transposed_product(Y),
            codes.gradient(Y, dictionary, 0.0).to_dense(),
        ]
    assert all(product.dtype == torch.float32 for product in products)


def compiled(n_threads=1):
    """Take the compiled kernels, however small the products."""
    pytest.importorskip("numba")
    return patch.multiple(
        _sparse_products,
        _FEWEST_PRODUCTS=0,
        embedding_bag=None,
        run_in_threads=lambda kernel, n, _: run_in_threads(kernel, n, n_threads),
    )


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 12),
    k=st.integers(1, 9),
    spare=st.integers(0, 20),
    n_features=st.integers(1, 40),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from(DTYPES),
    n_threads=st.sampled_from([1, 3]),
)
def test_compiled_products_are_those_of_torch(n, k, spare, n_features, seed, dtype, n_threads):
    """Latents without a sample, and sums of terms that four does not divide, among them."""
    codes, dense = make_codes(n, k, k + spare, seed, dtype)
    Y, dictionary = make_matrices(n, k + spare, n_features, dtype)
    memory = torch.full_like(dictionary, torch.nan)
    ragged = RaggedCodes.of(dense.values, dense.values.flatten().nonzero().flatten())
    for layout in (codes, ragged):
        with compiled(n_threads), torch.no_grad():
            residual = layout.residual(dictionary, Y)
            transposed = layout.transposed_product(Y, out=memory)
            gradient = layout.gradient(Y, dictionary, 0.3)
        assert transposed is memory
        torch.testing.assert_close(residual, dense.residual(dictionary, Y))
        torch.testing.assert_close(transposed, dense.transposed_product(Y))
        expected = dense.gradient(Y, dictionary, 0.3).to_dense()
        torch.testing.assert_close(gradient.to_dense(), expected)


def test_compiled_products_keep_nan():
    """A diverging net must be found out."""
    codes, _ = make_codes(n_components=20)
    Y, dictionary = make_matrices()
    Y[3, 2], dictionary[codes.indices[5, 0], 1] = torch.nan, torch.inf
    with compiled(), torch.no_grad():
        assert codes.sample(Y, dictionary)[3].isnan().all()
        assert codes.sample(Y, dictionary)[5, 0].isinf()
        values = SparseCodes(torch.full_like(codes.values, torch.nan), codes.indices, 20)
        assert values.residual(dictionary, Y).isnan().all()


def test_weighted_sums_can_be_differentiated():
    """The compiled kernels are for steps that know their gradients."""
    codes, dense = make_codes()
    Y, _ = make_matrices()
    order, samples, _, offsets = codes.by_latent
    weights = codes.values.reshape(-1)[order]
    with patch.object(_sparse_products, "_FEWEST_PRODUCTS", 0):
        weighted_sums(weights, samples, offsets, Y.requires_grad_()).sum().backward()
    expected = dense.values.sum(1, keepdim=True).expand_as(Y)
    torch.testing.assert_close(Y.grad, expected)


def test_dense_products_take_the_memory_offered():
    _, codes = make_codes()
    Y, dictionary = make_matrices()
    memory, more = torch.empty_like(dictionary), torch.empty_like(codes.values)
    assert codes.transposed_product(Y, out=memory) is memory
    assert codes.gradient(Y, dictionary, 0.3, out=more).values is more
    torch.testing.assert_close(memory, codes.transposed_product(Y))
    torch.testing.assert_close(more, codes.gradient(Y, dictionary, 0.3).values)
