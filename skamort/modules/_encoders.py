"""Encoders: learned functions from centered data X (n, n_features) to the pre-activations of codes.

    linear:  A = X W^T + b                                      W (n_components, n_features)
    MLP:     A = relu(... relu(X W_1^T + b_1) ...) W_L^T + b_L

`Encoder` is the contract, for these and for others. The activation that turns A (n, n_components)
into sparse codes is a separate module.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from .._rows import few_rows
from .._unit import factor_for
from ._codes import DenseCodes, SparseCodes
from ._columns import check_columns
from ._screen import Screen, screening_pays
from ._workspace import Workspace, add_gradient, add_gradient_rows

_TYING_RIDGE = 1e-3


class Encoder(nn.Module):
    """Base of the encoders: what training asks of one, and the answers of any torch module.

    A subclass gives `forward` and `rescale`, and `units` if it has biases. By default autograd
    finds its gradients.

    Attributes
    ----------
    offers : frozenset of str
        What losses and callbacks may require of it, by name: "latent_rows", a last layer with a row
        for each latent (`LayeredEncoder`); "partial_gradients", a `backward` that may be called
        several times after one `trace`, and `preactivations_of` and `backward_of` some latents.
    batched : tuple of str or None
        Names of attributes that must be equal in encoders for `training.batched` to train their
        models together; None where it does not know the class, whose `layers` it takes to be linear
        with ReLU between them. As `Activation.batched` it speaks of this class alone.
    capturable : bool
        Whether a CUDA graph may hold its part of a step: its operators and their shapes are the
        same whatever the numbers in a batch, and nothing looks at these. It too speaks of this
        class alone.
    """

    offers: ClassVar[frozenset[str]] = frozenset()
    batched: ClassVar[tuple[str, ...] | None] = None
    capturable: ClassVar[bool] = False

    def forward(self, X: Tensor) -> Tensor:
        """Map (n, n_features) centered data to (n, n_components) pre-activations."""
        raise NotImplementedError

    def tie(self, X: Tensor, dictionary: Tensor, sample_weight: Tensor | None = None) -> None:
        """Start close to A = X D^T, for latents that start aligned with their atoms rarely die.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features)
            Centered data; a few thousand rows of it are used.
        dictionary : Tensor of shape (n_components, n_features)
            The decoder's atoms.
        sample_weight : Tensor of shape (n_samples,), optional
            Weights of the rows; None: all weigh 1.
        """

    def rescale(self, scale: Tensor | float) -> None:
        """Multiply the pre-activations by a positive factor, or by one for each latent."""
        raise NotImplementedError

    def units(self) -> dict[nn.Parameter, int]:
        """Return the power of the data's unit that a parameter has, for those with a unit."""
        return {}

    def trace(
        self,
        X: Tensor,
        intercept: Tensor | None,
        workspace: Workspace,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Return centered data and their pre-activations, from which `backward` can go back."""
        with torch.enable_grad():
            centered = X if intercept is None else X - intercept
            return centered, self(centered)

    def screen(
        self,
        X: Tensor,  # noqa: ARG002
        intercept: Tensor | None,  # noqa: ARG002
        n_active: int,  # noqa: ARG002
        workspace: Workspace,  # noqa: ARG002
    ) -> tuple[Tensor, Screen] | None:
        """Return centered data and what finds the few largest pre-activations, about `n_active` a
        row, without computing all; None where that does not pay.

        `backward` then gets None for the pre-activations.
        """
        return None

    def backward(
        self,
        centered: Tensor,  # noqa: ARG002
        preactivations: Tensor,
        gradient: DenseCodes | SparseCodes,
        intercept: nn.Parameter | None,  # noqa: ARG002
        workspace: Workspace,  # noqa: ARG002
    ) -> None:
        """Add the gradients of the encoder, and of the intercept through it, given dL/dA."""
        if preactivations.requires_grad:  # not all is frozen
            preactivations.backward(gradient.to_dense().to(preactivations.dtype))

    def entries(self, centered: Tensor, chosen: SparseCodes) -> Tensor:
        """Return the pre-activations that were chosen, in the dtype of the data; `chosen` may hold
        them in half precision.

        What cannot be computed for single entries keeps their precision.
        """
        return chosen.values.to(centered.dtype)


class LayeredEncoder(Encoder):
    """Base of the encoders whose last layer is linear, with a row for each latent."""

    offers = frozenset({"latent_rows"})

    @property
    def output_layer(self) -> nn.Linear:
        """The last layer."""
        raise NotImplementedError

    def hidden(self, X: Tensor) -> Tensor:
        """Return the input of the last layer."""
        raise NotImplementedError

    @torch.no_grad()
    def tie(self, X: Tensor, dictionary: Tensor, sample_weight: Tensor | None = None) -> None:
        """Make the last layer the ridge regression of X D^T on its input."""
        weight = self.output_layer.weight
        if dictionary.shape != (len(weight), X.shape[1]):
            raise ValueError(
                f"{type(self).__name__}: it is tied to a dictionary of an atom a latent, of shape "
                f"{(len(weight), X.shape[1])}, got {tuple(dictionary.shape)}."
            )
        weight.copy_(self.tied_rows(X, dictionary, sample_weight))

    def tied_rows(self, X: Tensor, atoms: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the rows of the last layer that make A = X D^T, or come close."""
        few = few_rows(X)
        X = X[few]
        hidden = weighted = self.hidden(X)
        if sample_weight is not None:
            weighted = hidden * sample_weight[few].unsqueeze(1)
        gram = weighted.T @ hidden
        gram.diagonal().add_(_TYING_RIDGE * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny)
        return torch.linalg.solve(gram, weighted.T @ X @ atoms.T).T

    @torch.no_grad()
    def retie(
        self,
        X: Tensor,
        dictionary: Tensor,
        latents: Tensor,
        scale: float,
        n_active: int | None = None,
    ) -> None:
        """Tie some latents to their atoms again.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features)
            Centered data; a few thousand rows of it are used.
        dictionary : Tensor of shape (n_components, n_features)
            The decoder's atoms.
        latents : Tensor of shape (n_tied,), int64
            The latents to tie.
        scale : float
            Length of their weights in the last layer, relative to the mean of the other latents'.
        n_active : int, optional
            On how many rows of X their biases make each of them positive. None, or no fewer than X
            has: the biases are 0.
        """
        layer = self.output_layer
        lengths = torch.linalg.vector_norm(layer.weight, dim=1)
        lengths[latents] = torch.nan
        length = scale * lengths.nanmean().nan_to_num(1.0)
        tied = self.tied_rows(X, dictionary[latents])
        layer.weight[latents] = length * nn.functional.normalize(tied, dim=1)
        if layer.bias is not None:
            layer.bias[latents] = 0
            if n_active is not None and n_active < len(X):
                layer.bias[latents] = -self(X)[:, latents].topk(n_active + 1, dim=0).values[-1]

    @torch.no_grad()
    def rescale(self, scale: Tensor | float) -> None:
        """Multiply the pre-activations by a positive factor, or by one for each latent."""
        layer = self.output_layer
        weight = layer.weight
        factor = factor_for(weight, scale)
        weight.mul_(factor.reshape(-1, 1))
        if layer.bias is not None:
            layer.bias.mul_(scale)


class LinearEncoder(nn.Linear, LayeredEncoder):
    """A = X W^T + b, with gradients by hand."""

    capturable = True

    offers = frozenset({"latent_rows", "partial_gradients"})
    batched = ()

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None = None) -> LinearEncoder:
        """Return an encoder with these as its parameters.

        Parameters
        ----------
        weight : Tensor of shape (n_components, n_features)
            W.
        bias : Tensor of shape (n_components,), optional
            b; None for an encoder without one.
        """
        # Not by nn.Linear's `__init__`, which draws weights from torch's global generator: that is
        # the user's. Nor by `skip_init`, which imports a system of computer algebra.
        encoder = cls.__new__(cls)
        nn.Module.__init__(encoder)
        encoder.out_features, encoder.in_features = weight.shape
        encoder.weight = nn.Parameter(weight)
        encoder.register_parameter("bias", None if bias is None else nn.Parameter(bias))
        return encoder

    @property
    def layers(self) -> list[LinearEncoder]:
        """The one layer."""
        return [self]

    @property
    def output_layer(self) -> nn.Linear:
        """The one layer."""
        return self

    def forward(self, X: Tensor) -> Tensor:
        """Map (n, n_features) centered data to (n, n_components) pre-activations."""
        check_columns(X, self.in_features, "LinearEncoder")
        return super().forward(X)

    def tied_rows(self, X, atoms, sample_weight=None):  # noqa: ARG002
        """Return the atoms."""
        return atoms

    def units(self) -> dict[nn.Parameter, int]:
        """Biases have the unit of the data."""
        return {} if self.bias is None else {self.bias: 1}

    def trace(self, X, intercept, workspace):
        """Return centered data and their pre-activations, these in memory of the workspace."""
        centered = X if intercept is None else X - intercept
        device, dtype = centered.device.type, centered.dtype
        if torch.is_autocast_enabled(device) and dtype != torch.float64:  # as autocast itself does
            dtype = torch.get_autocast_dtype(device)
        X, W = centered.to(dtype), self.weight.to(dtype)
        out = workspace.take_on_cpu("pre-activations", X, (len(X), len(W)))
        if self.bias is None:
            return centered, torch.mm(X, W.T, out=out)
        return centered, torch.addmm(self.bias.to(dtype), X, W.T, out=out)

    def screen(self, X, intercept, n_active, workspace):
        """Return centered data and a screen; of large layers on the CPU."""
        if not screening_pays(X, self.weight, n_active):
            return None
        centered = X if intercept is None else X - intercept
        screen = Screen(centered, self.weight, self.bias, workspace)
        return (centered, screen) if screen.has_bounds() else None

    def backward(self, centered, preactivations, gradient, intercept, workspace):  # noqa: ARG002
        """Add the gradients of A = (X - c) W^T + b, given dL/dA."""
        space = workspace.take_for_gradient("weight gradient", self.weight)
        add_gradient(self.weight, gradient.transposed_product(centered, out=space))
        if self.bias is None and intercept is None:
            return
        total = gradient.column_sums()
        if self.bias is not None:
            add_gradient(self.bias, total)
        if intercept is not None:
            add_gradient(intercept, _minus_product(total, self.weight))

    def preactivations_of(self, latents: Tensor, centered: Tensor) -> Tensor:
        """Return those of some latents alone."""
        bias = None if self.bias is None else self.bias[latents]
        return nn.functional.linear(centered, self.weight[latents], bias)

    def backward_of(self, latents: Tensor, centered: Tensor, gradient: DenseCodes) -> None:
        """Add the gradients that follow from dL/dA of some latents, once those of all are there."""
        add_gradient_rows(self.weight, latents, gradient.transposed_product(centered))
        if self.bias is not None:
            add_gradient_rows(self.bias, latents, gradient.column_sums())

    def entries(self, centered, chosen):
        """Return what was chosen of A, computed anew where it is of half precision."""
        if chosen.values.dtype == centered.dtype:
            return chosen.values
        return chosen.sample(centered, self.weight, self.bias)


