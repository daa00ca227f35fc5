"""Orthogonal matching pursuit without the Gram matrix, or with codes >= 0, in torch, for `OMP` and
`ORMP`: all samples of a block take an atom at a time.

Where entries are missing, every sample has atoms of its own, 0 where it is not observed. So is its
residual then, and what is orthonormal: their products with the dictionary are those with its atoms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Problem
from ._blocks import row_blocks
from ._certificate import observed
from ._ksparse import refit, sum_of_rows
from ._pursuit import any_of, least_left, leave_out, squared_norm


def pursue_signed(
    X: Tensor, problem: Problem, k: int, recursive: bool, enough: Tensor | None, codes: Tensor
) -> tuple[Tensor, Tensor]:
    """Gram-Schmidt on each sample's support, one product q D^T for every atom that joins."""
    n_samples, n_features = X.shape
    eps, dictionary = torch.finfo(X.dtype).eps, problem.atoms
    c, residual = problem.correlations(X), X.clone()
    norms = problem.squared_norms().expand_as(c)
    least = least_left(norms)
    left = norms.clone() if recursive or problem.mask is not None else None
    floor = (4 * eps) ** 2 * X.square().sum(dim=1)
    basis, y = X.new_zeros(n_samples, k, n_features), X.new_zeros(n_samples, k)
    triangle = torch.eye(k, dtype=X.dtype, device=X.device).repeat(n_samples, 1, 1)
    support = torch.zeros(n_samples, k, dtype=torch.int64, device=X.device)
    n_iter = torch.zeros(n_samples, dtype=torch.int64, device=X.device)
    step, hidden = 0, None
    while step < k:
        score = c.abs() if left is None else c.square() / torch.maximum(left, least)
        chosen = score.argmax(dim=1)
        best, norm, rest = (a.gather(1, chosen[:, None])[:, 0] for a in (c, norms, least))
        atom = observed(dictionary[chosen], problem.mask)
        shares, q = _orthogonalize(atom, basis[:, :step])
        length = q.norm(dim=1)
        goes_on = best.square() > floor * norm
        if enough is not None:
            goes_on &= squared_norm(residual) > enough
        live = goes_on & (length.square() > rest)
        has_live, has_spent = any_of(live, goes_on & ~live)
        if has_spent:
            hidden = leave_out(c, hidden, chosen, goes_on & ~live)
            continue
        if not has_live:
            break
        q = torch.where(live[:, None], q / length[:, None], 0)
        y[:, step] = (q * residual).sum(dim=1)
        residual = torch.addcmul(residual, y[:, step, None], q, value=-1)
        triangle[:, :step, step] = torch.where(live[:, None], shares, 0)
        triangle[:, step, step] = torch.where(live, length, 1)
        basis[:, step], support[:, step] = q, chosen
        n_iter += live
        share = problem.correlations(q)
        c.addcmul_(y[:, step, None], share, value=-1)
        c.scatter_(1, support[:, : step + 1], 0)
        if hidden is not None:
            c.masked_fill_(hidden, 0)
        if recursive and left is not None:
            left.addcmul_(share, share, value=-1)
        step += 1
    z = torch.linalg.solve_triangular(triangle, y[:, :, None], upper=True)[:, :, 0]
    codes.scatter_add_(1, support, z)
    return n_iter, squared_norm(residual)


def _orthogonalize(atom: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Scalar products of each sample's atom with its basis, and what they leave of the atom."""
    shares = torch.bmm(basis, atom[:, :, None])[:, :, 0]
    return shares, atom - torch.bmm(shares[:, None, :], basis)[:, 0]


def pursue_positive(
    X: Tensor, problem: Problem, k: int, recursive: bool, enough: Tensor | None, codes: Tensor
) -> tuple[Tensor, Tensor]:
    """Non-negative least squares on each sample's support after every atom that joins."""
    n_samples, dictionary, gram = len(X), problem.atoms, problem.gram
    seen = None if problem.mask is None else problem.mask[:, None, :]
    eps = torch.finfo(X.dtype).eps
    left = norms = problem.squared_norms().expand(n_samples, -1)
    least = least_left(norms)
    floor = (4 * eps) ** 2 * X.square().sum(dim=1)
    support = torch.zeros(n_samples, 0, dtype=torch.int64, device=X.device)
    active, z = support.bool(), X.new_zeros(n_samples, 0)
    n_iter = torch.zeros(n_samples, dtype=torch.int64, device=X.device)
    start = problem.correlations(X)
    residual, c = X, start.clamp(min=0)
    for _ in range(2 * k):
        score = c
        if recursive or seen is not None:
            score = torch.where(left > least, c.square() / left, 0)
        best, chosen = score.max(dim=1)
        correlation, norm = (a.gather(1, chosen[:, None])[:, 0] for a in (c, norms))
        known = correlation.square() > floor * norm
        live = (best > 0) & known & (active.sum(dim=1) < k)
        if enough is not None:
            live &= squared_norm(residual) > enough
        if not live.any():
            break
        n_iter += live
        support = torch.cat([support, chosen[:, None]], dim=1)
        active = torch.cat([active, live[:, None]], dim=1)
        atoms = observed(dictionary[support], seen)
        z, active = refit(atoms, X, torch.cat([z, z.new_zeros(n_samples, 1)], dim=1), active, True)
        residual = X - torch.bmm(z[:, None, :], atoms)[:, 0]
        if gram is None:
            c = problem.correlations(residual)
        else:
            c = start - sum_of_rows(gram, support, z)
        # A place that is not used may name an atom that is used at another.
        limit = torch.where(active, 0, torch.inf).to(c.dtype)
        c = c.clamp_(min=0).scatter_reduce_(1, support, limit, "amin")
        if recursive:
            left = norms - _explained(atoms * active[:, :, None], dictionary)
    codes.scatter_add_(1, support, z)
    return n_iter, squared_norm(residual)


def _explained(atoms: Tensor, dictionary: Tensor) -> Tensor:
    """||P d_j||^2 for the span of each sample's atoms; zero rows among them do not count."""
    matrix = torch.bmm(atoms, atoms.transpose(1, 2))
    idle = matrix.diagonal(dim1=1, dim2=2) == 0
    jitter = 8 * torch.finfo(atoms.dtype).eps * matrix.diagonal(dim1=1, dim2=2)
    factor = torch.linalg.cholesky_ex(matrix + torch.diag_embed(torch.where(idle, 1, jitter))).L
    basis = torch.linalg.solve_triangular(factor, atoms, upper=False)
    explained = atoms.new_empty(len(atoms), len(dictionary))
    for rows in row_blocks(atoms, basis.shape[1] * len(dictionary), times=4):
        explained[rows] = (basis[rows] @ dictionary.T).square_().sum(dim=1)
    return explained
