"""What the k-sparse solvers share: at most k non-zeros a sample instead of an L1 penalty.

    min_z  1/2 ||x - z D||^2     with at most k non-zeros in z      (z >= 0 where positive)

The problem is combinatorial, so every solver but branch and bound is a heuristic and has no gap;
the residual is reported.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from ._base import Problem, Solver, SolverResult
from ._scale import check_range, magnitude, row_norms

# What is left of an atom that depends on the support is this many roundings at most.
DEPENDENT = 64
# Norms that differ by less are one.
_EVEN = 1e-3


@dataclass(frozen=True)
class KSparseSolver(Solver):
    """Base of the solvers that find codes with few non-zeros, for every sample of a batch.

    A subclass provides `_pursue_block`, and gets the scaling of the problem, warm starts, blocks of
    samples and the residual. It chooses among atoms of one norm: others are divided by theirs, for
    a long atom correlates with much that a short one explains better.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample. None: a tenth of the features, at least one.

    Examples
    --------
    >>> from skamort.solvers import SOLVERS, KSparseSolver
    >>> [name for name, solver in SOLVERS.items() if issubclass(solver, KSparseSolver)]
    ['exact', 'exchange', 'gomp', 'gradient_pursuit', 'iht', 'mp', 'omp', 'ormp', 'topk_refined']
    """

    is_k_sparse: ClassVar[bool] = True
    _block_size: ClassVar[float] = 0.5
    n_nonzero_coefs: int | None = None

    def _solve_together(
        self,
        X: Tensor,
        dictionary: Tensor,
        alpha: Tensor,
        positive: bool,
        init: Tensor | None,
        mask: Tensor | None = None,
        *,
        gram: Tensor | None = None,
    ) -> SolverResult:
        solve, norms = super()._solve_together, row_norms(dictionary)
        # Under a mask every sample has norms of its own, see `observed_lengths`.
        if mask is not None or not norms.amax() > (1 + _EVEN) * norms.amin():
            return solve(X, dictionary, alpha, positive, init, mask, gram=gram)
        start = None if init is None else init * norms
        result = solve(X, dictionary / norms[:, None], alpha, positive, start)
        codes, size = result.codes / norms, magnitude(result.codes)
        what = f"{type(self).__name__}: codes"
        check_range(what, result.codes, codes, size, bool((norms > 1).any()))
        return replace(result, codes=codes)

    def _limit(self, dictionary: Tensor) -> int:
        """Most non-zeros of a sample."""
        n_components, n_features = dictionary.shape
        return min(self.n_nonzero_coefs or max(n_features // 10, 1), n_components)

    def _with_limits_of(self, dictionary: Tensor) -> KSparseSolver:
        return replace(self, n_nonzero_coefs=self._limit(dictionary))

    def _solve_scaled(
        self,
        X: Tensor,
        problem: Problem,
        alpha: Tensor,
        codes: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        k = self._limit(problem.atoms)
        n_iter, residual = self._pursue_block(X, problem, k, alpha, codes)
        energy = torch.linalg.vector_norm(X, dim=1, dtype=torch.float64).square()
        worse = ~(residual <= energy)
        if worse.any():
            codes[worse], residual[worse] = 0, energy[worse]
        return n_iter, residual, torch.ones(len(X), dtype=torch.bool, device=X.device)

    def _report(
        self, codes: Tensor, error: Tensor, n_iter: Tensor, converged: Tensor, engine: str
    ) -> SolverResult:
        no_gap = torch.full_like(error, torch.nan)
        return SolverResult(codes, no_gap, n_iter, converged, error, engine)

    @abstractmethod
    def _pursue_block(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Find codes of a block in place: ``codes`` holds the start.

        ``enough`` is the squared residual where a pursuit stops. Returns the iterations, and
        ||x - z D||^2 in float64.
        """


def observed_lengths(problem: Problem) -> Tensor | float:
    """Norms of what each sample observes of the atoms, for a choice among atoms of one norm; 1
    where samples observe all."""
    if problem.mask is None:
        return 1.0
    return problem.squared_norms().sqrt().clamp(min=torch.finfo(problem.atoms.dtype).tiny)


def sum_of_rows(matrix: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """For every sample, the sum of weights[i] matrix[indices[i]], without a copy of these rows."""
    weights = weights.contiguous()
    return embedding_bag(indices.contiguous(), matrix, per_sample_weights=weights, mode="sum")


def refit(
    atoms: Tensor, X: Tensor, start: Tensor, active: Tensor, positive: bool
) -> tuple[Tensor, Tensor]:
    """Least squares on each sample's own atoms.

    Where positive, coefficients that would become negative are dropped on the way from ``start``,
    as in the inner loop of Lawson and Hanson's NNLS.

    Parameters
    ----------
    atoms : Tensor of shape (n_samples, size, n_features)
        The support of each sample.
    X : Tensor of shape (n_samples, n_features)
        Data.
    start : Tensor of shape (n_samples, size)
        Coefficients to come from, >= 0 where positive.
    active : Tensor of shape (n_samples, size)
        Which atoms may be used, bool.
    positive : bool
        Whether coefficients must be >= 0.

    Returns
    -------
    coefficients : Tensor of shape (n_samples, size)
    active : Tensor of shape (n_samples, size)
        The atoms that are used.
    """
    full = torch.bmm(atoms, atoms.transpose(1, 2))
    target = torch.bmm(atoms, X[:, :, None])
    # A trace of ridge keeps dependent atoms solvable.
    jitter = 8 * torch.finfo(X.dtype).eps * full.diagonal(dim1=1, dim2=2)
    while True:
        both = active[:, :, None] & active[:, None, :]
        matrix = torch.where(both, full, 0)
        matrix = matrix + torch.diag_embed(torch.where(active, jitter, 1))
        factor = torch.linalg.cholesky_ex(matrix).L
        new = torch.cholesky_solve(target, factor)[:, :, 0]
        _mend(new, factor, matrix, atoms, active, X)
        negative = active & (new <= 0) if positive else torch.zeros_like(active)
        if not negative.any():
            return torch.where(active, new, 0), active
        ratio = torch.where(start > 0, start / (start - new), 0)
        limit = torch.where(negative, ratio, torch.inf)
        length = limit.amin(dim=1, keepdim=True).clamp(max=1)
        start = (start + length * (new - start)).clamp_(min=0)
        active = active & ~(negative & (limit <= length))


def _mend(
    z: Tensor, factor: Tensor, matrix: Tensor, atoms: Tensor, active: Tensor, X: Tensor
) -> None:
    """Solve again, in place, where the normal equations have lost half of the digits: nearly
    dependent atoms, of those that are ``active``."""
    eps = torch.finfo(X.dtype).eps
    pivots = factor.diagonal(dim1=1, dim2=2).square()
    lost = ~(pivots > eps**0.5 * matrix.diagonal(dim1=1, dim2=2)).all(dim=1)
    if lost.any():
        columns = (atoms[lost] * active[lost, :, None]).mT.double()
        x = X[lost, :, None].double()
        inverse = torch.linalg.pinv(columns, rtol=eps * max(columns.shape[1:]))
        found = (inverse @ x).to(X.dtype)
        errors = [
            (x - columns @ new.double()).square().sum(dim=1) for new in (found, z[lost, :, None])
        ]
        # What is large in float32 may be rounded too far.
        z[lost] = torch.where(errors[0] <= errors[1], found[:, :, 0], z[lost])
