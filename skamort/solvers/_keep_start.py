"""Codes with few non-zeros are no worse than those they start from, wherever the search begins."""

from __future__ import annotations

import torch
from torch import Tensor

from .._threads import run_in_threads
from ._base import Problem
from ._blocks import row_blocks
from ._certificate import observed
from ._ksparse import observed_lengths, sum_of_rows
from ._least_squares import least_squares

# Size of a block of samples that get least squares on the atoms of their start.
_BLOCK_SIZE = 16


def keep_start(
    X: Tensor,
    problem: Problem,
    k: int,
    start: Tensor,
    codes: Tensor,
    residual: Tensor,
    n_jobs: int,
    enough: Tensor | None = None,
) -> None:
    """Take, in place, least squares on the k largest of a start where they leave less than codes.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Data.
    problem : Problem
        What they share.
    k : int
        Most non-zeros.
    start, codes : Tensor of shape (n_samples, n_components)
        What the codes are not to be worse than, and what was found.
    residual : Tensor of shape (n_samples,)
        ||x - z D||^2 of the codes, float64.
    n_jobs : int
        Threads of compiled kernels; 0 for torch.
    enough : Tensor of shape (n_samples,), default=None
        Codes that leave no more than this stay as they are; None: none.
    """
    rows = _rivals(X, problem, k, start, residual, n_jobs)
    if enough is not None:
        rows = rows[residual[rows] > enough[rows]]
    if not len(rows):
        return
    support, value, left = _largest_of(X[rows], problem.of(rows), k, start[rows])
    wins = (left < residual[rows]).nonzero()[:, 0]
    for part in row_blocks(wins, k * X.shape[1], times=_BLOCK_SIZE):
        some, own = wins[part], rows[wins[part]]
        atoms, z = support[some], value[some]
        fit = least_squares(X[own], problem.of(own), atoms, z, z != 0, n_jobs=0)
        z = torch.where((fit.error < left[some])[:, None], fit.z, z)
        codes[own] = torch.zeros_like(codes[own]).scatter_(1, atoms, z)
        residual[own] = torch.minimum(fit.error, left[some])


def _rivals(
    X: Tensor, problem: Problem, k: int, start: Tensor, residual: Tensor, n_jobs: int
) -> Tensor:
    """Numbers of the rows whose start may leave less than ``residual``: told by kernels, which look
    at the non-zeros alone, else all."""
    if n_jobs == 0:
        return torch.arange(len(X), device=X.device)
    from ._keep_start_numba import find_rivals

    seen = X[:, :0] if problem.mask is None else problem.mask
    rivals = torch.empty(len(X), dtype=torch.bool)
    atoms = problem.atoms.contiguous().numpy()
    by_row = [a.contiguous().numpy() for a in (X, seen, start, residual, rivals)]
    run_in_threads(lambda rows: find_rivals(atoms, k, *(a[rows] for a in by_row)), len(X), n_jobs)
    return rivals.nonzero()[:, 0]


def _largest_of(
    X: Tensor, problem: Problem, k: int, start: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest of each start: atoms, codes, and ||x - z D||^2 in float64."""
    support = (start * observed_lengths(problem)).abs().topk(k, dim=1).indices
    value = start.gather(1, support)
    image = observed(sum_of_rows(problem.atoms, support, value), problem.mask)
    return support, value, (X - image).double().square().sum(dim=1)
