"""Top-k refined: the support from an encoder, the coefficients solved again.

    S = the k largest |z_0|,    z_S = argmin 1/2 ||x - z_S D_S||^2     (z_S >= 0 where positive)

with z_0 the codes of an encoder, such as a top-k autoencoder; without one, the correlations x D^T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ._base import Compiled, Problem
from ._ksparse import KSparseSolver, observed_lengths
from ._least_squares import least_squares
from ._scale import magnitude


@dataclass(frozen=True)
class TopKRefined(Compiled, KSparseSolver):
    """Least squares on the support that an encoder chose.

    Choose it to get the best out of a trained top-k autoencoder at little cost: one linear solve of
    k unknowns a sample. Where positive, the coefficients solve NNLS on the support.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Size of the support; None for a tenth of the features.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels on the CPU, or torch. "auto" takes numba where it is installed and the data
        are on the CPU.
    n_jobs : int, default=None
        Threads of the compiled kernels; None or -1 for as many as torch uses.

    References
    ----------
    C. Lawson and R. Hanson, Solving least squares problems, 1974, chapter 23 (NNLS).

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import TopKRefined
    >>> X, encoded = torch.tensor([[3.0, 0.5]]), torch.tensor([[2.0, 0.1]])
    >>> TopKRefined(n_nonzero_coefs=1).solve(X, torch.eye(2), positive=True, init=encoded).codes
    tensor([[3., 0.]])
    """

    takes_masks: ClassVar[bool] = True

    def _pursue_block(
        self,
        X: Tensor,
        problem: Problem,
        k: int,
        enough: Tensor,  # noqa: ARG002  (the support is given, or found as a whole)
        codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        scores, guided = guided_scores(X, problem, codes)
        value, support = scores.topk(k, dim=1)
        start = torch.where(guided, codes.gather(1, support), 0)
        fit = least_squares(X, problem, support, start, value > 0, self._n_threads(problem))
        codes.zero_().scatter_(1, support, fit.z)
        return fit.rounds, fit.error


def guided_scores(X: Tensor, problem: Problem, start: Tensor) -> tuple[Tensor, Tensor]:
    """How much each atom is wanted, >= 0, by the codes to start from where a sample has any, else
    by its correlations; and which samples have, (n_samples, 1)."""
    guided = (magnitude(start) > 0)[:, None]
    lengths = observed_lengths(problem)
    wanted = start * lengths
    if not guided.all():
        wanted = torch.where(guided, wanted, problem.correlations(X) / lengths)
    return (wanted.clamp(min=0) if problem.positive else wanted.abs()), guided
