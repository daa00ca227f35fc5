"""Training of encoders: the skorch net, batches, losses and callbacks."""

from ._batches import TensorBatches
from ._callbacks import ClearDenormals, Progress, StopOnPlateau, TrainingConverged, UnitNormAtoms
from ._chunks import BUFFER_ELEMENTS, ChunkBatches, ChunkDataset, batches_of
from ._losses import CodeRegressionLoss, SparseCodingLoss
from ._net import SparseNet
from ._plateau import Plateau

__all__ = [
    "BUFFER_ELEMENTS",
    "ChunkBatches",
    "ChunkDataset",
    "ClearDenormals",
    "CodeRegressionLoss",
    "Plateau",
    "Progress",
    "SparseCodingLoss",
    "SparseNet",
    "StopOnPlateau",
    "TensorBatches",
    "TrainingConverged",
    "UnitNormAtoms",
    "batches_of",
]
