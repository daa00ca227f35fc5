"""JumpReLU: codes are pre-activations as they are, above a threshold that each latent learns.

With pre-activations u, thresholds theta = exp(t), a window w = 1[|u - theta| < eps / 2] and H the
number of codes that are active,

    z = u 1[u > theta],   dz/dt ~ -theta^2 / eps w,   dH/dt ~ -theta / eps w

(~: the gradients that stand in for those of the steps, which are 0 almost everywhere).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .._unit import factor_for
from .._validation import check_integer
from ._activations import Activation
from ._workspace import add_gradient


class JumpReLU(Activation):
    """Keep the pre-activations above a threshold, one for each latent.

    Parameters
    ----------
    n_components : int
        Number of latents.
    start : float
        Where the thresholds start.
    bandwidth : float
        Width of the window around them, relative to `start`.

    References
    ----------
    Rajamanoharan et al. (2024), Jumping ahead: improving reconstruction fidelity with JumpReLU
    sparse autoencoders, equations 9 to 12.
    """

    capturable = True

    is_masked = False
    offers = frozenset({"thresholds"})
    start: Tensor

    def __init__(self, n_components: int, start: float, bandwidth: float):
        super().__init__()
        check_integer(n_components, "JumpReLU: n_components", 1)
        if not (start > 0 and bandwidth > 0 and math.isfinite(start * bandwidth)):
            raise ValueError(
                f"JumpReLU: start and bandwidth must be finite and > 0, got start={start}, "
                f"bandwidth={bandwidth}."
            )
        self.bandwidth = bandwidth
        self.register_buffer("start", torch.tensor(start, dtype=torch.float64))
        thresholds = torch.full((n_components,), math.log(start), dtype=torch.float32)
        self.log_threshold = nn.Parameter(thresholds)

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        return preactivations * (preactivations > self.log_threshold.exp())

    def backward(self, preactivations: Tensor, codes: Tensor, code_grad: Tensor) -> Tensor:
        """Return dL/dA; the thresholds learn from codes in their windows."""
        by_latent = (self._window(preactivations) * code_grad).sum(0)
        add_gradient(self.log_threshold, -self.log_threshold.exp().square() * by_latent)
        return code_grad * (codes > 0)

    def charge(
        self, preactivations: Tensor, price: float, sample_weight: Tensor | None = None
    ) -> None:
        """Add the thresholds' gradient where each active code costs a price, times the weight of
        its sample."""
        window = self._window(preactivations)
        counts = window.sum(0) if sample_weight is None else sample_weight @ window
        add_gradient(self.log_threshold, -price * self.log_threshold.exp() * counts)

    def _window(self, preactivations: Tensor) -> Tensor:
        distance = (preactivations - self.log_threshold.exp()).abs()
        width = (self.bandwidth * self.start).to(distance.dtype)
        return (distance < width / 2) / width

    @torch.no_grad()
    def rescale(self, scale: Tensor | float) -> None:
        """Follow the pre-activations."""
        log = self.log_threshold
        scale = factor_for(log, scale)
        log.add_(scale.log())
        self.start.mul_(scale.mean())

    @torch.no_grad()
    def restart(self, latents: Tensor) -> None:
        """Begin where thresholds start."""
        self.log_threshold[latents] = self.start.log()
