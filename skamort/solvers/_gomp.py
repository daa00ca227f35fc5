"""Generalized orthogonal matching pursuit: several atoms a stage.

In each of T stages the k / T atoms that correlate most with the residual r = x - z D join the
support, and all its coefficients are solved again:

    S <- S + the k / T largest |<d_j, r>|      z_S = argmin 1/2 ||x - z_S D_S||^2

with <d_j, r> > 0 and z >= 0 where positive; atoms that the least squares drop make room for others
in the next stage. With an encoder's codes at hand the first stage takes their largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .._engine import resolve_engine
from .._threads import run_in_threads
from ._base import Compiled, Problem
from ._keep_start import keep_start
from ._ksparse import KSparseSolver, observed_lengths
from ._least_squares import Fit, least_squares
from ._scale import has_codes
from ._topk_refined import guided_scores


@dataclass(frozen=True)
class GOMP(Compiled, KSparseSolver):
    """Generalized orthogonal matching pursuit: several atoms a stage, `TopKRefined` to `OMP`.

    Choose it where one product with the dictionary for each non-zero is too much: on a GPU, with
    more atoms than a Gram matrix can have, or to improve an encoder's codes within a few times its
    cost. A stage costs a sample one product with the dictionary and a least squares on the atoms so
    far. For many samples on a CPU the Gram matrix, of up to 2^14 atoms, takes the place of all
    products but one. One stage is `TopKRefined`, and n_nonzero_coefs of them are `OMP`.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample; None for a tenth of the features.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels on the CPU, or torch. "auto" takes numba where it is installed and the data
        are on the CPU.
    n_jobs : int, default=None
        Threads of the compiled kernels; None or -1 for as many as torch uses.
    n_stages : int, default=4
        Stages, each of which adds n_nonzero_coefs / n_stages atoms, rounded; no more than
        n_nonzero_coefs.

    References
    ----------
    J. Wang, S. Kwon and B. Shim, Generalized orthogonal matching pursuit, 2012.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import GOMP
    >>> X = torch.tensor([[3.0, 0.5, 1.0]])
    >>> GOMP(n_nonzero_coefs=2, n_stages=1).solve(X, torch.eye(3), positive=False).codes
    tensor([[3., 0., 1.]])
    """

    n_stages: int = 4
    takes_masks: ClassVar[bool] = True

    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:
        # It costs as much as its rows of products with the dictionary, and saves one a stage.
        products = (min(self.n_stages, self._limit(dictionary)) - 1) * n_samples
        is_compiled = resolve_engine(self.engine, dictionary) == "numba"
        return is_compiled and len(dictionary) <= min(products, 1 << 14)

    def _pursue_block(
        self,
        X: Tensor,
        problem: Problem,
        k: int,
        enough: Tensor,  # noqa: ARG002  (the number of stages is given)
        codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        start = codes.clone() if has_codes(codes) else None
        n_iter, residual = self._pursue(X, problem, k, codes)
        if start is not None:
            keep_start(X, problem, k, start, codes, residual, self._n_threads(problem))
        return n_iter, residual

    def _pursue(self, X: Tensor, problem: Problem, k: int, codes: Tensor) -> tuple[Tensor, Tensor]:
        """`_pursue_block`, codes being those whose largest are the first stage."""
        if problem.gram is None or not self._n_threads(problem):
            return self._by_products(X, problem, k, codes)
        n_iter, residual = self._by_gram(X, problem, problem.gram, k, codes)
        left = (n_iter < 0).nonzero()[:, 0]
        if len(left):
            found = codes[left]
            n_iter[left], residual[left] = self._by_products(X[left], problem, k, found)
            codes[left] = found
        return n_iter, residual

    def _by_gram(
        self, X: Tensor, problem: Problem, gram: Tensor, k: int, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        from ._gomp_numba import pursue_stages

        n_iter = torch.zeros(len(X), dtype=torch.int64)
        residual = torch.zeros(len(X), dtype=torch.float64)
        norms = gram.diagonal().sqrt()
        shared = [a.contiguous().numpy() for a in (problem.atoms, gram, norms)]
        rows = X, problem.correlations(X), codes, n_iter, residual
        by_row = [a.contiguous().numpy() for a in rows]
        options = min(self.n_stages, k), k, problem.positive
        run_in_threads(
            lambda part: pursue_stages(*shared, *options, *(a[part] for a in by_row)),
            len(X),
            self._n_threads(problem),
        )
        return n_iter, residual

    def _by_products(
        self, X: Tensor, problem: Problem, k: int, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        scores, guided = guided_scores(X, problem, codes)
        # Correlations that are no more than rounding; an encoder may mean small codes.
        noise = 4 * torch.finfo(X.dtype).eps * X.norm(dim=1, keepdim=True)
        floor = torch.where(guided, 0, noise)
        n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        fit, norms = _nothing(X), problem.squared_norms().sqrt() / observed_lengths(problem)
        support = fit.active.long()
        n_stages, threads = min(self.n_stages, k), self._n_threads(problem)
        for stage in range(n_stages):
            if stage:
                scores, floor = _scores(problem, support, fit), noise
            size = k * (stage + 1) // n_stages
            asked, joined = _join(scores, floor * norms, support, fit, size)
            if not joined.any():
                break
            fit, support = least_squares(X, problem, *asked, threads), asked[0]
            n_iter += joined
        codes.zero_().scatter_add_(1, support, fit.z)
        return n_iter, fit.error


def _nothing(X: Tensor) -> Fit:
    """The least squares on no atoms."""
    z, error = X.new_zeros(len(X), 0), X.double().square().sum(dim=1)
    return Fit(z, z.bool(), X, error, torch.zeros_like(error).long())


def _scores(problem: Problem, support: Tensor, fit: Fit) -> Tensor:
    """How much each atom is wanted: what correlates with the residual, and is not yet used."""
    c = problem.correlations(fit.residual) / observed_lengths(problem)
    scores = c.clamp_(min=0) if problem.positive else c.abs_()
    # A place that is not used may name an atom that is used at another.
    limit = torch.where(fit.active, 0, torch.inf).to(scores.dtype)
    return scores.scatter_reduce_(1, support, limit, "amin")


def _join(
    scores: Tensor, floor: Tensor, support: Tensor, fit: Fit, size: int
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Fill each support up to ``size`` atoms, the used ones first: atoms, coefficients and which of
    them count; and which samples have new ones."""
    most = size - int(fit.active.sum(dim=1).min())
    value, new = scores.topk(most, dim=1)
    wanted = (value > 0) & (value > floor.gather(1, new))
    active = torch.cat([fit.active, wanted], dim=1)
    order = active.byte().argsort(dim=1, descending=True, stable=True)[:, :size]
    parts = torch.cat([support, new], dim=1), torch.cat([fit.z, torch.zeros_like(value)], dim=1)
    support, z, active = (a.gather(1, order) for a in (*parts, active))
    return (support, z, active), wanted.any(dim=1)
