"""Torch building blocks: encoders, activations, the decoder."""

from ._activations import TopK
from ._autoencoder import Decoder, SparseAutoencoder
from ._encoders import make_encoder, output_layer, tie_to_dictionary

__all__ = [
    "Decoder",
    "SparseAutoencoder",
    "TopK",
    "make_encoder",
    "output_layer",
    "tie_to_dictionary",
]
