"""What the solvers of the lasso share: the space they solve in, the certificate, the last digits.

min_z  1/2 ||x - z D||^2 + alpha ||z||_1      (z >= 0 where positive)
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ._base import Problem, Solver, SolverResult
from ._certificate import certified_gap, span_of_atoms
from ._polish import polish

# A gap of this many roundings of ||x||^2 is one that descent may be unable to close.
_STUCK = 64


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

    Examples
    --------
    >>> from skamort.solvers import SOLVERS, LassoSolver
    >>> [name for name, solver in SOLVERS.items() if issubclass(solver, LassoSolver)]
    ['adam', 'cd', 'fista', 'lca']
    """

    is_k_sparse: ClassVar[bool] = False
    max_iter: int = 1000
    tol: float = 1e-4

    def _basis(self, dictionary: Tensor) -> Tensor | None:
        return span_of_atoms(dictionary)

    def _solve_scaled(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        weight = alpha.clamp(max=torch.finfo(X.dtype).max).to(X.dtype)
        inside = X if problem.basis is None else X @ problem.basis
        n_iter, gap = self._solve_block(inside, problem, weight, codes)
        if gap is None or problem.basis is not None:
            gap = certified_gap(X, codes, problem.exact_dictionary, weight, problem.positive)
        energy = X.double().square().sum(dim=1)
        limit = self.tol * 0.5 * energy
        stuck = (gap > limit) & (gap <= _STUCK * torch.finfo(X.dtype).eps * energy)
        if stuck.any():
            start = codes[stuck], gap[stuck]
            codes[stuck], gap[stuck] = polish(
                X[stuck], problem.dictionary, weight[stuck], problem.positive, *start
            )
        return n_iter, gap, gap <= limit

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
