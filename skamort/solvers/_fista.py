"""FISTA: accelerated proximal gradient descent, the solver that a GPU likes best.

    z+ = S(y + (x - y D) D^T / L, alpha / L)        S soft-thresholds, or clips at 0 where positive
    y+ = z+ + (t - 1) / t+ (z+ - z)                 t+ = (1 + sqrt(1 + 4 t^2)) / 2

with a step length 1/L and a momentum t of its own for every sample. The momentum restarts where it
points uphill. The step is tried long and shortened where the quadratic model it relies on is
violated, so L follows the curvature among the few atoms in use, far below the largest eigenvalue of
D D^T.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from .._device import tf32_products
from .._triton import attempt, has_triton
from ._base import Problem
from ._certificate import gap_from_gram, gap_from_residual, observed
from ._descent import SAFETY, Descent, descend, drop_silent
from ._lasso import LassoSolver

SHORTEN = 1.5
# Moves smaller than this many roundings of the codes say nothing about the curvature.
_NOISE = 100
# The relative gap to which rounded products lead, a few times what they end at, and most steps that
# they take.
_ROUGH, _ROUGH_STEPS = 3e-3, 60


@dataclass(frozen=True)
class FISTA(LassoSolver):
    """Accelerated proximal gradient with adaptive restart and a step length per sample.

    Choose it on a GPU for few atoms, for large batches of well-conditioned problems and for warm
    starts. Every iteration costs one product (n_samples, n_components) x (n_components,
    n_components), or two with the (n_components, n_features) dictionary where that is cheaper. On a
    GPU the first ones of float32 have factors of eleven bits (TF32) where there is no start.
    Samples whose duality gap is small enough leave the batch.

    Parameters
    ----------
    max_iter : int, default=1000
        Most iterations spent on a sample.
    tol : float, default=1e-4
        A sample has converged when its duality gap is at most ``tol * 1/2 ||x||^2``.
    check_every : int, default=10
        Iterations between two evaluations of the gap.
    is_guarded : bool, default=True
        Whether codes are kept from being worse than zero or their start, and float32 samples that
        miss `tol` are solved again in float64.

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
    takes_masks: ClassVar[bool] = True

    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:
        n_components, n_features = dictionary.shape
        return n_components <= min(2 * n_features, 4 * n_samples + 256, 1 << 14)

    def _solve_block(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, None]:
        if not self._may_start_roughly(X, codes):
            return self._descend(X, problem, alpha, codes), None
        n_rough = min(_ROUGH_STEPS, self.max_iter // 2)
        with tf32_products():
            rough = replace(self, tol=_ROUGH, max_iter=n_rough)
            n_iter = rough._descend(X, problem, alpha, codes)
        rest = replace(self, max_iter=self.max_iter - n_rough)
        return n_iter + rest._descend(X, problem, alpha, codes), None

    def _may_start_roughly(self, X: Tensor, codes: Tensor) -> bool:
        """Whether rounded products do at first: on a GPU, which multiplies several times as fast
        so, and far from the end."""
        return X.is_cuda and X.dtype == torch.float32 and self.tol < _ROUGH and not codes.any()

    def _descend(self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor) -> Tensor:
        atoms, gram = problem.atoms, problem.gram
        cov = X @ atoms.T
        left = drop_silent(cov, alpha, problem.positive, codes)
        energy = X.square().sum(dim=1)
        products = (
            Factored(X[left], atoms, problem.of(left).mask)
            if gram is None
            else WithGram(energy[left], cov[left], gram)
        )
        longest = problem.squared_norms().amax(dim=1).expand(len(X))[left]
        state = Iterates(products, codes[left], alpha[left], longest, problem.positive)
        target = self.tol * SAFETY * 0.5 * energy
        return descend(state, codes, left, target, self.max_iter, self.check_every)


class Factored:
    """Products through the dictionary: the image of codes is ``codes @ dictionary``, where samples
    are observed."""

    def __init__(self, X: Tensor, dictionary: Tensor, mask: Tensor | None) -> None:
        self.X, self.dictionary, self.mask = X, dictionary, mask

    def keep(self, rows: Tensor) -> None:
        self.X = self.X[rows]
        self.mask = None if self.mask is None else self.mask[rows]

    def image(self, codes: Tensor) -> Tensor:
        return observed(codes @ self.dictionary, self.mask)

    def correlations(self, image: Tensor) -> Tensor:
        return (self.X - image) @ self.dictionary.T

    def curvature(self, change: Tensor, image_change: Tensor) -> Tensor:  # noqa: ARG002
        return image_change.square().sum(dim=1, keepdim=True)

    def gap(self, codes: Tensor, image: Tensor, alpha: Tensor, positive: bool) -> Tensor:
        correlations = self.correlations(image)
        return gap_from_residual(self.X, codes, self.X - image, correlations, alpha, positive)


class WithGram:
    """Products through the Gram matrix: the image of codes is ``codes @ gram``.

    ``gram`` is shared, (n_components, n_components), or each sample's own, (n_samples,
    n_components, n_components).
    """

    def __init__(self, energy: Tensor, cov: Tensor, gram: Tensor) -> None:
        self.energy, self.cov, self.gram = energy, cov, gram

    def keep(self, rows: Tensor) -> None:
        self.energy, self.cov = self.energy[rows], self.cov[rows]
        if self.gram.ndim == 3:
            self.gram = self.gram[rows]

    def image(self, codes: Tensor) -> Tensor:
        if self.gram.ndim == 3:
            return torch.bmm(codes[:, None, :], self.gram)[:, 0]
        return codes @ self.gram

    def correlations(self, image: Tensor) -> Tensor:
        return self.cov - image

    def curvature(self, change: Tensor, image_change: Tensor) -> Tensor:
        return (change * image_change).sum(dim=1, keepdim=True)

    def gap(self, codes: Tensor, image: Tensor, alpha: Tensor, positive: bool) -> Tensor:
        return gap_from_gram(self.energy, self.cov, codes, self.cov - image, alpha, positive)


class Iterates(Descent):
    """Codes ``z`` and extrapolated codes ``y`` of the samples still in the batch, with their
    images.

    The image is linear in the codes, so that of ``y`` costs nothing.

    Parameters
    ----------
    products : Factored or WithGram
    z : Tensor of shape (n_samples, n_components)
        Start.
    alpha : Tensor of shape (n_samples,)
    longest : Tensor of shape (n_samples,)
        Lower bound on the curvature: the first step is its inverse.
    positive : bool
    """

    _by_sample = ("alpha", "z", "image_z", "y", "image_y", "momentum", "lipschitz")

    def __init__(
        self,
        products: Factored | WithGram,
        z: Tensor,
        alpha: Tensor,
        longest: Tensor,
        positive: bool,
    ) -> None:
        self.products, self.alpha, self.positive = products, alpha[:, None], positive
        self.z, self.image_z = z, products.image(z)
        self.y, self.image_y = self.z, self.image_z
        self.momentum = torch.ones_like(self.alpha)
        self.lipschitz = longest[:, None].clone()

    def keep(self, rows: Tensor) -> None:
        self.products.keep(rows)
        super().keep(rows)

    def codes(self) -> Tensor:
        return self.z

    def gap(self) -> Tensor:
        return self.products.gap(self.z, self.image_z, self.alpha[:, 0], self.positive)

    def step(self) -> None:
        """One proximal gradient step, momentum, and the step length for the next."""
        device = self.z.device
        if not (has_triton(device) and attempt(self._step_by_kernels, device)):
            self._step_by_operators()

    def _step_by_kernels(self) -> bool:
        from ._fista_triton import advance, propose

        correlations = self.products.correlations(self.image_y)
        z, sums = propose(self.y, correlations, self.z, self.lipschitz, self.alpha, self.positive)
        image, by_gram = self.products.image(z), isinstance(self.products, WithGram)
        advance(
            z, self.z, self.y, image, self.image_z, self.image_y, self.lipschitz, self.momentum,
            sums, noise_of(z.dtype), SHORTEN, by_gram,
        )  # fmt: skip
        self.z, self.image_z = z, image
        return True

    def _step_by_operators(self) -> None:
        z = self.y + self.products.correlations(self.image_y) / self.lipschitz
        threshold = self.alpha / self.lipschitz
        z = soft_threshold(z, threshold, self.positive)
        image = self.products.image(z)
        change, move, image_move = z - self.y, z - self.z, image - self.image_z

        rejected = self._shorten_step(z, change, image - self.image_y)
        restart = rejected | ((change * move).sum(dim=1, keepdim=True) < 0)
        momentum = 0.5 + (0.25 + self.momentum.square()).sqrt()
        push = torch.where(restart, 0, (self.momentum - 1) / momentum)
        self.momentum = torch.where(restart, 1, momentum)
        if rejected.is_cuda or rejected.any():  # to look would make a GPU wait
            z, image = torch.where(rejected, self.z, z), torch.where(rejected, self.image_z, image)
        self.y, self.image_y = torch.addcmul(z, push, move), torch.addcmul(image, push, image_move)
        self.z, self.image_z = z, image

    def _shorten_step(self, z: Tensor, change: Tensor, image_change: Tensor) -> Tensor:
        """Raise ``lipschitz`` where the quadratic model is violated; the samples concerned."""
        length = change.square().sum(dim=1, keepdim=True)
        tiny = torch.finfo(z.dtype).tiny
        curvature = self.products.curvature(change, image_change) / length.clamp(min=tiny)
        telling = length > noise_of(z.dtype) * z.square().sum(dim=1, keepdim=True)
        rejected = telling & (curvature > self.lipschitz * 1.001)
        self.lipschitz = torch.where(rejected, SHORTEN * curvature, self.lipschitz)
        return rejected


def noise_of(dtype: torch.dtype) -> float:
    """The squared length of a move, relative to that of the codes, that says nothing about the
    curvature."""
    return (_NOISE * torch.finfo(dtype).eps) ** 2


def soft_threshold(values: Tensor, threshold: Tensor, positive: bool) -> Tensor:
    """Proximal operator of the L1 norm, with z >= 0 where positive."""
    if positive:
        return (values - threshold).clamp_(min=0)
    return values - values.clamp(-threshold, threshold)
