"""Beam search over supports, in torch: the greedy choice of `ORMP`, with several in the race.

Each time an atom joins, the ``width`` supports that explain most are kept of all that one more atom
can make of those kept before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Problem
from ._ksparse import refit
from ._pursuit import least_left
from ._supports import fit_supports, members


def beam_search(X: Tensor, problem: Problem, k: int, width: int) -> Tensor:
    """Codes on the best supports found, the best first.

    Returns
    -------
    codes : Tensor of shape (n_beams, n_samples, n_components)
        Of at most ``k`` non-zeros, solved for as `refit` does; ``n_beams`` is ``width`` or less.
    """
    n_components = len(problem.atoms)
    cov = X @ problem.atoms.T
    # The sum of its atoms' numbers tells supports apart, in whatever order atoms joined.
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(1 << 62, (n_components,), generator=generator).to(X.device)
    beams = torch.zeros(len(X), 1, 0, dtype=torch.int64, device=X.device)
    for step in range(k):
        explained = _explained(cov, problem, beams)
        # Of step + 1 supports each a kept one may be made.
        n_looked = min(width * (step + 1), explained.shape[1])
        best, place = explained.topk(n_looked, dim=1)
        parent, atom = place // n_components, place % n_components
        longer = beams.gather(1, parent[:, :, None].expand(-1, -1, step))
        longer = torch.cat([longer, atom[:, :, None]], dim=2)
        name = numbers[longer].sum(dim=2)
        known = (name[:, :, None] == name[:, None, :]).tril(-1).any(dim=2)
        best = best.masked_fill(known, -torch.inf)
        kept = best.topk(min(width, n_looked), dim=1).indices
        beams = longer.gather(1, kept[:, :, None].expand(-1, -1, step + 1))
    return torch.stack([_solve(X, problem, beam) for beam in beams.unbind(dim=1)])


def _explained(cov: Tensor, problem: Problem, beams: Tensor) -> Tensor:
    """What every beam of a sample explains with every atom more, (n_samples, n_beams *
    n_components)."""
    support = beams.flatten(0, 1)
    active = torch.ones_like(support, dtype=torch.bool)
    fit = fit_supports(cov.repeat_interleave(beams.shape[1], dim=0), problem, support, active)
    value = fit.cov.clamp(min=0) if problem.positive else fit.cov
    far = fit.left > least_left(problem.squared_norms())
    gains = torch.where(far, value.square() / fit.left, 0)
    gains.masked_fill_(members(support, active, len(problem.atoms)), -torch.inf)
    return (gains + fit.shares.square().sum(dim=1, keepdim=True)).view(len(cov), -1)


def _solve(X: Tensor, problem: Problem, support: Tensor) -> Tensor:
    active = torch.ones_like(support, dtype=torch.bool)
    z = torch.zeros_like(support, dtype=X.dtype)
    z, _ = refit(problem.atoms[support], X, z, active, problem.positive)
    codes = X.new_zeros(len(X), len(problem.atoms))
    return codes.scatter_add_(1, support, z)
