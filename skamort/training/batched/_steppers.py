"""How the steps of many nets are taken: by operators, or on a GPU by CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..._device import upload
from ...modules import Workspace
from .._step_graph import RecordedStep, RecordedSteps
from ._net import BatchedNet

Step = Callable[..., Tensor]


def stepper_for(step: Step, net: BatchedNet) -> ByOperators | ByGraphs:
    """Return what takes the steps.

    Parameters
    ----------
    step : callable
        Takes the tensors of a batch and the factors of the step size, as `BatchedNet.step` has
        them; returns the models' losses.
    net : BatchedNet
        The nets.
    """
    return ByGraphs(step, net) if net.learned.is_cuda else ByOperators(step)


class ByOperators:
    """Takes each step operator by operator.

    Attributes
    ----------
    share_left : float
        Share of the models from which on the rest goes on without those that have ended.
    """

    share_left = 1.0

    def __init__(self, step: Step):
        self.step = step

    def take(self, batch: list[Tensor], factors: list[float]) -> Tensor:
        """Take a step on a batch; return the losses."""
        return self.step(batch, factors)

    def clear(self) -> None:
        """Go on with other models."""


class ByGraphs:
    """Takes steps that were recorded, where a batch has the size of one.

    Attributes
    ----------
    share_left : float
        Share of the models from which on the rest goes on without those that have ended, by steps
        that have to be recorded anew: before, to take theirs too costs less.
    """

    share_left = 0.5

    def __init__(self, step: Step, net: BatchedNet):
        self.step, self.net = step, net
        self.clear()

    def clear(self) -> None:
        """Go on with other models."""
        self.steps = RecordedSteps()
        self.factors = torch.ones_like(self.net.learned[:, :1])
        self.known = [1.0] * len(self.net)

    def take(self, batch: list[Tensor], factors: list[float]) -> Tensor:
        """Take a step on a batch; return the losses."""
        if factors != self.known:
            self._follow(factors)
        step = self.steps.of(batch, lambda: self._record(batch))
        if step is None:
            return self.step(batch, self.factors)
        return step.take(batch).clone()

    def _follow(self, factors: list[float]) -> None:
        """Take over the factors of the steps: mostly one for all."""
        self.known = factors
        if len(set(factors)) == 1:
            self.factors.fill_(factors[0])
        else:
            column = torch.tensor(factors, dtype=self.factors.dtype).unsqueeze(1)
            self.factors.copy_(upload(column, self.factors.device))

    def _record(self, batch: list[Tensor]) -> RecordedStep:
        kept, self.net.workspace = self.net.workspace, Workspace()  # of the graph's own
        try:
            return RecordedStep(lambda batch: self.step(batch, self.factors), tuple(batch))
        finally:
            self.net.workspace = kept
