"""Training steps as CUDA graphs: what a step launches is recorded once, and launched by one call.

A small model's step takes a GPU less time than the host, which launches some thirty operators. A
graph holds their memory too: the batch is copied to where the recorded step reads it, and what the
step returns lies where the next one writes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from skorch.callbacks import Callback
from torch import Tensor

from .._device import OutOfMemory, recorded
from ._data import TrainingData
from ._data_parallel import OneProcess

if TYPE_CHECKING:
    from ._net import SparseNet

# Steps on batches of a size before one is recorded: then all is made that lasts, such as moments.
_FIRST_STEPS = 3
# Numbers that the widest layer yields in a step beyond which a graph gains little and holds much:
# with 2^22 an H100 computes for 0.7 ms, and the host launches for 1.8 ms.
_MOST_NUMBERS = 1 << 23
_HOOKS = ("on_batch_begin", "on_grad_computed", "on_batch_end")

Batch = tuple[Tensor, ...]
Step = dict[str, Any]


def graphs_for(net: SparseNet, data: TrainingData) -> StepGraphs | None:
    """Return what takes the steps of a run by graphs; None where it is to be taken by operators.

    That is on a CPU; for large models; and where a step might look at numbers or change from one to
    the next, as by parts and callbacks of others, weights of rows, and several processes.
    """
    parts = [net.module_.encoder, net.module_.activation, net.criterion_]
    callbacks = [callback for _, callback in net.callbacks_]
    widest = max(max(p.shape, default=1) for p in net.module_.parameters())
    is_graphed = (
        data.device.type == "cuda"
        and not data.is_weighted
        and type(net.processes_) is OneProcess
        and widest * min(net.batch_size, len(data)) <= _MOST_NUMBERS
        and all(vars(type(part)).get("capturable") for part in parts)
        and None not in map(_recorded_hooks, callbacks)
    )
    return StepGraphs(net) if is_graphed else None


def _recorded_hooks(callback: Callback) -> tuple[str, ...] | None:
    """Return the hooks of a callback that graphs hold; None where they can hold no step with it."""
    kind = type(callback)
    if all(getattr(kind, hook) is getattr(Callback, hook) for hook in _HOOKS):
        return ()
    return vars(kind).get("capturable")  # of this class: a subclass may do otherwise


class StepGraphs:
    """The steps of a run, recorded once for each size of batches.

    Parameters
    ----------
    net : SparseNet
        Whose steps.
    """

    def __init__(self, net: SparseNet):
        self.net = net
        self.rates, self.steps = _KeptRates(net), RecordedSteps()
        self.parameters = list(net.module_.parameters())
        self.dead, self.settings = net.criterion_.dead, self._settings()
        every = [callback for _, callback in net.callbacks_]
        self.inside = [c for c in every if "on_batch_end" in (_recorded_hooks(c) or ())]
        self.outside = [c for c in every if c not in self.inside]

    def take(self, batch: Batch) -> Step:
        """Take a step on a batch, with what callbacks do in it; return what skorch's do."""
        self.rates.follow()
        loss, settings = self.net.criterion_, self._settings()
        if loss.alpha_factor != 1.0:  # it climbs
            return self._step(batch)
        if loss.dead is not self.dead or settings != self.settings:
            self.dead, self.settings, self.steps = loss.dead, settings, RecordedSteps()
        step = self.steps.of(batch, lambda: RecordedStep(self._step, batch))
        return self._step(batch) if step is None else _kept(step.take(batch))

    def _settings(self) -> tuple:
        """Return what callbacks may change between epochs: what is learned, and the penalty."""
        learned = tuple(parameter.requires_grad for parameter in self.parameters)
        return getattr(self.net.criterion_, "alpha", None), learned

    def _step(self, batch: Batch) -> Step:
        with self.rates.used():
            step = self.net.step_by_operators(batch)
        told = {name: value for name, value in step.items() if name != "terms"}
        for callback in self.inside:
            callback.on_batch_end(self.net, batch=batch, training=True, **told)
        return step

    def notify_of_end(self, batch: Batch, **step: Any) -> None:
        """Tell the callbacks that are not part of the step."""
        for callback in self.outside:
            callback.on_batch_end(self.net, batch=batch, training=True, **step)


class RecordedSteps:
    """Recorded steps, one for each size of batches, while a GPU has memory for them."""

    def __init__(self) -> None:
        self.recorded: dict[Any, Any] = {}
        self.n_taken: Counter = Counter()

    def of(self, batch: Sequence[Tensor], record: Callable[[], Any]) -> Any:
        """Return the step for a batch, recorded where it is time; None: to be taken otherwise."""
        size = tuple(tensor.shape for tensor in batch)
        self.n_taken[size] += 1
        if size not in self.recorded and self.n_taken[size] > _FIRST_STEPS:
            self.recorded[size] = _tried(record)
        return self.recorded.get(size)


def _tried(record: Callable[[], Any]) -> Any:
    """Return what was recorded, None where the GPU has no memory for it, or refuses."""
    try:
        return record()
    except OutOfMemory:
        return None
    except RuntimeError as error:
        warnings.warn(
            "A training step could not be recorded as a CUDA graph; steps are taken operator by "
            f"operator, of small models several times slower: {error}",
            UserWarning,
            stacklevel=2,
        )
        return None


class RecordedStep:
    """A step that was recorded.

    Parameters
    ----------
    step : callable
        Takes a batch; what it launches is recorded.
    batch : tuple of Tensor
        A batch of the size that it takes.
    """

    def __init__(self, step: Callable[[Batch], Any], batch: Batch):
        self.batch = tuple(torch.empty_like(tensor) for tensor in batch)
        self.replay, self.outcome = recorded(lambda: step(self.batch), batch[0].device)

    def take(self, batch: Batch) -> Any:
        """Take the step on a batch; the next one overwrites what it returns."""
        for place, values in zip(self.batch, batch, strict=True):
            place.copy_(values)
        self.replay()
        return self.outcome


def _kept(step: Step) -> Step:
    """Return what a recorded step returned, as the next one will not overwrite it."""
    terms = {name: term.clone() for name, term in step["terms"].items()}
    return {"loss": step["loss"].clone(), "y_pred": copy(step["y_pred"]), "terms": terms}


class _KeptRates:
    """The learning rates of a net as numbers on the GPU, which recorded steps read there.

    In a step by operators they are what the optimizer has too: kernels for numbers of the host are
    others, and what is built while a graph is recorded breaks it.
    """

    def __init__(self, net: SparseNet):
        self.groups = net.optimizer_.param_groups
        self.rates = [group["lr"] for group in self.groups]
        self.there = [torch.tensor(rate, device=net.device) for rate in self.rates]

    def follow(self) -> None:
        """Take over the numbers that the optimizer has now."""
        for place, group in enumerate(self.groups):
            if group["lr"] != self.rates[place]:
                self.rates[place] = group["lr"]
                self.there[place].fill_(group["lr"])

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the optimizer read them there."""
        self._give(self.there)
        try:
            yield
        finally:
            self._give(self.rates)

    def _give(self, rates: Sequence[float | Tensor]) -> None:
        for group, rate in zip(self.groups, rates, strict=True):
            group["lr"] = rate
