"""Gated: pre-activations are gates, and how large codes are is apart from which are active.

With gates pi and, for each latent, a factor exp(r) and a shift s,

    z = 1[pi > 0] relu(exp(r) pi + s),

and no gradient through the step. In the paper magnitudes are relu(exp(r) (pi - b) + b_mag), b being
the bias of the gates; with s = b_mag - exp(r) b they are the same, and so are the points where all
gradients are 0: that of s is then 0, and with it what b gets from sizes besides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._unit import factor_for
from .._validation import check_integer
from ._activations import Activation
from ._workspace import add_gradient


class Gated(Activation):
    """Where pre-activations are positive, codes of a size with a factor and shift of their own.

    Parameters
    ----------
    n_components : int
        Number of latents.

    References
    ----------
    Rajamanoharan et al. (2024), Improving dictionary learning with gated sparse autoencoders.
    """

    capturable = True

    is_masked = False
    offers = frozenset({"gates"})

    def __init__(self, n_components: int):
        super().__init__()
        check_integer(n_components, "Gated: n_components", 1)
        self.log_scale = nn.Parameter(torch.zeros(n_components))
        self.shift = nn.Parameter(torch.zeros(n_components))

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        codes = torch.addcmul(self.shift, preactivations, self.log_scale.exp()).relu()
        return torch.where(preactivations > 0, codes, 0)

    def backward(self, preactivations: Tensor, codes: Tensor, code_grad: Tensor) -> Tensor:
        """Return dL/dA; factors and shifts learn."""
        code_grad = code_grad * (codes > 0)
        through = code_grad * self.log_scale.exp()
        add_gradient(self.log_scale, (through * preactivations).sum(0))
        add_gradient(self.shift, code_grad.sum(0))
        return through

    def units(self) -> dict[nn.Parameter, int]:
        """Shifts have the unit of the data."""
        return {self.shift: 1}

    @torch.no_grad()
    def rescale(self, scale: Tensor | float) -> None:
        """Follow the pre-activations."""
        self.shift.mul_(factor_for(self.shift, scale))

    @torch.no_grad()
    def restart(self, latents: Tensor) -> None:
        """Let codes be their gates."""
        self.log_scale[latents] = self.shift[latents] = 0
