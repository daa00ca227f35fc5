"""LCA, the locally competitive algorithm: neurons that inhibit each other until the code is sparse.

    u <- u + eta (x D^T - z G - u + z),   z = S(u, alpha),   G = D D^T

S soft-thresholds, or rectifies u - alpha where positive. The membrane potentials u are kept apart
from the codes z. At rest <d_j, r> = u_j - z_j, which is alpha sign(z_j) on the support: the optimum
of the lasso.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import LassoSolver
from ._certificate import gap_from_residual, is_silent
from ._fista import SAFETY, soft_threshold


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
        cov = X @ dictionary.T
        silent = is_silent(cov, alpha, positive)
        codes[silent] = 0
        n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        left = (~silent).nonzero().squeeze(1)
        target = self.tol * SAFETY * 0.5 * X.square().sum(dim=1)
        largest = torch.linalg.matrix_norm(dictionary, 2) ** 2
        eta = (self.step_size / largest).clamp(max=1)
        # Where a start is given, its support begins at rest.
        u = (codes + codes.sign() * alpha[:, None])[left]
        for iteration in range(self.max_iter + 1):
            z = soft_threshold(u, alpha[left, None], positive)
            residual = X[left] - z @ dictionary
            correlations = residual @ dictionary.T
            if iteration % self.check_every == 0 or iteration == self.max_iter:
                codes[left], n_iter[left] = z, iteration
                gap = gap_from_residual(X[left], z, residual, correlations, alpha[left], positive)
                busy = gap > target[left]
                if not busy.any():
                    break
                left, u, z, correlations = left[busy], u[busy], z[busy], correlations[busy]
            u = u + eta * (correlations - u + z)
        return n_iter, None
