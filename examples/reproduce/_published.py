"""The published training of the amortization-gap paper: full batches, Adam, random weights.

Several runs, which differ in their initial weights, are trained at once by batched products. With
R runs, n samples, M features, N latents and the layers' weights W_l (R, width_in, width_out):

    Z = relu(... relu(X W_1 + b_1) ... W_L + b_L),    X_hat = Z D
    loss = mean (X - X_hat)^2 + lam * mean |Z|,       or minus the cosine with known codes
"""

from itertools import pairwise

import torch
from torch import nn


class PublishedAutoencoders:
    """Runs of one autoencoder, trained side by side.

    Parameters
    ----------
    widths : sequence of int
        Number of features, widths of hidden layers, number of latents.
    dictionary : Tensor of shape (n_latents, n_features), optional
        Known atoms; otherwise they are learned, on the unit sphere.
    bias : bool
        Whether the layers have biases.
    n_runs : int
        Number of runs.
    seed : int
        Seed of all initial weights.
    """

    def __init__(self, widths, *, dictionary=None, bias=True, n_runs=5, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def uniform(n_in, *shape):  # the default initialization of nn.Linear
            values = torch.empty(n_runs, *shape).uniform_(-1, 1, generator=generator)
            return (values / n_in**0.5).requires_grad_()

        self.layers = [(uniform(a, a, b), uniform(a, 1, b)) for a, b in pairwise(widths)]
        self.bias = bias
        self.parameters = [p for layer in self.layers for p in layer[: 1 + bias]]
        self.dictionary = dictionary
        if dictionary is None:
            atoms = uniform(widths[-1], widths[-1], widths[0]).detach()
            self.dictionary = nn.functional.normalize(atoms, dim=2).requires_grad_()
            self.parameters.append(self.dictionary)

    def encode(self, X):
        """Return the codes of all runs, (n_runs, n_samples, n_latents)."""
        for weight, bias in self.layers:
            X = X @ weight
            X = (X + bias if self.bias else X).relu()
        return X

    def fit(self, X, *, codes=None, lam=0.01, learning_rate=1e-3, n_steps=20_000):
        """Train on X, (n_samples, n_features); return the runs themselves."""
        optimizer = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True)
        for _ in range(n_steps):
            Z = self.encode(X)
            if codes is not None:
                losses = -nn.functional.cosine_similarity(Z, codes[None], dim=1).mean(1)
            else:
                losses = (X - Z @ self.dictionary).square().mean((1, 2)) + lam * Z.mean((1, 2))
            optimizer.zero_grad()
            losses.sum().backward()  # the runs share nothing: each gets its own gradient
            optimizer.step()
            if self.dictionary.requires_grad:
                with torch.no_grad():
                    self.dictionary.div_(self.dictionary.norm(dim=2, keepdim=True))
        return self
