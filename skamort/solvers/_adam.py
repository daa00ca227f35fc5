"""Gradient descent by Adam on the logarithm of the codes, as published for inference-time
optimization.

    z = exp(u),   minimize 1/2 ||x - z D||^2 + alpha sum(z) over u by Adam, from u = -10

Signed codes are the difference of two such exponentials. No code is ever exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import LassoSolver
from ._certificate import gap_from_residual
from ._fista import SAFETY

_BETAS = (0.9, 0.999)
_EPS = 1e-8
_SMALLEST = -30.0


@dataclass(frozen=True)
class Adam(LassoSolver):
    """Adam on exponential codes: slow, unconverged in practice, and dense.

    Choose it only to reproduce published figures. Every iteration costs two products of (n_samples,
    n_features) with the dictionary, and thousands are needed.

    Parameters
    ----------
    max_iter : int, default=10000
        Most iterations spent on a sample.
    tol : float, default=1e-4
        A sample has converged when its duality gap is at most ``tol * 1/2 ||x||^2``.
    learning_rate : float, default=3e-3
        Step of Adam in u.
    start : float, default=-10.0
        Value of u to start from, for codes that ``init`` does not give.
    check_every : int, default=100
        Iterations between two evaluations of the gap.

    References
    ----------
    C. O'Neill, A. Gumran and D. Klindt, Compute optimal inference and provable amortisation gap in
    sparse autoencoders, 2024; D. Kingma and J. Ba, Adam, 2015.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import Adam
    >>> result = Adam().solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), alpha=1.0, positive=True)
    >>> result.codes.round(decimals=2)
    tensor([[2., 0.]])
    """

    max_iter: int = 10_000
    learning_rate: float = 3e-3
    start: float = -10.0
    check_every: int = 100

    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:  # noqa: ARG002
        return False

    def _solve_block(
        self,
        X: Tensor,
        dictionary: Tensor,
        alpha: Tensor,
        positive: bool,
        codes: Tensor,
        gram: Tensor | None,  # noqa: ARG002
    ) -> tuple[Tensor, None]:
        atoms = dictionary if positive else torch.cat([dictionary, -dictionary])
        signed = codes if positive else torch.cat([codes, -codes], dim=1)
        u = torch.where(signed > 0, signed.log(), self.start).clamp_(min=_SMALLEST)
        mean, square = torch.zeros_like(u), torch.zeros_like(u)
        n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        left = torch.arange(len(X), device=X.device)
        target = self.tol * SAFETY * 0.5 * X.square().sum(dim=1)
        for iteration in range(self.max_iter + 1):
            z = u.exp()
            residual = X[left] - z @ atoms
            correlations = residual @ atoms.T
            if iteration % self.check_every == 0 or iteration == self.max_iter:
                codes[left] = z if positive else z[:, : len(dictionary)] - z[:, len(dictionary) :]
                n_iter[left] = iteration
                gap = gap_from_residual(X[left], z, residual, correlations, alpha[left], True)
                busy = gap > target[left]
                if not busy.any():
                    break
                left, u, z, correlations, mean, square = (
                    a[busy] for a in (left, u, z, correlations, mean, square)
                )
            gradient = z * (alpha[left, None] - correlations)
            mean = mean.lerp(gradient, 1 - _BETAS[0])
            square = square.lerp(gradient.square(), 1 - _BETAS[1])
            corrected = mean / (1 - _BETAS[0] ** (iteration + 1))
            spread = (square / (1 - _BETAS[1] ** (iteration + 1))).sqrt() + _EPS
            u = (u - self.learning_rate * corrected / spread).clamp_(min=_SMALLEST)
        return n_iter, None
