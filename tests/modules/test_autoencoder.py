import pytest
import torch
from torch import nn

from skamort.modules import Decoder, SparseAutoencoder, make_encoder, tie_to_dictionary


@pytest.fixture
def atoms():
    return nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("with_intercept", [False, True])
def test_forward_is_decode_of_encode(atoms, with_intercept):
    intercept = torch.arange(4.0) if with_intercept else None
    encoder = make_encoder(4, 6, generator=torch.Generator())
    tie_to_dictionary(encoder, atoms, atoms)
    module = SparseAutoencoder(encoder, nn.ReLU(), Decoder(atoms, intercept))
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
