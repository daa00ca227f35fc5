"""A run of training as an object: who trains, on what, and what happens around it."""

from __future__ import annotations

from dataclasses import dataclass

from skorch.callbacks import Callback

from ._data import TrainingData
from ._net import SparseNet
from ._schedule import Schedule


@dataclass(eq=False)
class Job:
    """A net that is ready to be trained, and all that the run takes.

    Attributes
    ----------
    net : SparseNet
        The net, with its loss and its number of epochs set.
    data : TrainingData
        All rows.
    training : TrainingData
        Those to train on.
    held_out : TrainingData, optional
        Those whose loss is to be recorded after each epoch.
    schedule, checkpoint : Schedule and Checkpoint, optional
        Callbacks of this run, before and after those that the net keeps.
    observer : Callback, optional
        What is told of this run alone, at last.
    error : ValueError or None
        Why the run failed.
    """

    net: SparseNet
    data: TrainingData
    training: TrainingData
    held_out: TrainingData | None = None
    schedule: Schedule | None = None
    checkpoint: Callback | None = None
    observer: Callback | None = None
    error: ValueError | None = None

    @property
    def callbacks(self) -> list[tuple[str, Callback]]:
        """The callbacks of the run and their names, in the order in which they act."""
        run = [("schedule", self.schedule), *self.net.callbacks_, ("checkpoint", self.checkpoint)]
        run.append(("observer", self.observer))
        return [(name, callback) for name, callback in run if callback is not None]

    def run(self) -> None:
        """Train the net alone, where the rows are."""
        self.net.move_to(self.training.device)
        kept = self.net.callbacks_
        self.net.callbacks_ = self.callbacks
        try:
            self.net.partial_fit(self.training, self.held_out)
        except ValueError as error:
            self.error = error
        finally:
            self.net.callbacks_ = kept
