"""The working-set method of `CoordinateDescent` in torch: for CUDA, and for CPUs without numba.

A whole batch advances together: in every round each sample adds the same number of atoms to its
working set, and the small problems, one Gram block (size, size) a sample, are solved by accelerated
proximal gradient steps in one batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._device import blocks_larger_by
from ._base import Problem
from ._certificate import gap_from_peak
from ._descent import SAFETY, drop_silent
from ._fista import FISTA, Iterates, WithGram

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
    X: Tensor, problem: Problem, alpha: Tensor, tol: float, max_iter: int, codes: Tensor
) -> Tensor:
    """Solve in place from the start in ``codes``; the rounds spent on each sample."""
    sets = _WorkingSets(X, problem, alpha, codes)
    n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
    target = tol * SAFETY * 0.5 * sets.energy
    for round_ in range(max_iter + 1):
        score, gap = sets.look()
        n_iter[sets.left] = round_
        busy = gap > target[sets.left]
        done = ~busy if round_ < max_iter else torch.ones_like(busy)
        sets.store(codes, done)
        if done.all():
            break
        sets.keep(busy)
        if sets.is_too_large():
            sets.store(codes, torch.ones_like(sets.left, dtype=torch.bool))
            n_iter[sets.left] += _solve_over_all_atoms(sets, tol, max_iter, codes)
            break
        sets.grow(score[busy])
        sets.minimize(torch.maximum(_INNER_GAP * target[sets.left], _LOOSE * gap[busy]))
    return n_iter


class _WorkingSets:
    """The samples ``left`` in the batch: their working sets, and the codes ``z`` and the ``atoms``
    of these."""

    def __init__(self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor) -> None:
        self.X, self.problem, self.alpha = X, problem, alpha
        self.cov = X @ problem.atoms.T
        self.energy = X.square().sum(dim=1)
        self.longest = problem.squared_norms().amax(dim=1).expand(len(X))
        self.growth = 1 + len(problem.atoms) // _MANY_ATOMS
        self.left = drop_silent(self.cov, alpha, problem.positive, codes)
        width = int((codes != 0).sum(dim=1).max())
        self.working = codes[self.left].abs().topk(width, dim=1).indices
        self.z = codes[self.left].gather(1, self.working)
        self._gather()

    def _gather(self) -> None:
        """Atoms of every working set, (n_samples, size, n_features), where observed."""
        atoms = self.problem.atoms
        rows = atoms.index_select(0, self.working.flatten())
        self.atoms = rows.view(*self.working.shape, atoms.shape[1])
        if self.problem.mask is not None:
            self.atoms *= self.problem.mask[self.left, None]

    def look(self) -> tuple[Tensor, Tensor]:
        """What every atom has to offer, (n_left, n_components), and the duality gaps."""
        X, correlations = self.X[self.left], self.cov[self.left]
        residual = X
        if self.working.shape[1]:
            residual = X - torch.bmm(self.z[:, None, :], self.atoms)[:, 0]
            correlations = residual @ self.problem.atoms.T
        score = correlations if self.problem.positive else correlations.abs()
        gap = gap_from_peak(
            residual.square().sum(dim=1),
            (X * residual).sum(dim=1),
            score.amax(dim=1).clamp_(min=0),
            self.z,
            correlations.gather(1, self.working),
            self.alpha[self.left],
        )
        return score, gap

    def store(self, codes: Tensor, which: Tensor) -> None:
        """Write the codes of some of the working sets into the rows of ``codes``."""
        rows, working = self.left[which], self.working[which]
        codes[rows] = codes.new_zeros(len(rows), codes.shape[1]).scatter_(1, working, self.z[which])

    def keep(self, busy: Tensor) -> None:
        """Drop the samples that are done."""
        self.left, self.working, self.z = self.left[busy], self.working[busy], self.z[busy]

    def is_too_large(self) -> bool:
        """Whether the working sets would be, with the atoms that join next."""
        (n_components, n_features), n_left = self.problem.atoms.shape, len(self.left)
        width = self.working.shape[1] + _BATCH * self.growth
        numbers = n_left * width * max(width, n_features)
        return 2 * width > n_components or numbers > _BLOCK_LIMIT * blocks_larger_by(self.X.device)

    def grow(self, score: Tensor) -> None:
        """Let the atoms with the highest scores join."""
        others = score.scatter_(1, self.working, -torch.inf)
        fresh = others.topk(_BATCH * self.growth, dim=1).indices
        self.working = torch.cat([self.working, fresh], dim=1)
        self.z = torch.cat([self.z, self.z.new_zeros(fresh.shape)], dim=1)
        self._gather()

    def minimize(self, target: Tensor) -> None:
        """Take steps until every sample's restricted gap is below its target."""
        left, block = self.left, torch.bmm(self.atoms, self.atoms.transpose(1, 2))
        products = WithGram(self.energy[left], self.cov[left].gather(1, self.working), block)
        longest, positive = self.longest[left], self.problem.positive
        state = Iterates(products, self.z, self.alpha[left], longest, positive)
        for step in range(_INNER_STEPS):
            if step % (_CHECK_EVERY * self.growth) == 0 and bool((state.gap() <= target).all()):
                break
            state.step()
        self.z = state.z


def _solve_over_all_atoms(sets: _WorkingSets, tol: float, max_iter: int, codes: Tensor) -> Tensor:
    """Solve the samples that are left from where they are; the steps spent on each."""
    left, rest = sets.left, codes[sets.left]
    problem = sets.problem.of(left)
    steps, _ = FISTA(max_iter, tol)._solve_block(sets.X[left], problem, sets.alpha[left], rest)
    codes[left] = rest
    return steps
