"""Small models with random weights, for tests of losses and of the net."""

import torch
from torch import nn

from skamort.modules import Decoder, ReLU, SparseAutoencoder, make_encoder


def make_problem(
    hidden=(), activation=None, intercept=True, trainable=True, bias=True, n_components=7
):
    generator = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(
        torch.randn(n_components, 5, generator=generator, dtype=torch.float64)
    )
    encoder = make_encoder(5, n_components, hidden, bias=bias, generator=generator)
    center = torch.randn(5, generator=generator, dtype=torch.float64) if intercept else None
    decoder = Decoder(atoms, center, trainable)
    module = SparseAutoencoder(encoder, activation or ReLU(), decoder).double()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    X = torch.randn(11, 5, generator=generator, dtype=torch.float64)
    return module, X


def autograd_loss(module, X, alpha, weights):
    X_hat, codes = module(X)
    gamma = torch.ones(X.shape[1]) if weights is None else weights
    return (0.5 * ((X_hat - X) * gamma).square().sum() + alpha * codes.abs().sum()) / len(X)


def gradients(module):
    return {name: p.grad for name, p in module.named_parameters() if p.requires_grad}
