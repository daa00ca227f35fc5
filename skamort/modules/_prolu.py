"""ProLU: codes are pre-activations as they are, where a bias of the latent lets them pass.

    z = u where u > 0 and u + b > 0, else 0

The bias silences and does not shift. It has no gradient, and one of two stands in: that of
relu(u + b), or the straight-through one, with g = dL/dz on active codes and s the data's unit,

    dL/db = g,      dL/du = g;          dL/db = g u / s,   dL/du = g (1 + u / s).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._unit import factor_for
from .._validation import check_integer
from ._activations import Activation
from ._workspace import add_gradient


class ProLU(Activation):
    """Keep positive pre-activations that exceed minus the bias of their latent.

    Parameters
    ----------
    n_components : int
        Number of latents.
    unit : float
        The unit of the data, such as their root mean square.
    straight_through : bool, default=True
        Whether biases learn by the straight-through gradient, else by that of a ReLU.

    References
    ----------
    Taggart (2024), ProLU: a nonlinearity for sparse autoencoders.
    """

    capturable = True

    is_masked = False
    unit: Tensor

    def __init__(self, n_components: int, unit: float, straight_through: bool = True):
        super().__init__()
        check_integer(n_components, "ProLU: n_components", 1)
        self.straight_through = straight_through
        self.register_buffer("unit", torch.tensor(unit, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(n_components))

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        return torch.where(preactivations > (-self.bias).relu(), preactivations, 0)

    def backward(self, preactivations: Tensor, codes: Tensor, code_grad: Tensor) -> Tensor:  # noqa: ARG002
        """Return dL/dA; biases learn."""
        active = code_grad * (codes > 0)
        if not self.straight_through:
            add_gradient(self.bias, active.sum(0))
            return active
        through = active * (codes / self.unit)
        add_gradient(self.bias, through.sum(0))
        return active + through

    def units(self) -> dict[nn.Parameter, int]:
        """Biases have the unit of the data."""
        return {self.bias: 1}

    @torch.no_grad()
    def rescale(self, scale: Tensor | float) -> None:
        """Follow the pre-activations."""
        scale = factor_for(self.bias, scale)
        self.bias.mul_(scale)
        self.unit.mul_(scale.mean())

    @torch.no_grad()
    def restart(self, latents: Tensor) -> None:
        """Begin with the mean bias."""
        self.bias[latents] = self.bias.mean()
