"""Torch building blocks: encoders, activations, the decoder, codes in two layouts."""

from ._activations import Activation, ReLU, TopK
from ._autoencoder import Decoder, SparseAutoencoder
from ._batch_topk import BatchTopK, Threshold
from ._codes import DenseCodes, SparseCodes
from ._constants import constant
from ._encoders import MLP, Encoder, LayeredEncoder, LinearEncoder, make_encoder
from ._flops import encoding_flops, training_flops
from ._gated import Gated
from ._jumprelu import JumpReLU
from ._lista import LISTA
from ._other_topk import GroupTopK, SignedTopK
from ._prolu import ProLU
from ._ragged_codes import RaggedCodes, compact
from ._thresholds import threshold_of_rows, thresholds_of_latents
from ._workspace import Workspace, add_gradient, add_gradient_sum

__all__ = [
    "LISTA",
    "MLP",
    "Activation",
    "BatchTopK",
    "Decoder",
    "DenseCodes",
    "Encoder",
    "Gated",
    "GroupTopK",
    "JumpReLU",
    "LayeredEncoder",
    "LinearEncoder",
    "ProLU",
    "RaggedCodes",
    "ReLU",
    "SignedTopK",
    "SparseAutoencoder",
    "SparseCodes",
    "Threshold",
    "TopK",
    "Workspace",
    "add_gradient",
    "add_gradient_sum",
    "compact",
    "constant",
    "encoding_flops",
    "make_encoder",
    "threshold_of_rows",
    "thresholds_of_latents",
    "training_flops",
]
