"""Exchange: local search over supports, one atom for another while that lowers the residual.

With the support S of a sample, H = G_SS^-1 and B = H G_S, where G = D D^T, putting atom j in the
place of atom i of the support changes the squared residual by

    - (c_j + z_i B_ij / H_ii)^2 / (l_j + B_ij^2 / H_ii) + z_i^2 / H_ii

with z = H D_S x, c_j = <d_j, r> and l_j the squared length that the support leaves of atom j. A
place that is free has z_i = B_ij = 0: it is filled as `ORMP` fills it. All k n_components
exchanges are looked at, and the best is made, until none is left. Where codes must be >= 0 the
formula is the most that an exchange can win, so the best few are tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .._engine import resolve_n_jobs
from .._threads import run_in_threads
from ._base import Compiled, Problem
from ._beam import beam_search
from ._exchange_torch import exchange
from ._iht import keep_largest
from ._ksparse import DEPENDENT, KSparseSolver, sum_of_rows
from ._least_squares import refit_large
from ._omp import ORMP
from ._pursuit import squared_norm

# Exchanges of a sample that are tried, the most promising first, before it is done; one where signs
# do not matter.
_TRIES = 32


@dataclass(frozen=True)
class Exchange(Compiled, KSparseSolver):
    """Local search over supports: exchange one atom for another while that lowers the residual.

    Choose it for the best k-sparse codes that large problems allow: from the codes of `ORMP`, or
    of an encoder, to codes that no exchange of a single atom improves (with ``positive``, none of
    the 32 most promising). A sample costs its start, n_nonzero_coefs^2 n_components multiplications
    and a few n_nonzero_coefs n_components for every exchange. Every exchange lowers the residual,
    so none comes twice.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample; None for a tenth of the features.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels on the CPU, which need the Gram matrix, or torch. "auto" takes numba where
        it is installed and the data are on the CPU.
    n_jobs : int, default=None
        Threads of the compiled kernels; None or -1 for as many as torch uses.
    max_iter : int, default=100
        Most exchanges of a sample.
    beam_width : int, default=1
        Supports that samples without a start begin from. Above 1 they are those of a beam search:
        each time an atom joins, the so many best are kept; the best end wins. Worth its time where
        the non-zeros are few: a step costs ``beam_width`` times one of `ORMP` and more, in torch.

    References
    ----------
    P. Jain, A. Tewari and I. Dhillon, Orthogonal matching pursuit with replacement, 2011; H.
    Hazimeh and R. Mazumder, Fast best subset selection: coordinate descent and local combinatorial
    optimization algorithms, 2020 (L0Learn, where exchanges are swaps); A. Miller, Subset selection
    in regression, 2002, section 3.8.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import Exchange
    >>> X, encoded = torch.tensor([[3.0, 0.5]]), torch.tensor([[0.0, 0.1]])
    >>> Exchange(n_nonzero_coefs=1).solve(X, torch.eye(2), positive=True, init=encoded).codes
    tensor([[3., 0.]])
    """

    _block_size: ClassVar[float] = 0.5
    max_iter: int = 100
    beam_width: int = 1

    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:
        return len(dictionary) <= min(4 * n_samples + 2048, 1 << 14)

    def _engine_for(self, problem: Problem) -> str:
        engine = super()._engine_for(problem)
        return "torch" if problem.gram is None else engine

    def _pursue_block(
        self,
        X: Tensor,
        problem: Problem,
        k: int,
        enough: Tensor,
        codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        codes.copy_(keep_largest(codes, k, problem.positive))
        n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        residual = torch.full((len(X),), torch.inf, dtype=torch.float64, device=X.device)
        bare = (codes == 0).all(dim=1)
        for rows in (bare.nonzero()[:, 0], (~bare).nonzero()[:, 0]):
            if not len(rows):
                continue
            data, start = X[rows], codes[rows]
            starts = self._starts(data, problem, k, enough) if bare[rows[0]] else [start]
            for start in starts:
                steps, left = self._improve(data, problem, k, start)
                n_iter[rows] += steps
                better = left < residual[rows]
                codes[rows[better]], residual[rows[better]] = start[better], left[better]
        return n_iter, residual

    def _starts(self, X: Tensor, problem: Problem, k: int, enough: Tensor) -> list[Tensor]:
        """Codes to begin from where none are given."""
        if self.beam_width > 1:
            return list(beam_search(X, problem, k, self.beam_width))
        codes = X.new_zeros(len(X), len(problem.atoms))
        ORMP(k, engine=self.engine, n_jobs=self.n_jobs)._pursue_block(
            X, problem, k, enough[: len(X)], codes
        )
        return [codes]

    def _improve(self, X: Tensor, problem: Problem, k: int, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange atoms of codes in place; how often, and ||x - z D||^2 in float64."""
        start, tries = codes.clone(), _TRIES if problem.positive else 1
        least = DEPENDENT * torch.finfo(X.dtype).eps * squared_norm(X)
        if self._engine_for(problem) == "numba":
            n_iter = self._exchange_compiled(X, problem, k, tries, least, codes)
        else:
            n_iter = exchange(X, problem, k, self.max_iter, tries, least, codes)
        before, after = (_residual(X, problem, k, z) for z in (start, codes))
        refit_large(X, problem, k, codes, after)
        worse = ~(after <= before)
        codes[worse] = start[worse]
        return n_iter, torch.where(worse, before, after)

    def _exchange_compiled(
        self, X: Tensor, problem: Problem, k: int, tries: int, least: Tensor, codes: Tensor
    ) -> Tensor:
        from ._exchange_numba import exchange

        n_iter = torch.zeros(len(X), dtype=torch.int64)
        assert problem.gram is not None  # or the engine were torch
        gram, cov = problem.gram.contiguous().numpy(), (X @ problem.atoms.T).numpy()
        by_row = cov, least.numpy(), codes.numpy(), n_iter.numpy()
        run_in_threads(
            lambda rows: exchange(
                gram, k, problem.positive, self.max_iter, tries, *(a[rows] for a in by_row)
            ),
            len(X),
            resolve_n_jobs(self.n_jobs),
        )
        return n_iter


def _residual(X: Tensor, problem: Problem, k: int, codes: Tensor) -> Tensor:
    """||x - z D||^2 of codes of at most k non-zeros, in float64."""
    support = codes.abs().topk(k, dim=1).indices
    exact = problem.exact_dictionary
    return squared_norm(X.double() - sum_of_rows(exact, support, codes.gather(1, support).double()))
