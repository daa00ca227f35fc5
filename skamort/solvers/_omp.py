"""Orthogonal matching pursuit, plain and order-recursive.

One atom joins the support at a time; then all coefficients of the support are solved again, so that
the residual r = x - z D is orthogonal to it. The next atom is

    OMP    argmax |<d_j, r>|
    ORMP   argmax |<d_j, r>| / ||d_j - P d_j||        P projects on the span of the support

so ORMP takes the atom that lowers the residual most, which finds the exact support more often.
Where positive, only atoms with <d_j, r> > 0 join, and the coefficients are solved under z >= 0: an
atom whose coefficient would become negative leaves the support.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .._engine import resolve_engine, resolve_n_jobs
from .._threads import run_in_threads
from ._base import Compiled, Problem
from ._least_squares import refit_large
from ._omp_gram import pursue_by_gram
from ._omp_torch import pursue_positive, pursue_signed
from ._pursuit import Pursuit, least_left


@dataclass(frozen=True)
class OMP(Compiled, Pursuit):
    """Orthogonal matching pursuit: scikit-learn's ``orthogonal_mp`` for a batch.

    Choose it for a given number of non-zeros. A sample costs one product with the dictionary and,
    with the Gram matrix, n_nonzero_coefs^2 n_components / 2 multiplications; without, one product
    with the dictionary for each non-zero. The Gram matrix is computed for up to 2^14 atoms where
    samples are many.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample; None for a tenth of the features, or with ``residual_tol`` for
        as many as it takes. Fewer come out where the residual vanishes, or where no atom correlates
        with it.
    residual_tol : float, default=None
        A sample takes no more atoms where ||x - z D||^2 is at most this, as by ``tol`` of
        :func:`sklearn.linear_model.orthogonal_mp`. None: the number of non-zeros alone counts.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels on the CPU, or torch. "auto" takes numba where it is installed and the data
        are on the CPU.
    n_jobs : int, default=None
        Threads of the compiled kernels; None or -1 for as many as torch uses.

    References
    ----------
    Y. Pati, R. Rezaiifar and P. Krishnaprasad, Orthogonal matching pursuit, 1993; R. Rubinstein, M.
    Zibulevsky and M. Elad, Efficient implementation of the K-SVD algorithm using batch orthogonal
    matching pursuit, 2008.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import OMP
    >>> OMP(n_nonzero_coefs=1).solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), positive=False).codes
    tensor([[3., 0.]])
    """

    takes_masks: ClassVar[bool] = True
    _recursive: ClassVar[bool] = False

    def _limit(self, dictionary: Tensor) -> int:
        limit = super()._limit(dictionary)
        # After as many atoms as features no residual is left.
        return limit if self.n_nonzero_coefs else min(limit, dictionary.shape[1])

    def _engine_for(self, problem: Problem) -> str:
        engine = super()._engine_for(problem)
        # The kernels work on rows of the Gram matrix; those of a sample with entries missing they
        # compute.
        return "torch" if problem.gram is None and problem.mask is None else engine

    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:
        # Its kernels need it, up to a bound; torch can do with a product a non-zero instead.
        most = self._limit(dictionary) * n_samples
        if resolve_engine(self.engine, dictionary) == "numba":
            most = max(most, 4 * n_samples + 2048)
        return len(dictionary) <= min(most, 1 << 14)

    def _pursue_steps(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor | None, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self._engine_for(problem) == "numba":
            return self._pursue_compiled(X, problem, k, enough, codes)
        if problem.positive:
            return pursue_positive(X, problem, k, self._recursive, enough, codes)
        if problem.gram is None:
            return pursue_signed(X, problem, k, self._recursive, enough, codes)
        return pursue_by_gram(X, problem, problem.gram, k, self._recursive, enough, codes)

    def _pursue_compiled(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor | None, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        from ._omp_numba import pursue

        if enough is None:  # numba has no optional arrays
            enough = torch.full((len(X),), -torch.inf, dtype=torch.float64)
        n_iter = torch.zeros(len(X), dtype=torch.int64)
        residual = torch.zeros(len(X), dtype=torch.float64)
        atoms, gram = problem.atoms, problem.gram
        norms = problem.squared_norms() if gram is None else gram.diagonal()[None]
        table = atoms.T if gram is None else gram
        seen = X[:, :0] if problem.mask is None else problem.mask
        shared = [a.contiguous().numpy() for a in (atoms, table)]
        arrays = X, seen, problem.correlations(X), enough, codes, n_iter, residual
        by_row = [a.contiguous().numpy() for a in arrays]
        lengths = [a.contiguous().numpy() for a in (norms, least_left(norms))]
        options = k, problem.positive, self._recursive

        def pursue_rows(rows: slice) -> None:
            own = lengths if gram is not None else (a[rows] for a in lengths)
            pursue(*shared, *options, *(a[rows] for a in by_row), *own)

        run_in_threads(pursue_rows, len(X), resolve_n_jobs(self.n_jobs))
        return n_iter, residual


@dataclass(frozen=True)
class ORMP(OMP):
    """Order-recursive matching pursuit, or orthogonal least squares; what SPAMS calls OMP.

    Choose it over `OMP` where atoms are correlated: for nearly the same cost (twice in torch where
    positive) it finds the exact support more often.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        As for `OMP`.
    residual_tol : float, default=None
        As for `OMP`.
    engine : {"auto", "numba", "torch"}, default="auto"
        As for `OMP`.
    n_jobs : int, default=None
        As for `OMP`.

    References
    ----------
    S. Cotter, J. Adler, B. Rao and K. Kreutz-Delgado, Forward sequential algorithms for best basis
    selection, 1999.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import ORMP
    >>> ORMP(n_nonzero_coefs=1).solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), positive=True).codes
    tensor([[3., 0.]])
    """

    _recursive: ClassVar[bool] = True

    def _pursue_steps(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor | None, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        n_iter, residual = super()._pursue_steps(X, problem, k, enough, codes)
        refit_large(X, problem, k, codes, residual)
        return n_iter, residual