class MLP(nn.Sequential, LayeredEncoder):
    """Linear layers with ReLU between them."""

    capturable = True

    batched = ()

    @property
    def layers(self) -> list[LinearEncoder]:
        """The linear layers."""
        return [layer for layer in self.children() if isinstance(layer, LinearEncoder)]

    @property
    def output_layer(self) -> nn.Linear:
        """The last layer."""
        return self.layers[-1]

    def hidden(self, X: Tensor) -> Tensor:
        """Return what the last layer takes in."""
        for layer in self.layers[:-1]:
            X = layer(X).relu()
        return X

    def units(self) -> dict[nn.Parameter, int]:
        """Biases have the unit of the data."""
        return {p: power for layer in self.layers for p, power in layer.units().items()}


def _minus_product(row: Tensor, matrix: Tensor) -> Tensor:
    """Return - row matrix, in the dtype of the row, by one operator."""
    ignored = matrix[:1]
    product = torch.addmm(ignored, row.unsqueeze(0), matrix, beta=0, alpha=-1)
    return product.squeeze(0).to(row.dtype)


def make_encoder(
    n_features: int,
    n_components: int,
    hidden_layer_sizes: Sequence[int] = (),
    *,
    bias: bool = True,
    generator: torch.Generator,
) -> LinearEncoder | MLP:
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
    LinearEncoder or MLP
        Maps (n, n_features) to (n, n_components).
    """
    widths = [n_features, *hidden_layer_sizes, n_components]
    linear = [_make_linear(*pair, bias, generator) for pair in pairwise(widths)]
    if len(linear) == 1:
        return linear[0]
    layers = [part for layer in linear for part in (layer, nn.ReLU())]
    return MLP(*layers[:-1])  # the last ReLU is the activation's business


def _make_linear(n_in: int, n_out: int, bias: bool, generator: torch.Generator) -> LinearEncoder:
    bound = (6 / n_in) ** 0.5  # He et al. (2015), uniform: keeps the variance through ReLU layers
    weight = torch.empty(n_out, n_in, dtype=torch.float32)
    weight.uniform_(-bound, bound, generator=generator)
    return LinearEncoder.of(weight, weight.new_zeros(n_out) if bias else None)
