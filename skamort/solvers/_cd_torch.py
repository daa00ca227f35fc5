"""The working-set method of `CoordinateDescent` in torch: for CUDA, and for CPUs without numba.

A whole batch advances together: in every round each sample adds the same number of atoms to its
working set, and the small problems, one Gram block (size, size) a sample, are solved by accelerated
proximal gradient steps in one batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._device import blocks_larger_by
from .._triton import attempt, has_triton
from ._base import Problem
from ._certificate import gap_from_peak
from ._descent import SAFETY, drop_silent
from ._fista import FISTA, SHORTEN, Iterates, WithGram, noise_of

# Atoms that join each working set in a round, a multiple of what products like, and steps between
# two looks at the restricted gap; as many more for every so many atoms, which make rounds costly.
_BATCH, _CHECK_EVERY, _MANY_ATOMS = 8, 5, 4096
_INNER_STEPS = 200
_INNER_GAP = 0.3
# Early working sets lack atoms: solving them to a share of the whole gap is enough.
_LOOSE = 0.1
# What steps leave of a gap that they lower at all.
_PROGRESS = 0.9
# Elements of all working sets together: beyond it the few samples left are solved over all atoms.
_BLOCK_LIMIT = 1 << 25


def solve_block(
    X: Tensor, problem: Problem, alpha: Tensor, tol: float, max_iter: int, codes: Tensor
) -> Tensor:
    """Solve in place from the start in ``codes``; the rounds spent on each sample."""
    sets = _WorkingSets(X, problem, alpha, codes)
    n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
    target = tol * SAFETY * 0.5 * sets.energy
    last = torch.full_like(target, torch.inf)
    for round_ in range(max_iter + 1):
        score, gap = sets.look()
        lacking = sets.count_lacking(score)
        n_iter[sets.left] = round_
        # Where nothing lacks and steps win nothing, the dtype is at its end.
        stuck = (lacking == 0) & (gap > _PROGRESS * last[sets.left])
        last[sets.left] = gap
        busy = ((gap > target[sets.left]) & ~stuck).nonzero()[:, 0]
        is_over = not len(busy) or round_ == max_iter
        if is_over or len(busy) < len(sets.left):
            sets.store(codes)
        if is_over:
            break
        if len(busy) < len(sets.left):
            sets.keep(busy)
            score, gap, lacking = score[busy], gap[busy], lacking[busy]
        if sets.is_too_large():
            sets.store(codes)
            n_iter[sets.left] += _solve_over_all_atoms(sets, tol, max_iter, codes)
            break
        sets.grow(score, int(lacking.max()))
        sets.minimize(_INNER_GAP * target[sets.left], _LOOSE * gap)
    return n_iter


class _WorkingSets:
    """The samples ``left`` in the batch: their working sets, and the codes ``z`` and the ``atoms``
    of these. Their rows of ``codes`` are 0 until they are stored."""

    def __init__(self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor) -> None:
        self.X, self.problem, self.alpha = X, problem, alpha
        self.cov = X @ problem.atoms.T
        self.energy = X.square().sum(dim=1)
        self.longest = problem.squared_norms().amax(dim=1).expand(len(X))
        self.growth = 1 + len(problem.atoms) // _MANY_ATOMS
        self.left = drop_silent(self.cov, alpha, problem.positive, codes)
        width = int((codes != 0).sum(dim=1).max())
        self.working = codes[self.left].abs().topk(width, dim=1).indices
        self.z = codes[self.left[:, None], self.working]
        codes.zero_()
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
        X = residual = self.X[self.left]
        if self.working.shape[1]:
            residual = X - torch.bmm(self.z[:, None, :], self.atoms)[:, 0]
            score = correlations = residual @ self.problem.atoms.T
        else:
            score = correlations = self.cov[self.left]
        of_working = correlations.gather(1, self.working)
        if not self.problem.positive:
            score = correlations.abs_()
        gap = gap_from_peak(
            residual.square().sum(dim=1),
            (X * residual).sum(dim=1),
            score.amax(dim=1).clamp_(min=0),
            self.z,
            of_working,
            self.alpha[self.left],
        )
        return score, gap

    def store(self, codes: Tensor) -> None:
        """Write the codes of the working sets, which only grow, into the rows of ``codes``."""
        codes[self.left[:, None], self.working] = self.z

    def keep(self, busy: Tensor) -> None:
        """Drop the samples that are done."""
        self.left, self.working, self.z = self.left[busy], self.working[busy], self.z[busy]

    def is_too_large(self) -> bool:
        """Whether the working sets would be, with the atoms that join next."""
        (n_components, n_features), n_left = self.problem.atoms.shape, len(self.left)
        width = self.working.shape[1] + _BATCH * self.growth
        numbers = n_left * width * max(width, n_features)
        return 2 * width > n_components or numbers > _BLOCK_LIMIT * blocks_larger_by(self.X.device)

    def count_lacking(self, score: Tensor) -> Tensor:
        """How many atoms outside of its working set each sample needs; ``score`` is theirs then."""
        score.scatter_(1, self.working, -torch.inf)
        return (score > self.alpha[self.left, None]).sum(dim=1)

    def grow(self, score: Tensor, lacking: int) -> None:
        """Let the atoms with the highest scores join, in batches, as many as some sample lacks."""
        n_batches = min(self.growth, -(-lacking // _BATCH))
        fresh = score.topk(_BATCH * n_batches, dim=1).indices
        self.working = torch.cat([self.working, fresh], dim=1)
        self.z = torch.cat([self.z, self.z.new_zeros(fresh.shape)], dim=1)
        self._gather()

    def minimize(self, target: Tensor, loose: Tensor) -> None:
        """Take steps until every sample's restricted gap is below its target, or below a ``loose``
        one where all take as many steps."""
        left, gram = self.left, torch.bmm(self.atoms, self.atoms.transpose(1, 2))
        small = _Small(
            gram, self.cov[left[:, None], self.working], self.z, self.alpha[left],
            self.energy[left], target, self.longest[left], self.problem.positive,
        )  # fmt: skip
        every = _CHECK_EVERY * self.growth
        if not (small.suits_kernel() and attempt(small.minimize_by_kernel, gram.device)):
            self.z = small.minimize(torch.maximum(target, loose), every)


class _Small(NamedTuple):
    """Problems of working sets, a row each; ``codes`` are the start."""

    grams: Tensor
    covs: Tensor
    codes: Tensor
    alphas: Tensor
    energies: Tensor
    targets: Tensor
    curvatures: Tensor
    positive: bool

    def suits_kernel(self) -> bool:
        """Whether a program may solve each."""
        if not has_triton(self.codes.device):
            return False
        from ._working_set_triton import fits

        return fits(self.codes.shape[1])

    def minimize_by_kernel(self) -> bool:
        """Solve in place, each to its own end."""
        from ._working_set_triton import minimize

        minimize(*self, _INNER_STEPS, _CHECK_EVERY, noise_of(self.codes.dtype), SHORTEN)
        return True

    def minimize(self, targets: Tensor, every: int) -> Tensor:
        """The codes where all gaps are small enough, or after so many steps."""
        products = WithGram(self.energies, self.covs, self.grams)
        state = Iterates(products, self.codes, self.alphas, self.curvatures, self.positive)
        for step in range(_INNER_STEPS):
            if step % every == 0 and bool((state.gap() <= targets).all()):
                break
            state.step()
        return state.z


def _solve_over_all_atoms(sets: _WorkingSets, tol: float, max_iter: int, codes: Tensor) -> Tensor:
    """Solve the samples that are left from where they are; the steps spent on each."""
    left, rest = sets.left, codes[sets.left]
    problem = sets.problem.of(left)
    steps, _ = FISTA(max_iter, tol)._solve_block(sets.X[left], problem, sets.alpha[left], rest)
    codes[left] = rest
    return steps
