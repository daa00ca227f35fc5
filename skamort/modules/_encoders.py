"""Encoders: learned functions from data to the pre-activations of the codes.

    linear:  A = X W^T + b                                   X (n, n_features), W (n_components,
    n_features) MLP:     A = relu(... relu(X W_1^T + b_1) ...) W_L^T + b_L

The activation that turns A into sparse codes is a separate module.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def make_encoder(
    n_features: int,
    n_components: int,
    hidden_layer_sizes: Sequence[int] = (),
    *,
    bias: bool = True,
    dictionary: Tensor | None = None,
    generator: torch.Generator,
) -> nn.Module:
    """Build an encoder with its weights drawn from `generator`.

    Parameters
    ----------
    n_features, n_components : int
        Width of the data and of the codes.
    hidden_layer_sizes : sequence of int, default=()
        Widths of the ReLU layers between; empty for a linear encoder.
    bias : bool, default=True
        Whether the layers have biases.
    dictionary : Tensor of shape (n_components, n_features), optional
        The decoder's atoms. A linear encoder starts tied to them (W = D); an MLP ignores them.
    generator : torch.Generator
        Source of the random weights (on the CPU, so that every device starts alike).

    Returns
    -------
    nn.Module
        Maps (n, n_features) to (n, n_components).
    """
    widths = [n_features, *hidden_layer_sizes, n_components]
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [_make_linear(n_in, n_out, bias, generator), nn.ReLU()]
    layers.pop()  # the last ReLU is the activation's business
    if len(layers) > 1:
        return nn.Sequential(*layers)
    linear = layers[0]
    if dictionary is not None:
        with torch.no_grad():
            linear.weight.copy_(dictionary)
    return linear


def output_layer(encoder: nn.Module) -> nn.Linear:
    """Return the layer that yields the pre-activations."""
    return encoder[-1] if isinstance(encoder, nn.Sequential) else encoder


def _make_linear(n_in: int, n_out: int, bias: bool, generator: torch.Generator) -> nn.Linear:
    # skip_init: nn.Linear would draw from torch's global generator, which belongs to the user.
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out, bias=bias)
    bound = (6 / n_in) ** 0.5  # He et al. (2015), uniform: keeps the variance through ReLU layers
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if bias:
            layer.bias.zero_()
    return layer
