"""Exchanges in torch, for `Exchange`: every sample of a block makes its best one at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Problem
from ._blocks import row_blocks
from ._ksparse import refit
from ._pursuit import least_left, squared_norm
from ._supports import fit_supports, members


def exchange(
    X: Tensor, problem: Problem, k: int, max_iter: int, tries: int, least: Tensor, codes: Tensor
) -> Tensor:
    """Exchange atoms in place, in ``codes`` of at most k non-zeros; how often, by sample.

    As `_exchange_numba.exchange`, all supports solved anew after each exchange.
    """
    n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
    for rows in row_blocks(X, k * len(problem.atoms), times=4):
        support = codes[rows].abs().topk(k, dim=1).indices
        z = codes[rows].gather(1, support)
        z, _ = refit(problem.atoms[support], X[rows], z, z != 0, problem.positive)
        left = torch.arange(len(z), device=X.device)
        for _ in range(max_iter):
            if not len(left):
                break
            data, bar = X[rows][left], least[rows][left]
            moved, support[left], z[left] = _step(data, problem, support[left], z[left], tries, bar)
            left = left[moved]
            n_iter[rows.start + left] += 1
        codes[rows] = torch.zeros_like(codes[rows]).scatter_add_(1, support, z)
    return n_iter


def _step(
    X: Tensor, problem: Problem, support: Tensor, z: Tensor, tries: int, least: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The first of the best exchanges that lowers the squared residual by more than ``least``;
    whether there is one, and support and coefficients after it."""
    gains = _gains(X, problem, support, z).flatten(1)
    moved, n_components = torch.zeros(len(X), dtype=torch.bool, device=X.device), len(problem.atoms)
    before = squared_norm(X - torch.bmm(z[:, None, :], problem.atoms[support])[:, 0])
    for _ in range(tries):
        gain, place = gains.max(dim=1)
        waiting = (~moved & (gain > least)).nonzero()[:, 0]
        if not len(waiting):
            break
        gains[waiting, place[waiting]] = -torch.inf
        slot, atom = place[waiting, None] // n_components, place[waiting, None] % n_components
        changed, start = support[waiting].scatter(1, slot, atom), z[waiting].scatter(1, slot, 0)
        active = (start != 0).scatter(1, slot, True)
        atoms, data = problem.atoms[changed], X[waiting]
        found, _ = refit(atoms, data, start, active, problem.positive)
        after = squared_norm(data - torch.bmm(found[:, None, :], atoms)[:, 0])
        better = before[waiting] - after > least[waiting]
        rows = waiting[better]
        support[rows], z[rows], moved[rows] = changed[better], found[better], True
    return moved, support, z


def _gains(X: Tensor, problem: Problem, support: Tensor, z: Tensor) -> Tensor:
    """By how much the squared residual falls when an atom takes the place of another, by sample,
    place and atom, signs of the other codes left aside."""
    active = z != 0
    fit = fit_supports(X @ problem.atoms.T, problem, support, active)
    # Squared lengths that the others of the support leave of each: 0 of a place that is free.
    own = torch.where(active, 1 / fit.inverse.square().sum(dim=1), 0)[:, :, None]
    dual = torch.bmm(fit.inverse.mT, fit.rows)
    value = fit.cov[:, None, :] + z[:, :, None] * own * dual
    rest = fit.left[:, None, :] + own * dual.square()
    if problem.positive:
        value = value.clamp(min=0)
    far = rest > least_left(problem.squared_norms())[:, None, :]
    gains = torch.where(far, value.square() / rest, 0) - z.square()[:, :, None] * own
    inside = members(support, active, len(problem.atoms))
    return gains.masked_fill_(inside[:, None, :], -torch.inf)
