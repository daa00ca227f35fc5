"""Normalized iterative hard thresholding: gradient steps, each followed by keeping the k largest
codes.

    z <- H_k(z + mu g),   g = r D^T,   mu = ||g_S||^2 / ||g_S D||^2  on the support S of z

H_k keeps the k largest magnitudes (the k largest where positive). A step that does not lower the
residual is halved.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import Problem
from ._ksparse import KSparseSolver
from ._safeguard import shrink_start

_HALVINGS = 30


@dataclass(frozen=True)
class IHT(KSparseSolver):
    """Normalized iterative hard thresholding.

    Choose it on a GPU for many non-zeros, or to refine an encoder's codes: it can exchange atoms of
    the support, which the greedy pursuits cannot. Every iteration costs four products of
    (n_samples, n_features) with the dictionary.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample; None for a tenth of the features.
    max_iter : int, default=100
        Most iterations.
    tol : float, default=1e-6
        A sample stops when a step lowers ||r||^2 by less than ``tol * ||x||^2``.

    References
    ----------
    T. Blumensath and M. Davies, Normalized iterative hard thresholding, 2010.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import IHT
    >>> IHT(n_nonzero_coefs=1).solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), positive=False).codes
    tensor([[3., 0.]])
    """

    max_iter: int = 100
    tol: float = 1e-6

    def _pursue_block(
        self,
        X: Tensor,
        problem: Problem,
        k: int,
        enough: Tensor,  # noqa: ARG002  (the support is given, or found as a whole)
        codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        dictionary, positive = problem.atoms, problem.positive
        codes.copy_(keep_largest(codes, k, positive))
        shrink_start(X, dictionary, torch.zeros_like(X[:, 0]), codes)
        n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        residual = X - codes @ dictionary
        loss = residual.square().sum(dim=1)
        least = self.tol * X.square().sum(dim=1)
        left = (loss > 0).nonzero().squeeze(1)
        for _ in range(self.max_iter):
            if not len(left):
                break
            z, r = codes[left], residual[left]
            moved, rest = _step(X[left], dictionary, z, r, loss[left], k, positive)
            gain = loss[left] - rest.square().sum(dim=1)
            better = gain > 0
            codes[left] = torch.where(better[:, None], moved, z)
            residual[left] = torch.where(better[:, None], rest, r)
            loss[left] = residual[left].square().sum(dim=1)
            n_iter[left] += 1
            left = left[gain > least[left]]
        return n_iter, residual.double().square().sum(dim=1)


def keep_largest(values: Tensor, k: int, positive: bool) -> Tensor:
    """Zero all but the k largest magnitudes of every row; all but the k largest, clipped at
    0, where positive."""
    size = values.clamp(min=0) if positive else values.abs()
    chosen = size.topk(k, dim=1).indices
    kept = values.clamp(min=0) if positive else values
    return torch.zeros_like(values).scatter_(1, chosen, kept.gather(1, chosen))


def _step(
    X: Tensor,
    dictionary: Tensor,
    z: Tensor,
    residual: Tensor,
    loss: Tensor,
    k: int,
    positive: bool,
) -> tuple[Tensor, Tensor]:
    """Codes and residual after the longest of the halved steps that lowers the loss."""
    gradient = residual @ dictionary.T
    restricted = torch.where(z != 0, gradient, 0)
    # Without a support, or where it is solved, what is left of its gradient is rounding and says
    # nothing about the length of a step: the support of the first step stands in.
    share = restricted.square().sum(dim=1, keepdim=True)
    solved = share <= torch.finfo(z.dtype).eps * gradient.square().sum(dim=1, keepdim=True)
    restricted = torch.where(solved, keep_largest(gradient, k, positive), restricted)
    energy = (restricted @ dictionary).square().sum(dim=1)
    length = torch.where(energy > 0, restricted.square().sum(dim=1) / energy, 0)[:, None]
    for _ in range(_HALVINGS):
        moved = keep_largest(z + length * gradient, k, positive)
        rest = X - moved @ dictionary
        worse = rest.square().sum(dim=1) > loss
        if not worse.any():
            break
        length = torch.where(worse[:, None], length / 2, length)
    return moved, rest
