"""Torch building blocks: encoders, activations, the decoder, codes in two layouts."""

from ._activations import TopK
from ._autoencoder import Decoder, SparseAutoencoder
from ._codes import DenseCodes, SparseCodes
from ._encoders import make_encoder, output_layer, retie, scale_output, tie_to_dictionary
from ._lista import LISTA

__all__ = [
    "LISTA",
    "Decoder",
    "DenseCodes",
    "SparseAutoencoder",
    "SparseCodes",
    "TopK",
    "make_encoder",
    "output_layer",
    "retie",
    "scale_output",
    "tie_to_dictionary",
]
