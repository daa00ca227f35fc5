"""LCA, the locally competitive algorithm: neurons that inhibit each other until the code is sparse.

    u <- u + eta (x D^T - z G - u + z),   z = S(u, alpha),   G = D D^T

S soft-thresholds, or rectifies u - alpha where positive. The membrane potentials u are kept apart
from the codes z. At rest <d_j, r> = u_j - z_j, which is alpha sign(z_j) on the support: the optimum
of the lasso.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ._base import Problem
from ._certificate import gap_from_residual
from ._descent import SAFETY, Descent, descend, drop_silent
from ._fista import soft_threshold
from ._lasso import LassoSolver


@dataclass(frozen=True)
class LCA(LassoSolver):
    """Locally competitive algorithm: the dynamics of a sparse coding circuit.

    Choose it for reproduction of work on neural circuits; `FISTA` takes fewer iterations of the
    same cost, two products of (n_samples, n_features) with the dictionary.

    Parameters
    ----------
    max_iter : int, default=1000
        Most iterations spent on a sample.
    tol : float, default=1e-4
        A sample has converged when its duality gap is at most ``tol * 1/2 ||x||^2``.
    step_size : float, default=1.0
        The step eta is ``step_size`` divided by the largest eigenvalue of ``dictionary @
        dictionary.T``, and at most 1.
    check_every : int, default=10
        Iterations between two evaluations of the gap.
    is_guarded : bool, default=True
        Whether codes are kept from being worse than zero or their start, and float32 samples that
        miss `tol` are solved again in float64.

    References
    ----------
    C. Rozell et al., Sparse coding via thresholding and local competition in neural circuits, 2008.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import LCA
    >>> result = LCA().solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), alpha=1.0, positive=True)
    >>> result.codes
    tensor([[2., 0.]])
    """

    step_size: float = 1.0
    check_every: int = 10

    def _solve_block(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, None]:
        atoms, positive = problem.atoms, problem.positive
        left = drop_silent(X @ atoms.T, alpha, positive, codes)
        eta = self.step_size / problem.largest_eigenvalue
        # Where a start is given, its support begins at rest.
        u = codes + codes.sign() * alpha[:, None]
        state = _Circuit(X[left], atoms, alpha[left], positive, u[left], eta.clamp(max=1))
        target = self.tol * SAFETY * 0.5 * X.square().sum(dim=1)
        return descend(state, codes, left, target, self.max_iter, self.check_every), None


class _Circuit(Descent):
    """Membrane potentials ``u``, and what follows from them."""

    _by_sample = ("X", "alpha", "u", "z", "residual", "correlations")

    def __init__(
        self, X: Tensor, atoms: Tensor, alpha: Tensor, positive: bool, u: Tensor, eta: Tensor
    ) -> None:
        self.X, self.atoms, self.alpha, self.positive, self.eta = X, atoms, alpha, positive, eta
        self._fire(u)

    def _fire(self, u: Tensor) -> None:
        self.u, self.z = u, soft_threshold(u, self.alpha[:, None], self.positive)
        self.residual = self.X - self.z @ self.atoms
        self.correlations = self.residual @ self.atoms.T

    def codes(self) -> Tensor:
        return self.z

    def gap(self) -> Tensor:
        return gap_from_residual(
            self.X, self.z, self.residual, self.correlations, self.alpha, self.positive
        )

    def step(self) -> None:
        self._fire(self.u + self.eta * (self.correlations - self.u + self.z))
