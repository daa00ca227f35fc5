"""The toy model of superposition: many sparse sources, seen through few dimensions."""

import torch


def draw_sources(n_samples, n, sparsity, generator):
    """Zero with a probability of `sparsity`, else uniform on (0, 1]; shape (n_samples, n)."""
    sizes = 1 - torch.rand(n_samples, n, generator=generator)
    return sizes * (torch.rand(n_samples, n, generator=generator) >= sparsity)


def learn_mixing(n, n_p, sparsity, *, n_steps=1000, seed=0):
    """Learn W_p (n_p, n) such that relu(W_p^T W_p x + b) reconstructs sources x."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(n_p, n, generator=generator) * (2 / (n + n_p)) ** 0.5
    mixing, bias = mixing.requires_grad_(), torch.zeros(n, requires_grad=True)
    adam = torch.optim.Adam([mixing, bias], lr=3e-3)
    for _ in range(n_steps):
        x = draw_sources(256, n, sparsity, generator)
        error = torch.relu(x @ mixing.T @ mixing + bias) - x
        adam.zero_grad()
        error.square().sum(dim=1).mean().backward()
        adam.step()
    return mixing.detach().double().numpy()
