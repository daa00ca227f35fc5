"""Gradient descent by Adam on the logarithm of the codes, as published for inference-time
optimization.

    z = exp(u),   minimize 1/2 ||x - z D||^2 + alpha sum(z) over u by Adam, from u = -10

Signed codes are the difference of two such exponentials. No code is ever exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import Problem
from ._certificate import gap_from_residual
from ._descent import SAFETY, Descent, descend
from ._lasso import LassoSolver

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
    is_guarded : bool, default=True
        Whether codes are kept from being worse than zero or their start, and float32 samples that
        miss `tol` are solved again in float64.

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

    def _solve_block(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, None]:
        atoms, start = problem.atoms, codes
        if not problem.positive:
            atoms, start = torch.cat([atoms, -atoms]), torch.cat([codes, -codes], dim=1)
        u = torch.where(start > 0, start.log(), self.start).clamp_(min=_SMALLEST)
        state = _Logarithms(X, atoms, alpha, problem.positive, u, self.learning_rate)
        left = torch.arange(len(X), device=X.device)
        target = self.tol * SAFETY * 0.5 * X.square().sum(dim=1)
        return descend(state, codes, left, target, self.max_iter, self.check_every), None


class _Logarithms(Descent):
    """Logarithms ``u`` of codes, those of -D after those of D where codes are signed, and Adam's
    averages of the gradients."""

    _by_sample = ("X", "alpha", "u", "z", "residual", "correlations", "mean", "square")

    def __init__(
        self,
        X: Tensor,
        atoms: Tensor,
        alpha: Tensor,
        positive: bool,
        u: Tensor,
        learning_rate: float,
    ) -> None:
        self.X, self.atoms, self.alpha, self.positive = X, atoms, alpha, positive
        self.learning_rate, self.n_steps = learning_rate, 0
        self.mean, self.square = torch.zeros_like(u), torch.zeros_like(u)
        self._move(u)

    def _move(self, u: Tensor) -> None:
        self.u, self.z = u, u.exp()
        self.residual = self.X - self.z @ self.atoms
        self.correlations = self.residual @ self.atoms.T

    def codes(self) -> Tensor:
        if self.positive:
            return self.z
        n_components = len(self.atoms) // 2
        return self.z[:, :n_components] - self.z[:, n_components:]

    def gap(self) -> Tensor:
        return gap_from_residual(self.X, self.z, self.residual, self.correlations, self.alpha, True)

    def step(self) -> None:
        self.n_steps += 1
        gradient = self.z * (self.alpha[:, None] - self.correlations)
        self.mean = self.mean.lerp(gradient, 1 - _BETAS[0])
        self.square = self.square.lerp(gradient.square(), 1 - _BETAS[1])
        corrected = self.mean / (1 - _BETAS[0] ** self.n_steps)
        spread = (self.square / (1 - _BETAS[1] ** self.n_steps)).sqrt() + _EPS
        self._move((self.u - self.learning_rate * corrected / spread).clamp_(min=_SMALLEST))
