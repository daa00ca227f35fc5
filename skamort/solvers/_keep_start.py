"""Codes with few non-zeros are no worse than those they start from, wherever the search begins."""

from __future__ import annotations

import torch
from torch import Tensor

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
    enough : Tensor of shape (n_samples,), default=None
        Codes that leave no more than this stay as they are; None: none.
    """
    support = (start * observed_lengths(problem)).abs().topk(k, dim=1).indices
    value = start.gather(1, support)
    image = observed(sum_of_rows(problem.atoms, support, value), problem.mask)
    left = (X - image).double().square().sum(dim=1)
    wins = left < residual
    if enough is not None:
        wins &= residual > enough
    rows = wins.nonzero()[:, 0]
    for part in row_blocks(rows, k * X.shape[1], times=_BLOCK_SIZE):
        some = rows[part]
        atoms, z = support[some], value[some]
        fit = least_squares(X[some], problem.of(some), atoms, z, z != 0, n_jobs=0)
        z = torch.where((fit.error < left[some])[:, None], fit.z, z)
        codes[some] = torch.zeros_like(codes[some]).scatter_(1, atoms, z)
        residual[some] = torch.minimum(fit.error, left[some])
