"""FISTA: accelerated proximal gradient descent, the solver that a GPU likes best.

    z+ = S(y + (x - y D) D^T / L, alpha / L)        S soft-thresholds, or clips at 0 where positive
    y+ = z+ + (t - 1) / t+ (z+ - z)                 t+ = (1 + sqrt(1 + 4 t^2)) / 2

with a step length 1/L and a momentum t of its own for every sample. The momentum restarts where it
points uphill. The step is tried long and shortened where the quadratic model it relies on is
violated, so L follows the curvature among the few atoms in use, far below the largest eigenvalue of
D D^T.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import LassoSolver
from ._certificate import gap_from_residual, span_of_atoms

# The loop's own gap may be float32: stop a little past the tolerance, which the certificate then
# checks in float64.
_SAFETY = 0.9
_SHORTEN = 1.5
# Moves smaller than this many roundings of the codes say nothing about the curvature.
_NOISE = 100


@dataclass(frozen=True)
class FISTA(LassoSolver):
    """Accelerated proximal gradient with adaptive restart and a step length per sample.

    Choose it on a GPU, for large batches of well-conditioned problems and for warm starts. Every
    iteration costs one product (n_samples, n_components) x (n_components, n_components), or two
    with the (n_components, n_features) dictionary where that is cheaper. Samples whose duality gap
    is small enough leave the batch.

    Parameters
    ----------
    max_iter : int, default=1000
        Most iterations spent on a sample.
    tol : float, default=1e-4
        A sample has converged when its duality gap is at most ``tol * 1/2 ||x||^2``.
    check_every : int, default=10
        Iterations between two evaluations of the gap.

    References
    ----------
    A. Beck and M. Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems, 2009, section 4; B. O'Donoghue and E. Candes, Adaptive restart for accelerated
    gradient schemes, 2015, section 3.2.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import FISTA
    >>> result = FISTA().solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), alpha=1.0, positive=True)
    >>> result.codes
    tensor([[2., 0.]])
    """

    check_every: int = 10

    def _solve_block(
        self,
        X: Tensor,
        dictionary: Tensor,
        alpha: Tensor,
        positive: bool,
        init: Tensor | None,
        gram: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        basis = span_of_atoms(dictionary)
        if basis is not None:
            X, dictionary = X @ basis, dictionary @ basis
        cov = X @ dictionary.T
        silent = (cov if positive else cov.abs()).amax(dim=1) <= alpha
        codes = torch.zeros_like(cov) if init is None else init.clone()
        if positive:
            codes.clamp_(min=0)
        codes[silent] = 0
        n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)

        left = (~silent).nonzero().squeeze(1)
        target = self.tol * _SAFETY * 0.5 * X.square().sum(dim=1)
        state = _State(X[left], cov[left], alpha[left], codes[left], dictionary, gram, positive)
        for iteration in range(self.max_iter + 1):
            if iteration % self.check_every == 0 or iteration == self.max_iter:
                codes[left], n_iter[left] = state.z, iteration
                busy = state.gap() > target[left]
                if not busy.any():
                    break
                if not busy.all():
                    left = left[busy]
                    state.keep(busy)
            if iteration < self.max_iter:
                state.step()
        return codes, n_iter


class _State:
    """Iterates of the samples still in the batch: codes ``z``, extrapolated codes ``y`` and their
    images.

    The image of codes is ``codes @ gram`` with a Gram matrix and ``codes @ dictionary`` without. It
    is linear, so that of ``y`` costs nothing.
    """

    def __init__(
        self,
        X: Tensor,
        cov: Tensor,
        alpha: Tensor,
        z: Tensor,
        dictionary: Tensor,
        gram: Tensor | None,
        positive: bool,
    ) -> None:
        self.X, self.cov, self.alpha = X, cov, alpha[:, None]
        self.operator = dictionary if gram is None else gram
        self.dictionary, self.has_gram, self.positive = dictionary, gram is not None, positive
        self.z, self.image_z = z, z @ self.operator
        self.y, self.image_y = self.z, self.image_z
        self.momentum = torch.ones_like(self.alpha)
        self.lipschitz = dictionary.square().sum(dim=1).amax().expand_as(self.alpha).clone()

    def keep(self, rows: Tensor) -> None:
        """Drop the samples that are done."""
        for name in ("X", "cov", "alpha", "z", "image_z", "y", "image_y", "momentum", "lipschitz"):
            setattr(self, name, getattr(self, name)[rows])

    def correlations(self, image: Tensor) -> Tensor:
        return self.cov - image if self.has_gram else (self.X - image) @ self.dictionary.T

    def gap(self) -> Tensor:
        residual = self.X - (self.z @ self.dictionary if self.has_gram else self.image_z)
        correlations = self.correlations(self.image_z)
        return gap_from_residual(
            self.X, self.z, residual, correlations, self.alpha[:, 0], self.positive
        )

    def step(self) -> None:
        z = self.y + self.correlations(self.image_y) / self.lipschitz
        threshold = self.alpha / self.lipschitz
        z = (z - threshold).clamp_(min=0) if self.positive else _soft_threshold(z, threshold)
        image = z @ self.operator
        change, image_change = z - self.y, image - self.image_y
        length = change.square().sum(dim=1, keepdim=True)
        stretch = (change if self.has_gram else image_change) * image_change
        eps, tiny = torch.finfo(z.dtype).eps, torch.finfo(z.dtype).tiny
        curvature = stretch.sum(dim=1, keepdim=True) / length.clamp(min=tiny)
        telling = length > (_NOISE * eps) ** 2 * z.square().sum(dim=1, keepdim=True)

        rejected = telling & (curvature > self.lipschitz * 1.001)
        self.lipschitz = torch.where(rejected, _SHORTEN * curvature, self.lipschitz)
        move, image_move = z - self.z, image - self.image_z
        uphill = (change * move).sum(dim=1, keepdim=True) < 0
        momentum = 0.5 + (0.25 + self.momentum.square()).sqrt()
        push = torch.where(uphill | rejected, 0, (self.momentum - 1) / momentum)
        self.momentum = torch.where(uphill | rejected, 1, momentum)
        if rejected.any():
            z, image = torch.where(rejected, self.z, z), torch.where(rejected, self.image_z, image)
        self.y, self.image_y = torch.addcmul(z, push, move), torch.addcmul(image, push, image_move)
        self.z, self.image_z = z, image


def _soft_threshold(values: Tensor, threshold: Tensor) -> Tensor:
    return values - values.clamp(-threshold, threshold)
