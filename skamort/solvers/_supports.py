"""Least squares on each sample's own atoms, and what every other atom could add to it, in torch.

With G = D D^T, the support S of a sample and L L^T = G_SS,

    W = L^-1 G_S      y = L^-1 c_S      c <- c - y W      ||d_j||^2 - sum_i W_ij^2

are the atoms in an orthonormal basis of the support, the sample in it, what correlates with the
residual, and the squared length that the support leaves of atom j.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import Problem


@dataclass(frozen=True)
class Supports:
    """Least squares on the atoms of every sample.

    Parameters
    ----------
    inverse : Tensor of shape (n_samples, size, size)
        L^-1.
    rows : Tensor of shape (n_samples, size, n_components)
        W.
    shares : Tensor of shape (n_samples, size)
        y; ||y||^2 is what the support explains of ||x||^2.
    cov : Tensor of shape (n_samples, n_components)
        Correlations of the residual.
    left : Tensor of shape (n_samples, n_components)
        Squared lengths that the support leaves of the atoms, >= 0.
    """

    inverse: Tensor
    rows: Tensor
    shares: Tensor
    cov: Tensor
    left: Tensor


def fit_supports(cov: Tensor, problem: Problem, support: Tensor, active: Tensor) -> Supports:
    """Solve for every sample on its ``support``, of shape (n_samples, size), where ``active``."""
    atoms, gram = problem.atoms, problem.gram
    rows = atoms[support] @ atoms.T if gram is None else gram[support]
    rows = rows * active[:, :, None]
    matrix = rows.gather(2, support[:, None, :].expand(-1, support.shape[1], -1))
    matrix = matrix * active[:, None, :]
    # A trace of ridge keeps dependent atoms solvable.
    ridge = 8 * torch.finfo(cov.dtype).eps * matrix.diagonal(dim1=1, dim2=2)
    matrix = matrix + torch.diag_embed(torch.where(active, ridge, 1))
    factor = torch.linalg.cholesky_ex(matrix).L
    identity = torch.eye(support.shape[1], dtype=cov.dtype, device=cov.device)
    inverse = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    rows = torch.bmm(inverse, rows)
    known = cov.gather(1, support) * active
    shares = torch.bmm(inverse, known[:, :, None])[:, :, 0]
    cov = cov - torch.bmm(shares[:, None, :], rows)[:, 0]
    left = (problem.squared_norms() - rows.square().sum(dim=1)).clamp(min=0)
    return Supports(inverse, rows, shares, cov, left)


def members(support: Tensor, active: Tensor, n_components: int) -> Tensor:
    """Which atoms are in the support of every sample, (n_samples, n_components), bool."""
    counts = torch.zeros(len(support), n_components, device=support.device)
    return counts.scatter_add_(1, support, active.to(counts.dtype)) > 0
