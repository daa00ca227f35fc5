"""Branch and bound: the best k-sparse codes, proven.

Supports grow one atom at a time, in an order in which every support is met once. Of a support S all
that it makes with one atom more are looked at together,

    ||x - z D||^2  falls by  c_j^2 / l_j,     c_j = <d_j, r>,  l_j = ||d_j - P_S d_j||^2,

so that the last atom costs no branch. Below S only atoms A that come later are added, and no codes
there leave less than least squares on all of S and A does: where that is no less than the best
codes known leave, all below S is done with (Furnival and Wilson's leaps and bounds). With fewer
atoms than features it cuts off most; with more, it is 0 until few are left, and the search looks
at nearly all supports of k - 1 atoms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from .._engine import resolve_n_jobs
from .._threads import run_in_threads
from ._base import Compiled, Problem, SolverResult
from ._exchange import Exchange
from ._ksparse import KSparseSolver, refit
from ._pursuit import squared_norm
from ._supports_search import search

# Of the beam search that gives the codes to beat.
_BEAMS = 8


@dataclass(frozen=True)
class BranchAndBound(Compiled, KSparseSolver):
    """The best k-sparse codes of small problems, proven, by a search of all supports.

    Choose it to know what other solvers miss, or for problems of few atoms and non-zeros. A sample
    of 64 atoms and 6 non-zeros, more atoms than features, costs 8 million supports, of 16 atoms and
    3 non-zeros 137. A code that leaves nothing, or no more than least squares on all atoms, ends
    its search at once.

    The result has a ``gap`` and is ``converged`` where that is 0: half the squared residual is at
    most so much above that of the best codes.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample; None for a tenth of the features.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels on the CPU, or torch, which looks at all supports. "auto" takes numba where
        it is installed and the data are on the CPU.
    n_jobs : int, default=None
        Threads of the compiled kernels; None or -1 for as many as torch uses.
    node_limit : int, default=10_000_000
        Most supports that the search of a sample extends. Where it ends so, the best codes found
        are returned with a gap above 0.

    References
    ----------
    G. Furnival and R. Wilson, Regressions by leaps and bounds, 1974.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import BranchAndBound
    >>> dictionary = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> BranchAndBound(1).solve(torch.tensor([[1.2, 1.6]]), dictionary, positive=True).codes
    tensor([[0., 0., 2.]])
    """

    _block_size: ClassVar[float] = 0.5
    node_limit: int = 10_000_000

    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:  # noqa: ARG002
        return True

    def _solve_scaled(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, residual, _ = super()._solve_scaled(X, problem, alpha, codes)
        run = self._search_compiled if self._engine_for(problem) == "numba" else search
        n_iter, bound, support = run(
            X, problem, self._limit(problem.atoms), self.node_limit, residual
        )
        rows = (support[:, 0] >= 0).nonzero()[:, 0]
        _adopt(rows, *_solve_on(X[rows], problem, support[rows]), codes, residual)
        gap = 0.5 * (residual - bound).clamp(min=0)
        return n_iter, gap, gap == 0

    def _pursue_block(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The codes to beat: those of exchanges, from beams and from what is given."""
        given, local = codes.clone(), Exchange(k, self.engine, self.n_jobs, beam_width=_BEAMS)
        n_iter, residual = local._pursue_block(X, problem, k, enough, codes.zero_())
        rows = (given != 0).any(dim=1).nonzero()[:, 0]
        if len(rows):
            found = given[rows]
            left = local._pursue_block(X[rows], problem, k, enough[rows], found)[1]
            _adopt(rows, found, left, codes, residual)
        return n_iter, residual

    def _search_compiled(
        self, X: Tensor, problem: Problem, k: int, node_limit: int, residual: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        from ._supports_search_numba import search

        atoms, data = problem.exact_dictionary, X.double()
        n_iter, bound = torch.zeros(len(X), dtype=torch.int64), torch.zeros_like(residual)
        support = torch.full((len(X), k), -1)
        gram = (atoms @ atoms.T).numpy()
        cov = data @ atoms.T
        orders = (-cov if problem.positive else -cov.abs()).argsort(dim=1, stable=True)
        arrays = cov, orders, squared_norm(X), residual, n_iter, bound, support
        by_row = [a.numpy() for a in arrays]
        run_in_threads(
            lambda rows: search(gram, k, problem.positive, node_limit, *(a[rows] for a in by_row)),
            len(X),
            resolve_n_jobs(self.n_jobs),
        )
        return n_iter, bound, support

    def _report(
        self, codes: Tensor, error: Tensor, n_iter: Tensor, converged: Tensor, engine: str
    ) -> SolverResult:
        return SolverResult(codes, error, n_iter, converged, None, engine)

    def _look_again(
        self,
        result: SolverResult,
        X: Tensor,
        dictionary: Tensor,
        alpha: Tensor,  # noqa: ARG002  (it has no penalty)
        positive: bool,  # noqa: ARG002
        mask: Tensor | None,  # noqa: ARG002  (samples are solved mask by mask)
    ) -> SolverResult:
        left = X.double() - result.codes.double() @ dictionary.double()
        return replace(result, residual=squared_norm(left))


def _solve_on(X: Tensor, problem: Problem, support: Tensor) -> tuple[Tensor, Tensor]:
    """Codes on supports that are -1 beyond their size, and ||x - z D||^2 in float64."""
    active, support = support >= 0, support.clamp(min=0)
    z, _ = refit(problem.atoms[support], X, active.to(X.dtype), active, problem.positive)
    codes = X.new_zeros(len(X), len(problem.atoms)).scatter_add_(1, support, z)
    return codes, squared_norm(X.double() - codes.double() @ problem.exact_dictionary)


def _adopt(rows: Tensor, found: Tensor, left: Tensor, codes: Tensor, residual: Tensor) -> None:
    """Put what was found for some of the samples in the place of what leaves more."""
    wins = left < residual[rows]
    codes[rows[wins]], residual[rows[wins]] = found[wins], left[wins]
