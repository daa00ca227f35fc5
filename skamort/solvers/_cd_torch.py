"""The working-set method of `CoordinateDescent` in torch: for CUDA, and for CPUs without numba.

A whole batch advances together: in every round each sample adds the same number of atoms to its
working set, and the small problems, one Gram block (size, size) a sample, are solved by accelerated
proximal gradient steps in one batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._certificate import gap_from_residual, is_silent
from ._fista import FISTA, SAFETY, Iterates, WithGram

# Atoms that join each working set in a round, and steps between two looks at the restricted gap.
_BATCH = 16
_CHECK_EVERY = 10
_INNER_STEPS = 200
_INNER_GAP = 0.3
# Elements of all Gram blocks together: beyond it the few samples left are solved over all atoms.
_BLOCK_LIMIT = 1 << 25


def solve_block(
    X: Tensor,
    dictionary: Tensor,
    gram: Tensor | None,
    alpha: Tensor,
    positive: bool,
    tol: float,
    max_iter: int,
    codes: Tensor,
) -> Tensor:
    """Solve in place from the start in ``codes``; the rounds spent on each sample."""
    cov = X @ dictionary.T
    silent = is_silent(cov, alpha, positive)
    codes[silent] = 0
    n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
    left = (~silent).nonzero().squeeze(1)
    width = int((codes != 0).sum(dim=1).max())
    working = codes[left].abs().topk(width, dim=1).indices
    z = codes[left].gather(1, working)
    energy = X.square().sum(dim=1)
    target = tol * SAFETY * 0.5 * energy
    longest = dictionary.square().sum(dim=1).amax()
    for round_ in range(max_iter + 1):
        residual, correlations = X[left], cov[left]
        if working.shape[1]:
            residual = residual - torch.bmm(z[:, None, :], dictionary[working])[:, 0]
            correlations = residual @ dictionary.T
        codes[left] = codes.new_zeros(len(left), codes.shape[1]).scatter_(1, working, z)
        n_iter[left] = round_
        gap = gap_from_residual(X[left], codes[left], residual, correlations, alpha[left], positive)
        busy = gap > target[left]
        if round_ == max_iter or not busy.any():
            break
        width = working.shape[1] + _BATCH
        left = left[busy]
        if 2 * width > codes.shape[1] or len(left) * width**2 > _BLOCK_LIMIT:
            rest = codes[left]
            steps, _ = FISTA(max_iter, tol)._solve_block(
                X[left], dictionary, alpha[left], positive, rest, gram
            )
            codes[left] = rest
            n_iter[left] += steps
            break
        working, z, correlations = working[busy], z[busy], correlations[busy]
        score = (correlations if positive else correlations.abs()).scatter_(1, working, -1)
        fresh = score.topk(_BATCH, dim=1).indices
        working = torch.cat([working, fresh], dim=1)
        z = torch.cat([z, z.new_zeros(fresh.shape)], dim=1)
        block = _gram_blocks(dictionary, gram, working)
        problem = WithGram(energy[left], cov[left].gather(1, working), block)
        state = Iterates(problem, z, alpha[left], longest.expand(len(left)), positive)
        z = _minimize(state, _INNER_GAP * target[left])
    return n_iter


def _gram_blocks(dictionary: Tensor, gram: Tensor | None, working: Tensor) -> Tensor:
    """Gram matrix of every sample's working set, (n_samples, size, size)."""
    if gram is None:
        atoms = dictionary[working]
        return torch.bmm(atoms, atoms.transpose(1, 2))
    return gram[working[:, :, None], working[:, None, :]]


def _minimize(state: Iterates, target: Tensor) -> Tensor:
    """Steps until every sample's restricted gap is below its target."""
    for step in range(_INNER_STEPS):
        if step % _CHECK_EVERY == 0 and bool((state.gap() <= target).all()):
            break
        state.step()
    return state.z
