"""Encoders: learned functions from data to the pre-activations of the codes.

    linear:  A = X W^T + b                                   X (n, n_features), W (n_components,
    n_features) MLP:     A = relu(... relu(X W_1^T + b_1) ...) W_L^T + b_L

The activation that turns A into sparse codes is a separate module.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

_TYING_ROWS = 4096
_TYING_RIDGE = 1e-3


def make_encoder(
    n_features: int,
    n_components: int,
    hidden_layer_sizes: Sequence[int] = (),
    *,
    bias: bool = True,
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
    return nn.Sequential(*layers) if len(layers) > 1 else layers[0]


@torch.no_grad()
def tie_to_dictionary(encoder: nn.Module, X: Tensor, dictionary: Tensor) -> None:
    """Make an encoder start as the decoder's transpose, A = X D^T.

    A linear encoder takes over the atoms as its weights. An MLP's last layer becomes the ridge
    regression of X D^T on its hidden activations. Latents that start aligned with their atoms
    rarely die.

    Parameters
    ----------
    encoder : nn.Module
        What `make_encoder` built; changed in place.
    X : Tensor of shape (n_samples, n_features)
        Centered data; a few thousand rows of it are used.
    dictionary : Tensor of shape (n_components, n_features)
        The decoder's atoms.
    """
    output_layer(encoder).weight.copy_(_tied_weights(encoder, X, dictionary))


@torch.no_grad()
def retie(
    encoder: nn.Module,
    X: Tensor,
    dictionary: Tensor,
    latents: Tensor,
    scale: float,
    n_active: int | None = None,
) -> None:
    """Tie some latents of a trained encoder to their atoms again.

    Parameters
    ----------
    encoder : nn.Module
        What `make_encoder` built; changed in place.
    X : Tensor of shape (n_samples, n_features)
        Centered data; a few thousand rows of it are used.
    dictionary : Tensor of shape (n_components, n_features)
        The decoder's atoms.
    latents : Tensor of shape (n_tied,), int64
        The latents to tie.
    scale : float
        Length of their weights in the last layer, relative to the mean of the other latents'.
    n_active : int, optional
        On how many rows of X their biases make each of them positive. None, or no fewer than X has:
        the biases are 0.
    """
    layer = output_layer(encoder)
    lengths = torch.linalg.vector_norm(layer.weight, dim=1)
    lengths[latents] = torch.nan
    length = scale * lengths.nanmean().nan_to_num(1.0)
    tied = _tied_weights(encoder, X, dictionary[latents])
    layer.weight[latents] = length * nn.functional.normalize(tied, dim=1)
    if layer.bias is not None:
        layer.bias[latents] = 0
        if n_active is not None and n_active < len(X):
            layer.bias[latents] = -encoder(X)[:, latents].topk(n_active + 1, dim=0).values[-1]


def _tied_weights(encoder: nn.Module, X: Tensor, atoms: Tensor) -> Tensor:
    """Return the weights of the last layer that make A = X D^T, or come close."""
    if output_layer(encoder) is encoder:
        return atoms
    X = X[:: -(-len(X) // _TYING_ROWS)]
    hidden = encoder[:-1](X)
    gram = hidden.T @ hidden
    gram.diagonal().add_(_TYING_RIDGE * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny)
    return torch.linalg.solve(gram, hidden.T @ X @ atoms.T).T


@torch.no_grad()
def scale_output(encoder: nn.Module, scale: Tensor | float) -> None:
    """Multiply the pre-activations by a positive factor, or by one for each latent."""
    if hasattr(encoder, "rescale"):
        encoder.rescale(scale)
        return
    layer = output_layer(encoder)
    layer.weight.mul_(torch.as_tensor(scale).reshape(-1, 1))
    if layer.bias is not None:
        layer.bias.mul_(scale)


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
