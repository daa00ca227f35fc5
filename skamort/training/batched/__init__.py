"""Many small nets trained as one: their weights stacked, every product a batched one."""

from ._batches import StackedBatches
from ._loop import BatchedTraining, train
from ._net import BatchedNet
from ._plan import plan

__all__ = ["BatchedNet", "BatchedTraining", "StackedBatches", "plan", "train"]
