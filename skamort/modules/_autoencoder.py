"""The sparse autoencoder: an encoder, an activation and a linear decoder.

    Z = activation(encoder(X - c))          codes,          (n, n_components)
    X_hat = Z D + c                         reconstruction, (n, n_features)

D, the dictionary, holds one atom a row; c, the intercept, is the literature's pre-bias b_pre (or
decoder bias b_dec), absent when the model is fitted without one.
"""

import torch
from torch import Tensor, nn

from ._activations import TopK
from ._codes import DenseCodes, SparseCodes, sampled_product, sparse_pays


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
        self.dictionary = nn.Parameter(dictionary.clone(), requires_grad=trainable)
        self.intercept = None if intercept is None else nn.Parameter(intercept.clone())

    def forward(self, codes: Tensor) -> Tensor:
        """Decode (n, n_components) codes to (n, n_features) data."""
        if self.intercept is None:
            return codes @ self.dictionary
        return torch.addmm(self.intercept, codes, self.dictionary)


class SparseAutoencoder(nn.Module):
    """An encoder, an activation and a decoder.

    Parameters
    ----------
    encoder : nn.Module
        Maps centered data (n, n_features) to pre-activations (n, n_components).
    activation : nn.Module
        Maps pre-activations to non-negative codes, with derivative 1 where a code is positive and 0
        elsewhere.
    decoder : Decoder
        Maps codes to reconstructions.
    """

    def __init__(self, encoder: nn.Module, activation: nn.Module, decoder: Decoder):
        super().__init__()
        self.encoder = encoder
        self.activation = activation
        self.decoder = decoder

    def center(self, X: Tensor) -> Tensor:
        """Subtract the intercept, where there is one."""
        intercept = self.decoder.intercept
        return X if intercept is None else X - intercept

    def encode(self, X: Tensor) -> Tensor:
        """Encode (n, n_features) data to (n, n_components) codes."""
        return self.activation(self.encoder(self.center(X)))

    def encode_compactly(self, X: Tensor) -> DenseCodes | SparseCodes:
        """Encode (n, n_features) data to codes in the layout that costs the least."""
        centered = self.center(X)
        return self.activate(self.encoder(centered), centered)

    def activate(
        self, preactivations: Tensor, centered: Tensor, activation: nn.Module | None = None
    ) -> DenseCodes | SparseCodes:
        """Turn pre-activations into codes in the layout that costs the least.

        Parameters
        ----------
        preactivations : Tensor of shape (n, n_components)
            ``encoder(centered)``. Half precision (under autocast) is enough to choose the k largest
            of a linear encoder; their values are then computed again in the dtype of `centered`.
        centered : Tensor of shape (n, n_features)
            ``center(X)``.
        activation : nn.Module, optional
            What to take instead of the model's own.
        """
        activation = activation or self.activation
        n_components = preactivations.shape[1]
        k = activation.k if isinstance(activation, TopK) else n_components
        if not sparse_pays(k, n_components):
            return DenseCodes(activation(preactivations.to(centered.dtype)))
        values, indices = activation.select(preactivations)
        if values.dtype != centered.dtype and isinstance(self.encoder, nn.Linear):
            values = sampled_product(centered, self.encoder.weight, indices)
            if self.encoder.bias is not None:
                values.add_(self.encoder.bias[indices])
        return SparseCodes(values.to(centered.dtype).relu_(), indices, n_components)

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction of `X` and its codes."""
        codes = self.encode(X)
        return self.decoder(codes), codes
