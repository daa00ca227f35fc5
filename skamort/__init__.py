"""Sparse autoencoders, sparse coding and the hybrids between, as scikit-learn estimators."""

from . import _fork  # noqa: F401 - it watches over processes that are forked later
from .estimators import (
    AmortizedCoder,
    GradSparseCoder,
    ITOCoder,
    JumpReLUSAE,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
)

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
__version__ = "0.1.0"
