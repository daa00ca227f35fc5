"""The working-set method of `CoordinateDescent` in torch: for CUDA, and for CPUs without numba.

A whole batch advances together: in every round each sample adds the same number of atoms to its
working set, and the small problems, one Gram block (size, size) a sample, are solved by accelerated
proximal gradient steps in one batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._certificate import gap_from_peak, is_silent
from ._fista import FISTA, SAFETY, Iterates, WithGram

# Atoms that join each working set in a round, a multiple of what products like, and steps between
# two looks at the restricted gap; as many more for every so many atoms, which make rounds costly.
_BATCH, _CHECK_EVERY, _MANY_ATOMS = 8, 5, 4096
_INNER_STEPS = 200
_INNER_GAP = 0.3
# Early working sets lack atoms: solving them to a share of the whole gap is enough.
_LOOSE = 0.1
# Elements of all working sets together: beyond it the few samples left are solved over all atoms.
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
    atoms = _gather(dictionary, working)
    growth = 1 + len(dictionary) // _MANY_ATOMS
    batch = _BATCH * growth
    energy = X.square().sum(dim=1)
    target = tol * SAFETY * 0.5 * energy
    longest = dictionary.square().sum(dim=1).amax()
    for round_ in range(max_iter + 1):
        residual, correlations = X[left], cov[left]
        if working.shape[1]:
            residual = residual - torch.bmm(z[:, None, :], atoms)[:, 0]
            correlations = residual @ dictionary.T
        score = correlations if positive else correlations.abs()
        gap = gap_from_peak(
            residual.square().sum(dim=1),
            (X[left] * residual).sum(dim=1),
            score.amax(dim=1).clamp_(min=0),
            z,
            correlations.gather(1, working),
            alpha[left],
        )
        n_iter[left] = round_
        busy = gap > target[left]
        done = ~busy if round_ < max_iter else torch.ones_like(busy)
        _store(codes, left[done], working[done], z[done])
        if done.all():
            break
        width = working.shape[1] + batch
        left, working, z, score = left[busy], working[busy], z[busy], score[busy]
        if 2 * width > codes.shape[1] or len(left) * width * max(width, X.shape[1]) > _BLOCK_LIMIT:
            _store(codes, left, working, z)
            rest = codes[left]
            steps, _ = FISTA(max_iter, tol)._solve_block(
                X[left], dictionary, alpha[left], positive, rest, gram
            )
            codes[left] = rest
            n_iter[left] += steps
            break
        fresh = score.scatter_(1, working, -torch.inf).topk(batch, dim=1).indices
        working = torch.cat([working, fresh], dim=1)
        z = torch.cat([z, z.new_zeros(fresh.shape)], dim=1)
        atoms = _gather(dictionary, working)
        block = torch.bmm(atoms, atoms.transpose(1, 2))
        problem = WithGram(energy[left], cov[left].gather(1, working), block)
        state = Iterates(problem, z, alpha[left], longest.expand(len(left)), positive)
        z = _minimize(
            state,
            torch.maximum(_INNER_GAP * target[left], _LOOSE * gap[busy]),
            _CHECK_EVERY * growth,
        )
    return n_iter


def _gather(dictionary: Tensor, working: Tensor) -> Tensor:
    """Atoms of every working set, (n_samples, size, n_features)."""
    return dictionary.index_select(0, working.flatten()).view(*working.shape, dictionary.shape[1])


def _store(codes: Tensor, rows: Tensor, working: Tensor, z: Tensor) -> None:
    """Write the codes of the working sets into the rows of ``codes``."""
    codes[rows] = codes.new_zeros(len(rows), codes.shape[1]).scatter_(1, working, z)


def _minimize(state: Iterates, target: Tensor, check_every: int) -> Tensor:
    """Steps until every sample's restricted gap is below its target."""
    for step in range(_INNER_STEPS):
        if step % check_every == 0 and bool((state.gap() <= target).all()):
            break
        state.step()
    return state.z
