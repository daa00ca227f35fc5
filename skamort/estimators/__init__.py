"""The estimators, and the fit of many at once."""

from .._compat import HasMethods, Interval, StrOptions
from ._amortized import AmortizedCoder
from ._assembled import assembled
from ._base_sae import BaseSAE
from ._base_trained import BaseTrainedEncoder
from ._batch_topk import BatchTopKSAE
from ._declared import parameter
from ._fit_many import fit_many
from ._gated import GatedSAE
from ._grad_sparse_coder import GradSparseCoder
from ._ito_coder import ITOCoder
from ._jumprelu import JumpReLUSAE
from ._l1_encoder import L1Encoder
from ._lista import LISTAEncoder
from ._loading import load
from ._matryoshka import MatryoshkaSAE
from ._mlp import MLPEncoder
from ._parameters import COUNT, NON_NEGATIVE, POSITIVE, SHARE
from ._sae import SAEEncoder
from ._topk import TopKSAE
from ._weighted import WeightedSAE

__all__ = [
    "COUNT",
    "NON_NEGATIVE",
    "POSITIVE",
    "SHARE",
    "AmortizedCoder",
    "BaseSAE",
    "BaseTrainedEncoder",
    "BatchTopKSAE",
    "GatedSAE",
    "GradSparseCoder",
    "HasMethods",
    "ITOCoder",
    "Interval",
    "JumpReLUSAE",
    "L1Encoder",
    "LISTAEncoder",
    "MLPEncoder",
    "MatryoshkaSAE",
    "SAEEncoder",
    "StrOptions",
    "TopKSAE",
    "WeightedSAE",
    "assembled",
    "fit_many",
    "load",
    "parameter",
]
