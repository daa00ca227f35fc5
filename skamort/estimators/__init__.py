"""The estimators."""

from ._amortized import AmortizedCoder
from ._grad_sparse_coder import GradSparseCoder
from ._ito_coder import ITOCoder
from ._jumprelu import JumpReLUSAE
from ._lista import LISTAEncoder
from ._mlp import MLPEncoder
from ._sae import SAEEncoder
from ._topk import TopKSAE
from ._weighted import WeightedSAE

__all__ = [
    "AmortizedCoder",
    "GradSparseCoder",
    "ITOCoder",
    "JumpReLUSAE",
    "LISTAEncoder",
    "MLPEncoder",
    "SAEEncoder",
    "TopKSAE",
    "WeightedSAE",
]
