"""Coordinate descent for dictionaries whose Gram matrix does not pay: the rounds around the kernel.

All samples of a block advance together. In each round one matrix product r D^T gives the
correlations of all residuals with all atoms; then the kernel lets every working set grow and
minimizes on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._threads import run_in_threads
from ._base import Problem
from ._cd_factored_numba import advance, start
from ._certificate import is_silent, observed
from ._correlations import Correlations
from ._scale import has_codes

# Most atoms that join a working set in a round, each of which costs a product with the dictionary.
_BATCH = 32
# With entries missing dictionaries may be small, whose rounds are cheap: fewer, and one more for so
# many atoms.
_FEW, _ATOMS_PER_JOINER = 8, 128
# Where entries are missing there is room for multiples of so many atoms: more takes no time where
# it is not used, and copies do.
_ROOM = 64
# Elements of all Gram blocks together.
_BLOCK_LIMIT = 1 << 26


@dataclass
class _WorkingSets:
    """The working set of every sample: its atoms, their codes, their Gram block.

    Parameters
    ----------
    atoms, z : ndarray of shape (n_samples, width)
    sizes, known : ndarray of shape (n_samples,)
        Atoms in use, and how many of them the Gram block covers.
    blocks : ndarray of shape (n_samples, width, width)
    """

    atoms: np.ndarray
    z: np.ndarray
    sizes: np.ndarray
    known: np.ndarray
    blocks: np.ndarray

    @classmethod
    def of(cls, codes: Tensor) -> _WorkingSets:
        """Working sets that hold the non-zeros of codes."""
        sizes = (codes != 0).sum(dim=1).numpy()
        atoms = codes.abs().topk(int(sizes.max()), dim=1).indices
        z, known = codes.gather(1, atoms).numpy(), np.zeros_like(sizes)
        blocks = np.empty((len(codes), 0, 0), z.dtype)
        return cls(atoms.numpy(), z, sizes, known, blocks)

    def make_room(self, rows: np.ndarray, batch: int, multiple: int) -> bool:
        """Widen the arrays for ``batch`` more atoms in ``rows``, to a ``multiple``; False if they
        would be too large."""
        needed, width = self.sizes[rows].max() + batch, self.blocks.shape[1]
        if needed <= width:
            return True
        wider = -(-(needed + needed // 2) // multiple) * multiple
        if len(rows) > 1 and len(self.blocks) * wider**2 > _BLOCK_LIMIT:
            return False
        added = [(0, 0), (0, wider - self.atoms.shape[1])]
        self.atoms, self.z = np.pad(self.atoms, added), np.pad(self.z, added)
        blocks = np.empty((len(self.blocks), wider, wider), self.z.dtype)
        blocks[:, :width, :width] = self.blocks
        self.blocks = blocks
        return True

    def store(self, rows: np.ndarray, codes: Tensor) -> None:
        """Write the working sets' codes into the rows of ``codes``."""
        dense = codes.numpy()
        for i in rows:
            size = self.sizes[i]
            dense[i] = 0
            dense[i, self.atoms[i, :size]] = self.z[i, :size]


def solve_factored(
    X: Tensor,
    problem: Problem,
    alpha: Tensor,
    tol: float,
    max_iter: int,
    codes: Tensor,
    n_jobs: int,
) -> tuple[Tensor, Tensor]:
    """Solve in place from the start in ``codes``; the rounds spent on each sample and the gaps."""
    rounds = _Rounds(X, problem, alpha, tol, max_iter, codes, n_jobs)
    while len(rounds.left):
        if not rounds.sets.make_room(rounds.left, rounds.batch, rounds.multiple):
            rounds.solve_in_halves(codes)
            break
        rounds.advance(codes)
    return rounds.n_iter, rounds.gaps


class _Rounds:
    """The samples of a block, and those that are ``left`` to solve with their correlations."""

    def __init__(
        self,
        X: Tensor,
        problem: Problem,
        alpha: Tensor,
        tol: float,
        max_iter: int,
        codes: Tensor,
        n_jobs: int,
    ) -> None:
        self.X, self.problem, self.alpha = X, problem, alpha
        self.tol, self.max_iter, self.n_jobs = tol, max_iter, n_jobs
        self.n_iter = torch.zeros(len(X), dtype=torch.int64)
        self.gaps = torch.zeros(len(X), dtype=torch.float64)
        self.correlate = Correlations(problem.atoms, len(X))
        correlations, errors = self.correlate(X, alpha)
        silent = is_silent(correlations, alpha - errors, problem.positive)
        codes[silent] = 0
        self.sets = _WorkingSets.of(codes)
        self.residuals = X.clone()
        if has_codes(codes):
            self.residuals -= observed(codes @ problem.atoms, problem.mask)
            correlations, errors = self.correlate(self.residuals, alpha)
        self.batch, self.multiple = _BATCH, 1
        if problem.mask is not None:
            self.multiple = _ROOM
            self.batch = min(_BATCH, _FEW + len(problem.atoms) // _ATOMS_PER_JOINER)
        seen = X[:, :0] if problem.mask is None else problem.mask
        self.seen = seen.contiguous().numpy()
        self.progress = np.empty((len(X), 4))
        start(X.contiguous().numpy(), tol, self.progress)
        self.done = silent.numpy().copy()
        self.left = np.flatnonzero(~self.done)
        self.correlations, self.errors = correlations[self.left], errors[self.left]

    def advance(self, codes: Tensor) -> None:
        """One round; the codes of those that are done are stored."""
        left, sets, correlations, errors = self.left, self.sets, self.correlations, self.errors
        dictionary = self.problem.atoms.contiguous().numpy()
        options = self.problem.positive, self.tol, self.max_iter, self.batch
        tensors = self.X, self.alpha, self.n_iter, self.gaps, self.residuals
        by_row = [tensor.contiguous().numpy() for tensor in tensors]
        by_row += [self.seen, self.done, self.progress, sets.atoms, sets.z, sets.sizes, sets.known]

        def advance_rows(part: slice) -> None:
            c, e = correlations[part].numpy(), errors[part].numpy()
            advance(left[part], c, e, dictionary, *options, *by_row, sets.blocks)

        run_in_threads(advance_rows, len(left), self.n_jobs)
        sets.store(left[self.done[left]], codes)
        self.left = left = left[~self.done[left]]
        self.correlations, self.errors = self.correlate(self.residuals[left], self.alpha[left])

    def solve_in_halves(self, codes: Tensor) -> None:
        """Solve those that are left from where they are, half of them at a time."""
        self.sets.store(self.left, codes)
        for part in np.array_split(self.left, 2):
            part_codes, problem = codes[part], self.problem.of(part)
            steps, self.gaps[part] = solve_factored(
                self.X[part], problem, self.alpha[part], self.tol, self.max_iter, part_codes,
                self.n_jobs,
            )  # fmt: skip
            codes[part] = part_codes
            self.n_iter[part] += steps
