"""Sparse autoencoders, sparse coding and the hybrids between, as scikit-learn estimators."""

from . import (  # noqa: F401 - `_fork` watches over processes that are forked later
    _fork,
    datasets,
    estimators,
    hooks,
    inspection,
    interop,
    metrics,
    modules,
    solvers,
    training,
)
from .estimators import (
    AmortizedCoder,
    BatchTopKSAE,
    GatedSAE,
    GradSparseCoder,
    ITOCoder,
    JumpReLUSAE,
    LISTAEncoder,
    MatryoshkaSAE,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
    load,
)

__all__ = [
    "AmortizedCoder",
    "BatchTopKSAE",
    "GatedSAE",
    "GradSparseCoder",
    "ITOCoder",
    "JumpReLUSAE",
    "LISTAEncoder",
    "MLPEncoder",
    "MatryoshkaSAE",
    "SAEEncoder",
    "TopKSAE",
    "WeightedSAE",
    "load",
]
__version__ = "0.1.0"
