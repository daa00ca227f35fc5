"""Top-k refined: the support from an encoder, the coefficients solved again.

    S = the k largest |z_0|,    z_S = argmin 1/2 ||x - z_S D_S||^2     (z_S >= 0 where positive)

with z_0 the codes of an encoder, such as a top-k autoencoder; without one, the correlations x D^T.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import Problem
from ._ksparse import KSparseSolver, refit


@dataclass(frozen=True)
class TopKRefined(KSparseSolver):
    """Least squares on the support that an encoder chose.

    Choose it to get the best out of a trained top-k autoencoder at little cost: one linear solve of
    k unknowns a sample. Where positive, the coefficients solve NNLS on the support.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Size of the support; None for a tenth of the features.

    References
    ----------
    C. Lawson and R. Hanson, Solving least squares problems, 1974, chapter 23 (NNLS).

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import TopKRefined
    >>> X, encoded = torch.tensor([[3.0, 0.5]]), torch.tensor([[2.0, 0.1]])
    >>> TopKRefined(n_nonzero_coefs=1).solve(X, torch.eye(2), positive=True, init=encoded).codes
    tensor([[3., 0.]])
    """

    def _pursue_block(
        self,
        X: Tensor,
        problem: Problem,
        k: int,
        enough: Tensor,  # noqa: ARG002  (the support is given, or found as a whole)
        codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        dictionary, positive = problem.atoms, problem.positive
        start = codes.clone()
        unguided = (start == 0).all(dim=1, keepdim=True)
        start = torch.where(unguided, X @ dictionary.T, start)
        size = start.clamp(min=0) if positive else start.abs()
        value, support = size.topk(k, dim=1)
        atoms, active = dictionary[support], value > 0
        z = torch.where(active & ~unguided, start.gather(1, support), 0)
        z, residual, rounds = _least_squares(atoms, X, z, active, positive)
        codes.zero_().scatter_(1, support, z)
        return rounds, residual.square().sum(dim=1)


def _least_squares(
    atoms: Tensor, X: Tensor, start: Tensor, allowed: Tensor, positive: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Lawson and Hanson: refit, let the atom with the largest positive gradient come back,
    refit."""
    z, active = refit(atoms, X, start, allowed, positive)
    rounds = torch.ones(len(X), dtype=torch.int64, device=X.device)
    noise = 100 * torch.finfo(X.dtype).eps * X.norm(dim=1, keepdim=True) * atoms.norm(dim=2)
    for _ in range(3 * atoms.shape[1]):
        residual = X - torch.bmm(z[:, None, :], atoms)[:, 0]
        gradient = torch.bmm(atoms, residual[:, :, None])[:, :, 0]
        gradient = torch.where(allowed & ~active & (gradient > noise), gradient, 0)
        best, index = gradient.max(dim=1, keepdim=True)
        if not positive or not (best > 0).any():
            break
        candidate = active | torch.zeros_like(active).scatter_(1, index, best > 0)
        z, active = refit(atoms, X, z, candidate, positive)
        rounds += (best > 0)[:, 0]
    # In float64: codes of nearly parallel atoms are large and cancel.
    image = torch.bmm(z[:, None, :].double(), atoms.double())[:, 0]
    return z, X.double() - image, rounds
