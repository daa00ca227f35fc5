"""What the pursuits share: an atom a step, so they can stop where the residual is small enough."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import Problem
from ._keep_start import keep_start
from ._ksparse import DEPENDENT, KSparseSolver
from ._scale import has_codes

# Steps of the first round, and by how much a round has more than the last. Most samples need few:
# time and memory go by the one that needs most.
_FIRST_STEPS, _GROWTH = 16, 4


@dataclass(frozen=True)
class Pursuit(KSparseSolver):
    """Base of the k-sparse solvers that begin at zero and take an atom a step.

    Codes to start from are what those found must not be worse than.

    A subclass provides `_pursue_steps`, and gets a tolerance beside the number of non-zeros.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample. None: a tenth of the features, at least one; with
        ``residual_tol``, as many as it takes.
    residual_tol : float, default=None
        A sample is done where ||x - z D||^2 is at most this; None: only the number of non-zeros
        counts.
    """

    residual_tol: float | None = None

    def _limit(self, dictionary: Tensor) -> int:
        if self.n_nonzero_coefs is None and self.residual_tol is not None:
            return len(dictionary)
        return super()._limit(dictionary)

    def _scaled_weight(self, alpha: Tensor, size: Tensor, unit: Tensor) -> Tensor:  # noqa: ARG002
        """The squared residual that is enough for a sample, in place of an L1 penalty."""
        tol = -torch.inf if self.residual_tol is None else self.residual_tol
        return torch.full_like(alpha, tol) / size / size

    def _solve_scaled(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        n_iter, residual, done = super()._solve_scaled(X, problem, alpha, codes)
        return n_iter, residual, done if self.residual_tol is None else residual <= alpha

    def _pursue_block(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        start = codes.clone() if has_codes(codes) else None
        n_iter, residual = self._pursue(X, problem, k, enough, codes.zero_())
        if start is not None:
            n_threads = self._n_threads(problem)
            keep_start(X, problem, k, start, codes, residual, n_threads, enough)
        return n_iter, residual

    def _pursue(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`_pursue_block` from zero."""
        if self.residual_tol is None:
            return self._pursue_steps(X, problem, k, None, codes)
        steps = min(k, _FIRST_STEPS)
        n_iter, residual = self._pursue_steps(X, problem, steps, enough, codes)
        while steps < k and (left := (residual > enough).nonzero()[:, 0]).numel():
            steps = min(k, _GROWTH * steps)
            found = torch.zeros_like(codes[left])
            n_iter[left], residual[left] = self._pursue_steps(
                X[left], problem.of(left), steps, enough[left], found
            )
            codes[left] = found
        return n_iter, residual

    @abstractmethod
    def _pursue_steps(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor | None, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Find codes of a block in place, from zero, of at most k non-zeros.

        A sample is done where its squared residual is ``enough``, of shape (n_samples,), float64;
        None: no residual is. Returns the iterations, and ||x - z D||^2 in float64.
        """


def squared_norm(residual: Tensor) -> Tensor:
    """||r||^2 of every row, float64."""
    return residual.double().square().sum(dim=1)


def least_left(norms: Tensor) -> Tensor:
    """What is at most left, by rounding, of atoms with these squared norms that depend on the
    support; above 0."""
    eps, tiny = torch.finfo(norms.dtype).eps, torch.finfo(norms.dtype).tiny
    return (DEPENDENT * eps * norms).clamp(min=tiny)


def leave_out(c: Tensor, hidden: Tensor | None, atoms: Tensor, rows: Tensor) -> Tensor:
    """Take an atom of some samples that depends on their supports out of their correlations; return
    what is taken out in all."""
    hidden = torch.zeros_like(c, dtype=torch.bool) if hidden is None else hidden
    hidden[rows, atoms[rows]] = True
    c.masked_fill_(hidden, 0)
    return hidden


def any_of(*conditions: Tensor) -> list[bool]:
    """Whether each holds for any sample, asked for at once: on a GPU every question is a wait."""
    return torch.stack([condition.any() for condition in conditions]).tolist()
