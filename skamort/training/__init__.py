"""Training of encoders: the skorch net, batches, losses and callbacks."""

from ._batches import TensorBatches
from ._callbacks import (
    BestWeights,
    ClearDenormals,
    ClipGradient,
    Progress,
    StopOnPlateau,
    TrainingConverged,
    UnitNormAtoms,
)
from ._checkpoint import Checkpoint
from ._chunks import BUFFER_ELEMENTS, ChunkBatches, ChunkDataset, batches_of, fingerprint, hold_out
from ._latents import LatentActivity, ResampleDead, TeachDead
from ._losses import CodeRegressionLoss, SparseCodingLoss
from ._many import fit_many
from ._net import SparseNet
from ._plateau import Plateau
from ._processes import DataParallel
from ._schedule import Schedule, ramp

__all__ = [
    "BUFFER_ELEMENTS",
    "BestWeights",
    "Checkpoint",
    "ChunkBatches",
    "ChunkDataset",
    "ClearDenormals",
    "ClipGradient",
    "CodeRegressionLoss",
    "DataParallel",
    "LatentActivity",
    "Plateau",
    "Progress",
    "ResampleDead",
    "Schedule",
    "SparseCodingLoss",
    "SparseNet",
    "StopOnPlateau",
    "TeachDead",
    "TensorBatches",
    "TrainingConverged",
    "UnitNormAtoms",
    "batches_of",
    "fingerprint",
    "fit_many",
    "hold_out",
    "ramp",
]
