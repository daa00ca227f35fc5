"""Coordinate descent on a working set: the solver for sparse codes on a CPU.

    z_j <- S(z_j + <d_j, r> / ||d_j||^2, alpha / ||d_j||^2)         r = x - z D, kept up to date

S soft-thresholds, or clips at 0 where positive. A sample visits only its working set: the atoms
whose correlation <d_j, r> has exceeded alpha so far, with their own small Gram matrix. The
correlations of all atoms are refreshed a few times a sample, when the working set has been solved;
the worst violators join it until the duality gap is small enough. Once the signs have settled, a
linear solve on the non-zeros replaces further sweeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .._engine import resolve_engine, resolve_n_jobs
from .._threads import run_in_threads
from ._base import Compiled, Problem
from ._blocks import row_blocks
from ._cd_torch import solve_block
from ._fista import FISTA
from ._lasso import LassoSolver

# Samples with entries missing have dictionaries small enough for a Gram block each: with fewer of
# them at a time, these take less of the time to come by memory.
_MASKED_BLOCKS, _LEAST_ROWS = 0.0625, 64


@dataclass(frozen=True)
class CoordinateDescent(Compiled, LassoSolver):
    """Coordinate descent on a growing working set, with a linear solve once the signs have settled.

    Choose it on a CPU, with numba installed, where it is the fastest solver for sparse codes, and
    on a GPU for large dictionaries, where a program of Triton solves each working set. On a CPU a
    sample costs one product with the dictionary, then a few passes (n_nonzero, n_components) over
    rows of the Gram matrix. Where that matrix would not pay, for more than 16,384 atoms or few
    samples, each of 3 to 5 rounds costs a product with the dictionary instead. Accuracy costs
    little: the last digits come from the linear solve. Codes have the same bits whether kernels are
    compiled or found on disk, and with zeros to start from as without; in other blocks, of which
    libraries round matrix products otherwise, a sample has the same codes to rounding.

    Parameters
    ----------
    max_iter : int, default=1000
        Most rounds of a sample: each solves the working set and refreshes the correlations. 3 to 6
        are usual.
    tol : float, default=1e-4
        A sample has converged when its duality gap is at most ``tol * 1/2 ||x||^2``.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels on the CPU, or torch. "auto" takes numba where it is installed and the data
        are on the CPU.
    n_jobs : int, default=None
        Threads of the compiled kernels; None or -1 for as many as torch uses.
    is_guarded : bool, default=True
        Whether codes are kept from being worse than zero or their start, and float32 samples that
        miss `tol` are solved again in float64.

    References
    ----------
    J. Friedman, T. Hastie and R. Tibshirani, Regularization paths for generalized linear models via
    coordinate descent, 2010; M. Massias et al., Celer: a fast solver for the lasso with dual
    extrapolation, 2018 (working sets); H. Lee et al., Efficient sparse coding algorithms, 2006 (the
    solve on the support).

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import CoordinateDescent
    >>> result = CoordinateDescent().solve(
    ...     torch.tensor([[3.0, 0.5]]), torch.eye(2), alpha=1.0, positive=True)
    >>> result.codes
    tensor([[2., 0.]])
    """

    takes_masks: ClassVar[bool] = True

    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:
        if resolve_engine(self.engine, dictionary) == "torch":  # whose last resort alone takes it
            return FISTA()._gram_pays(n_samples, dictionary)
        return len(dictionary) <= min(4 * n_samples + 2048, 1 << 14)

    def _solve_block(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        if self._engine_for(problem) == "torch":
            return solve_block(X, problem, alpha, self.tol, self.max_iter, codes), None
        n_jobs = resolve_n_jobs(self.n_jobs)
        if problem.gram is not None:
            return self._solve_with_gram(X, problem, problem.gram, alpha, codes, n_jobs)
        return self._solve_without_gram(X, problem, alpha, codes, n_jobs)

    def _solve_without_gram(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor, n_jobs: int
    ) -> tuple[Tensor, Tensor]:
        from ._cd_factored import solve_factored

        times = 1 if problem.mask is None else _MASKED_BLOCKS
        blocks = row_blocks(X, max(problem.dictionary.shape), times=times, least=_LEAST_ROWS)
        parts = [
            solve_factored(
                X[rows], problem.of(rows), alpha[rows], self.tol, self.max_iter, codes[rows], n_jobs
            )
            for rows in blocks
        ]
        n_iter, gaps = zip(*parts, strict=True)
        return torch.cat(n_iter), torch.cat(gaps)

    def _solve_with_gram(
        self, X: Tensor, problem: Problem, gram: Tensor, alpha: Tensor, codes: Tensor, n_jobs: int
    ) -> tuple[Tensor, Tensor]:
        from ._cd_gram_numba import solve_with_gram
        from ._correlations import Correlations

        n_iter = torch.zeros(len(X), dtype=torch.int64)
        gap = torch.zeros(len(X), dtype=torch.float64)
        cov, errors = Correlations(problem.atoms, len(X))(X, alpha)
        shared = [a.contiguous().numpy() for a in (problem.atoms, gram)]
        by_row = [a.contiguous().numpy() for a in (X, cov, errors, alpha, codes, n_iter, gap)]
        options = problem.positive, self.tol, self.max_iter

        def solve_rows(rows: slice) -> None:
            x, c, error, weight, z, steps, bound = (a[rows] for a in by_row)
            solve_with_gram(x, *shared, c, error, weight, *options, z, steps, bound)

        run_in_threads(solve_rows, len(X), n_jobs)
        return n_iter, gap
