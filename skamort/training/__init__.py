"""Training of encoders: the skorch net, batches, losses and callbacks."""

from ._batches import TensorBatches
from ._callbacks import (
    BestWeights,
    ClearDenormals,
    Progress,
    StopOnPlateau,
    TrainingConverged,
    UnitNormAtoms,
)
from ._latents import LatentActivity, ResampleDead, TeachDead
from ._losses import CodeRegressionLoss, SparseCodingLoss
from ._net import SparseNet
from ._plateau import Plateau

__all__ = [
    "BestWeights",
    "ClearDenormals",
    "CodeRegressionLoss",
    "LatentActivity",
    "Plateau",
    "Progress",
    "ResampleDead",
    "SparseCodingLoss",
    "SparseNet",
    "StopOnPlateau",
    "TeachDead",
    "TensorBatches",
    "TrainingConverged",
    "UnitNormAtoms",
]
