"""The sparse autoencoder: an encoder, an activation and a linear decoder.

    Z = activation(encoder(X - c))          codes,          (n, n_components)
    X_hat = Z D + c                         reconstruction, (n, n_features)

D, the dictionary, holds one atom a row; c, the intercept, is the literature's pre-bias b_pre (or
decoder bias b_dec), absent when the model is fitted without one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._given import described
from ._activations import Activation
from ._codes import DenseCodes, SparseCodes, sparse_pays
from ._columns import check_columns
from ._encoders import Encoder
from ._workspace import Workspace


class Decoder(nn.Module):
    """Linear map from codes to data, X_hat = Z D + c.

    Parameters
    ----------
    dictionary : Tensor of shape (n_components, n_features)
        The initial atoms, of unit norm.
    intercept : Tensor of shape (n_features,), optional
        The initial c; without it the decoder has none.
    trainable : bool, default=True
        Whether the atoms are learned; a known dictionary is not.
    """

    def __init__(self, dictionary: Tensor, intercept: Tensor | None = None, trainable: bool = True):
        super().__init__()
        self._check(dictionary, intercept)
        self.dictionary = nn.Parameter(dictionary.clone(), requires_grad=trainable)
        self.intercept = None if intercept is None else nn.Parameter(intercept.clone())

    def _check(self, dictionary, intercept):
        is_matrix = isinstance(dictionary, Tensor) and dictionary.is_floating_point()
        if not is_matrix or dictionary.ndim != 2:
            raise TypeError(
                "Decoder: dictionary must be a tensor of floats of shape (n_components, "
                f"n_features), got {described(dictionary)}."
            )
        if intercept is not None and tuple(getattr(intercept, "shape", ())) != dictionary.shape[1:]:
            raise ValueError(
                f"Decoder: intercept must have shape (n_features,) = ({dictionary.shape[1]},), got "
                f"{described(intercept)}."
            )

    def forward(self, codes: Tensor) -> Tensor:
        """Decode (n, n_components) codes to (n, n_features) data."""
        check_columns(codes, len(self.dictionary), "Decoder", "codes")
        if self.intercept is None:
            return codes @ self.dictionary
        return torch.addmm(self.intercept, codes, self.dictionary)

    def units(self) -> dict[nn.Parameter, int]:
        """The intercept has the unit of the data."""
        return {} if self.intercept is None else {self.intercept: 1}


class SparseAutoencoder(nn.Module):
    """An encoder, an activation and a decoder.

    Parameters
    ----------
    encoder : Encoder
        Maps centered data (n, n_features) to pre-activations (n, n_components).
    activation : Activation
        Maps pre-activations to non-negative codes.
    decoder : Decoder
        Maps codes to reconstructions.
    """

    def __init__(self, encoder: Encoder, activation: Activation, decoder: Decoder):
        super().__init__()
        for name, part in (("encoder", encoder), ("activation", activation)):
            if isinstance(part, type) or not hasattr(part, "offers"):
                raise TypeError(
                    f"SparseAutoencoder: {name} must be an instance of a subclass of "
                    f"skamort.modules.{name.capitalize()}, got {described(part)}."
                )
        activation.check_width(len(decoder.dictionary))
        self.encoder = encoder
        self.activation = activation
        self.decoder = decoder

    @property
    def offers(self) -> frozenset[str]:
        """What losses and callbacks may require of the parts, by name."""
        return self.encoder.offers | self.activation.offers

    def check(self, X: Tensor) -> None:
        """Refuse data that the model cannot take; it looks at no number.

        Raises
        ------
        TypeError
            If they are no tensor, or of another dtype.
        ValueError
            If they are of another width, or on another device.
        """
        atoms = self.decoder.dictionary
        if not isinstance(X, Tensor) or X.dtype != atoms.dtype:
            dtype = f" and {X.dtype}" if isinstance(X, Tensor) else ""
            raise TypeError(
                f"SparseAutoencoder: X must be a tensor of {atoms.dtype}, as its parameters are, "
                f"got {described(X)}{dtype}; convert it."
            )
        if X.ndim != 2 or X.shape[1] != atoms.shape[1] or X.device != atoms.device:
            raise ValueError(
                f"SparseAutoencoder: X must have shape (n, {atoms.shape[1]}) and be on "
                f"{atoms.device}, got shape {tuple(X.shape)} on {X.device}."
            )

    def _check_latents(self, preactivations: Tensor) -> None:
        n_components = len(self.decoder.dictionary)
        if preactivations.shape[1] != n_components:
            raise ValueError(
                f"SparseAutoencoder: the encoder gives {preactivations.shape[1]} pre-activations a "
                f"sample, but the decoder has {n_components} atoms; make both with as many."
            )

    def units(self) -> dict[nn.Parameter, int]:
        """Return the power of the data's unit that a parameter has, for those with a unit."""
        return self.encoder.units() | self.activation.units() | self.decoder.units()

    def largest_matrix(self) -> int:
        """Return the size of the largest parameter, the multiplications of its product a sample."""
        return max(parameter.numel() for parameter in self.parameters())

    def rescale(self, scale: Tensor | float) -> None:
        """Multiply the codes by a positive factor, or by one for each latent."""
        self.encoder.rescale(scale)
        self.activation.rescale(scale)

    def center(self, X: Tensor) -> Tensor:
        """Subtract the intercept, where there is one."""
        intercept = self.decoder.intercept
        return X if intercept is None else X - intercept

    def encode(self, X: Tensor) -> Tensor:
        """Encode (n, n_features) data to (n, n_components) codes."""
        self.check(X)
        found = self.find(X)
        if found is not None:
            return found[1].to_dense()
        preactivations = self.encoder(self.center(X))
        self._check_latents(preactivations)
        if self.activation.is_masked or not torch.is_grad_enabled():
            return self.activation(preactivations)
        return _ByHand.apply(preactivations, self.activation)

    def encode_compactly(self, X: Tensor) -> DenseCodes | SparseCodes:
        """Encode (n, n_features) data to codes in the layout that costs the least."""
        self.check(X)
        found = self.find(X)
        if found is not None:
            return found[1]
        centered = self.center(X)
        return self.activate(self.encoder(centered), centered)

    def find(
        self, X: Tensor, activation: Activation | None = None, workspace: Workspace | None = None
    ) -> tuple[Tensor, SparseCodes] | None:
        """Return centered data and their codes, if the encoder finds the codes that are kept
        without computing all pre-activations; None where it does not.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
            Data.
        activation : Activation, optional
            What to take instead of the model's own.
        workspace : Workspace, optional
            Memory to use.
        """
        activation = activation or self.activation
        workspace = Workspace() if workspace is None else workspace
        return activation.find(self.encoder, X, self.decoder.intercept, workspace)

    def activate(
        self, preactivations: Tensor, centered: Tensor, activation: Activation | None = None
    ) -> DenseCodes | SparseCodes:
        """Turn pre-activations into codes in the layout that costs the least.

        Parameters
        ----------
        preactivations : Tensor of shape (n, n_components)
            ``encoder(centered)``. Half precision (under autocast) is enough to choose the codes
            that are kept; a linear encoder computes these again in the dtype of `centered`.
        centered : Tensor of shape (n, n_features)
            ``center(X)``.
        activation : Activation, optional
            What to take instead of the model's own.
        """
        self._check_latents(preactivations)
        activation = activation or self.activation
        k, n_components = activation.n_active, preactivations.shape[1]
        if k is None or not sparse_pays(k, n_components, preactivations.device.type):
            values = activation(preactivations.to(centered.dtype))
            return DenseCodes(values, activation.is_signed)
        return self.select(preactivations, centered, activation)

    def select(
        self, preactivations: Tensor, centered: Tensor, activation: Activation | None = None
    ) -> SparseCodes:
        """Turn pre-activations into codes as `activate` does, in a sparse layout; the activation
        must know how many codes are active."""
        activation = activation or self.activation
        chosen = activation.select(preactivations)
        values = self.encoder.entries(centered, chosen)
        return chosen.with_values(values if activation.is_signed else values.relu_())

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction of `X` and its codes."""
        codes = self.encode(X)
        return self.decoder(codes), codes


class _ByHand(torch.autograd.Function):
    """An activation whose own `backward` autograd is to call."""

    @staticmethod
    def forward(ctx, preactivations, activation):
        codes = activation(preactivations)
        ctx.save_for_backward(preactivations, codes)
        ctx.activation = activation
        return codes

    @staticmethod
    def backward(ctx, code_grad):
        return ctx.activation.backward(*ctx.saved_tensors, code_grad), None
