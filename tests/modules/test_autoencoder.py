import pytest
import torch
from torch import nn

from skamort.modules import (
    Decoder,
    DenseCodes,
    ReLU,
    SparseAutoencoder,
    SparseCodes,
    TopK,
    make_encoder,
)


@pytest.fixture
def atoms():
    return nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("with_intercept", [False, True])
def test_forward_is_decode_of_encode(atoms, with_intercept):
    intercept = torch.arange(4.0) if with_intercept else None
    encoder = make_encoder(4, 6, generator=torch.Generator())
    encoder.tie(atoms, atoms)
    module = SparseAutoencoder(encoder, ReLU(), Decoder(atoms, intercept))
    X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    c = intercept if with_intercept else torch.zeros(4)
    codes = torch.relu((X - c) @ atoms.T)
    X_hat, Z = module(X)
    torch.testing.assert_close(Z, codes)
    torch.testing.assert_close(X_hat, codes @ atoms + c)


def test_known_dictionary_is_not_trained_and_not_shared(atoms):
    decoder = Decoder(atoms, trainable=False)
    assert not decoder.dictionary.requires_grad
    atoms.zero_()
    assert decoder.dictionary.abs().sum() > 0


@pytest.fixture
def wide_module():
    """An autoencoder whose codes are sparse enough for the sparse layout."""
    generator = torch.Generator().manual_seed(2)
    atoms = nn.functional.normalize(torch.randn(200, 16, generator=generator))
    encoder = make_encoder(16, 200, generator=generator)
    encoder.bias.data.uniform_(-0.1, 0.1, generator=generator)
    return SparseAutoencoder(encoder, TopK(4), Decoder(atoms, torch.linspace(-1, 1, 16)))


@torch.no_grad()
def test_compact_codes_are_the_codes(wide_module):
    X = torch.randn(30, 16, generator=torch.Generator().manual_seed(3))
    codes = wide_module.encode_compactly(X)
    assert isinstance(codes, SparseCodes)
    torch.testing.assert_close(codes.to_dense(), wide_module.encode(X))


@torch.no_grad()
def test_autocast_chooses_the_codes_but_does_not_round_them(wide_module):
    X = torch.randn(300, 16, generator=torch.Generator().manual_seed(3))
    exact = wide_module.encoder(wide_module.center(X)).relu()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        codes = wide_module.encode_compactly(X)
    assert codes.values.dtype == torch.float32
    torch.testing.assert_close(codes.values, exact.gather(1, codes.indices))
    same = (codes.to_dense() > 0) == (wide_module.encode(X) > 0)
    assert same.float().mean().item() > 0.999


def test_few_components_keep_the_dense_layout(atoms):
    module = SparseAutoencoder(
        make_encoder(4, 6, generator=torch.Generator()), TopK(2), Decoder(atoms)
    )
    assert isinstance(module.encode_compactly(torch.ones(3, 4)), DenseCodes)
