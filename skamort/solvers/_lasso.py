"""What the solvers of the lasso share: the space they solve in, the certificate, the last digits.

min_z  1/2 ||x - z D||^2 + alpha ||z||_1      (z >= 0 where positive)
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from ._base import Problem, Solver, SolverResult
from ._blocks import row_blocks
from ._certificate import certify, objective, span_of_atoms
from ._polish import polish
from ._safeguard import keep_better, round_exact, shrink_start
from ._scale import has_codes, magnitude, power_of_four

# A gap of this many roundings of ||x||^2 is one that descent may be unable to close.
_STUCK = 64
# Blocks of samples that are solved again in float64 at a time, for which the dictionary is prepared
# anew, and beside which there must be room for all codes.
_EXACT_BLOCKS = 8


@dataclass(frozen=True)
class LassoSolver(Solver):
    """Base of the solvers of 1/2 ||x - z D||^2 + alpha ||z||_1 over codes z, for samples x.

    A subclass provides `_solve_block`, and gets the scaling of the problem, warm starts, blocks of
    samples, the certificate and the last digits.

    Parameters
    ----------
    max_iter : int, default=1000
        Maximum number of iterations a sample.
    tol : float, default=1e-4
        Duality gap at which a sample is solved, relative to ``1/2 ||x||^2``.
    is_guarded : bool, default=True
        Whether codes are made no worse than zero or their start whatever happens, and float32
        samples that miss `tol` are solved again in float64. Inside a loop that comes back to them
        codes need no such care, which takes time.

    Examples
    --------
    >>> from skamort.solvers import SOLVERS, LassoSolver
    >>> [name for name, solver in SOLVERS.items() if issubclass(solver, LassoSolver)]
    ['adam', 'cd', 'fista', 'lca']
    """

    is_k_sparse: ClassVar[bool] = False
    max_iter: int = 1000
    tol: float = 1e-4
    is_guarded: bool = field(default=True, kw_only=True)

    def _basis(self, dictionary: Tensor) -> Tensor | None:
        return span_of_atoms(dictionary)

    def _solve_scaled(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        weight = alpha.clamp(max=torch.finfo(X.dtype).max).to(X.dtype)
        start = self._start(X, problem, weight, codes) if self.is_guarded else None
        inside = X if problem.basis is None else X @ problem.basis
        n_iter, gap = self._solve_block(inside, problem, weight, codes)
        energy = X.double().square().sum(dim=1)
        limit, value = self.tol * 0.5 * energy, None
        # Descent of a compiled solver that has met the tolerance is beyond doubt.
        doubtful = gap is None or not (gap <= limit).all()
        if gap is None or problem.basis is not None or not weight.all():
            exact = problem.exact_dictionary
            gap, value = certify(X, codes, exact, weight, problem.positive, problem.mask)
        if doubtful and self.is_guarded:
            if value is None:
                value = objective(X, codes, problem.exact_dictionary, weight, problem.mask)
            keep_better(X, problem, weight, start, codes, gap, value)
        stuck = (gap > limit) & (gap <= _STUCK * torch.finfo(X.dtype).eps * energy)
        if stuck.any():
            rough = codes[stuck], gap[stuck]
            codes[stuck], gap[stuck] = polish(
                X[stuck], problem.dictionary, weight[stuck], problem.positive, *rough,
                problem.of(stuck).mask,
            )  # fmt: skip
        return n_iter, gap, gap <= limit

    def _unit(self, dictionary: Tensor, alpha: Tensor) -> Tensor:
        # Where codes cost nothing, atoms have any length.
        largest = magnitude(dictionary)
        return power_of_four(largest.amax() if alpha.any() else largest)

    def _look_again(
        self,
        result: SolverResult,
        X: Tensor,
        dictionary: Tensor,
        alpha: Tensor,
        positive: bool,
        mask: Tensor | None,
    ) -> SolverResult:
        left = (~result.converged).nonzero()[:, 0]
        if not self.is_guarded or X.dtype == torch.float64 or not len(left):
            return result
        atoms = dictionary.double()
        for part in row_blocks(left, max(dictionary.shape), times=_EXACT_BLOCKS):
            rows = left[part]
            x, weight, start = X[rows].double(), alpha[rows], result.codes[rows].double()
            seen = None if mask is None else mask[rows]
            exact = self._solve_together(x, atoms, weight, positive, start, seen)
            round_exact(result, exact, rows, x, atoms, weight, self.tol, seen)
        return result

    def _start(self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor) -> Tensor | None:
        """Make the codes to start from no worse than zero, and copy them; None where all are 0."""
        if not has_codes(codes):
            return None
        shrink_start(X, problem.dictionary, alpha, codes, problem.mask)
        return codes.clone()

    def _report(
        self, codes: Tensor, error: Tensor, n_iter: Tensor, converged: Tensor, engine: str
    ) -> SolverResult:
        return SolverResult(codes, error, n_iter, converged, engine=engine)

    @abstractmethod
    def _solve_block(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Solve a block of samples in place: ``codes`` holds the start and receives the solution.

        ``X`` is in the space of ``problem.atoms``. Returns the iterations, and the duality gaps in
        float64 where the solver has them.
        """
