"""Training of encoders: the skorch net, batches, losses and callbacks.

`batched` is a second engine, which trains many small nets as one.
"""

from ._batches import TensorBatches
from ._callback import Setting, Stateful
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
from ._chunks import ChunkBatches
from ._code_regression_loss import CODE_LOSSES, CodeRegressionLoss
from ._data import ChunkedData, InMemoryData, TrainingData
from ._data_parallel import DataParallel
from ._dead_latents import DeadLatents, LatentActivity, ResampleDead, TeachDead
from ._end_to_end_loss import EndToEndLoss
from ._gated_loss import GatedLoss
from ._job import Job
from ._jumprelu_loss import JumpReLULoss
from ._loss import Loss, Outcome, ReconstructionLoss
from ._matryoshka_loss import MatryoshkaLoss
from ._net import SparseNet
from ._non_negative import NonNegativeAtoms, non_negative
from ._plateau import Plateau
from ._pursuit_loss import PursuitLoss
from ._sample import Sample
from ._schedule import Schedule, ramp
from ._sparse_coding_loss import SparseCodingLoss
from ._step_scoring import StepScoring
from ._target_l0 import TargetL0

__all__ = [
    "CODE_LOSSES",
    "BestWeights",
    "Checkpoint",
    "ChunkBatches",
    "ChunkedData",
    "ClearDenormals",
    "ClipGradient",
    "CodeRegressionLoss",
    "DataParallel",
    "DeadLatents",
    "EndToEndLoss",
    "GatedLoss",
    "InMemoryData",
    "Job",
    "JumpReLULoss",
    "LatentActivity",
    "Loss",
    "MatryoshkaLoss",
    "NonNegativeAtoms",
    "Outcome",
    "Plateau",
    "Progress",
    "PursuitLoss",
    "ReconstructionLoss",
    "ResampleDead",
    "Sample",
    "Schedule",
    "Setting",
    "SparseCodingLoss",
    "SparseNet",
    "Stateful",
    "StepScoring",
    "StopOnPlateau",
    "TargetL0",
    "TeachDead",
    "TensorBatches",
    "TrainingConverged",
    "TrainingData",
    "UnitNormAtoms",
    "non_negative",
    "ramp",
]
