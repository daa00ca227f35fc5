"""Gradient pursuit: every time an atom joins, one exact gradient step on the whole support.

    j = argmax |<d_j, r>| joins the support S,   g = <d_j, r> for j in S,   c = g D
    z <- z + g <c, r> / <c, c>

The step is 0 where c = 0, and z is clipped at 0 where positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import Problem
from ._pursuit import Pursuit, squared_norm


@dataclass(frozen=True)
class GradientPursuit(Pursuit):
    """Gradient pursuit: between `MP` and `OMP` in cost and accuracy.

    Choose it as an inference-time optimizer for sparse autoencoders, where it was proposed, or on a
    GPU, where it needs no linear solves. Every step costs two products of (n_samples, n_features)
    with the dictionary.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Number of steps, hence most non-zeros; None for a tenth of the features, or with
        ``residual_tol`` as many as there are.
    residual_tol : float, default=None
        A sample is done where ||x - z D||^2 is at most this; None: after its number of steps.

    References
    ----------
    T. Blumensath and M. Davies, Gradient pursuits, 2008.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import GradientPursuit
    >>> solver = GradientPursuit(n_nonzero_coefs=1)
    >>> solver.solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), positive=True).codes
    tensor([[3., 0.]])
    """

    def _pursue_steps(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor | None, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        dictionary, positive = problem.atoms, problem.positive
        support = torch.zeros_like(codes, dtype=torch.bool)
        n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        residual = X
        for _ in range(k):
            correlations = problem.correlations(residual)
            score = correlations if positive else correlations.abs()
            support.scatter_(1, score.argmax(dim=1, keepdim=True), True)
            gradient = torch.where(support, correlations, 0)
            if positive:
                # A coefficient at zero that would fall stays where it is.
                gradient = torch.where((codes > 0) | (gradient > 0), gradient, 0)
            moved, energy = _step(dictionary, codes, residual, gradient, positive)
            left = X - moved @ dictionary
            # Clipping may spoil a step; the residual must not grow.
            better = left.square().sum(dim=1) <= residual.square().sum(dim=1)
            if enough is not None:
                better &= squared_norm(residual) > enough
            codes.copy_(torch.where(better[:, None], moved, codes))
            residual = torch.where(better[:, None], left, residual)
            n_iter += (energy > 0) & better
        return n_iter, squared_norm(residual)


def _step(
    dictionary: Tensor, codes: Tensor, residual: Tensor, gradient: Tensor, positive: bool
) -> tuple[Tensor, Tensor]:
    """Codes after the best step along the gradient, and <c, c>."""
    image = gradient @ dictionary
    energy = image.square().sum(dim=1, keepdim=True)
    fit = (image * residual).sum(dim=1, keepdim=True)
    moved = codes + torch.where(energy > 0, fit / energy, 0) * gradient
    return moved.clamp_(min=0) if positive else moved, energy[:, 0]
