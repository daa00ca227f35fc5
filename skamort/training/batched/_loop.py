"""The training loop of many nets at once: what `SparseNet.partial_fit` does, a row a net.

Losses, weights and counts of the nets are rows of tensors. When training stops, and which epoch was
the best, the callbacks of each net tell, as when it is trained alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor
from tqdm import tqdm

from ..._progress import advance, expect, progress_bar
from .._callbacks import BestWeights, ClearDenormals, StopOnPlateau
from .._data import InMemoryData, TrainingData
from .._dead_latents import LatentActivity
from .._forecast import Forecast
from .._job import Job
from .._net import SparseNet
from .._rules import count_firing, is_lowest, mean_of_batches
from ._batches import StackedBatches
from ._net import BatchedNet, index_of
from ._plan import plan
from ._revivals import Revivals
from ._steppers import stepper_for

Kind = TypeVar("Kind", bound=Callback)


def train(jobs: Sequence[Job], verbose: bool = False) -> None:
    """Train nets, together where they can be; `error` tells of each whether it failed.

    Parameters
    ----------
    jobs : sequence of Job
        What is to be trained.
    verbose : bool, default=False
        Whether to draw a bar of epochs for nets that are trained together.
    """
    for group in plan(jobs):
        if len(group) == 1:
            group[0].run()
            continue
        n_epochs = max(job.net.max_epochs for job in group)
        threads = group[0].net.threads_worth(group[0].training, len(group))
        with threads, progress_bar(n_epochs, f"{len(group)} models", disable=not verbose) as bar:
            BatchedTraining(group).run(bar)


class BatchedTraining:
    """Train nets together, each to the end that it would reach alone.

    Parameters
    ----------
    jobs : list of Job
        A group of a `plan`. In the end each net holds its weights, its moments and its history,
        but for those whose loss became infinite or NaN: they keep their first weights, and their
        job tells the error.
    """

    def __init__(self, jobs: list[Job]):
        self.jobs = jobs
        # Whose rows the tensors have, and who is still in training, as places in `jobs`.
        self.stack, self.models = list(range(len(jobs))), list(range(len(jobs)))
        nets = [job.net for job in jobs]
        self.net = BatchedNet(nets, jobs[0].training.device)
        self.training, self.held_out = _batches(jobs)
        n_components = nets[0].module_.decoder.dictionary.shape[0]
        shape = len(jobs), n_components
        self.silence = self.net.learned.new_zeros(shape, dtype=torch.int64)
        self.counts = torch.zeros_like(self.silence)
        # Of the epoch that counts: the weights, and how often latents fired.
        self.kept, self.kept_counts = self.net.learned.clone(), self.counts.clone()
        self.history: list[list[dict]] = [[] for _ in jobs]
        self.clear_every = _callback(nets[0], ClearDenormals).every
        self.best_weights = [_callback(net, BestWeights) for net in nets]
        self.stops = [_callback(net, StopOnPlateau) for net in nets]
        for net, *callbacks in zip(nets, self.best_weights, self.stops, strict=True):
            for callback in callbacks:
                callback.on_train_begin(net)
        self.revivals = Revivals(jobs)
        self.stepper = stepper_for(self._step, self.net)
        for job in jobs:
            if job.schedule is not None:
                job.schedule.begin(job.net.max_epochs, len(self.training))
        self.forecasts = [
            Forecast(job.net.max_epochs, stop, job.schedule)
            for job, stop in zip(jobs, self.stops, strict=True)
        ]

    @torch.no_grad()
    def run(self, bar: tqdm) -> None:
        """Train until the last model has converged or come to its last epoch."""
        for epoch in range(1, 1 + max(job.net.max_epochs for job in self.jobs)):
            self._train_epoch(epoch)
            self._leave(epoch)
            if not self.models:
                break
            ends = [self.forecasts[model].end(epoch) for model in self.models]
            end = expect(bar, *map(max, zip(*ends, strict=True)))
            advance(bar, "epoch", training=f"{len(self.models)} models", end=end)

    def _train_epoch(self, epoch: int) -> None:
        """Pass once over the data; record what each model's history holds of it."""
        losses, sizes = [], []
        self.counts.zero_()
        for batch in self.training.batches(self.stack, self._generators()):
            losses.append(self._take_step(batch))
            sizes.append(batch[0].shape[2])
        rows = [{"epoch": epoch} for _ in self.models]
        self._record(rows, "train", losses, sizes)
        self._keep_best(rows)
        for model, row in zip(self.models, rows, strict=True):
            schedule = self.jobs[model].schedule
            if schedule is not None:
                row["warming_up"] = schedule.warming_up
            self.history[model].append(row)
            row["train_loss_best"] = is_lowest("train_loss", self.history[model])

    def _generators(self) -> list[torch.Generator]:
        """Return what shuffles the rows of each model; of those that have ended, any other."""
        own = {model: self.jobs[model].net.generator for model in self.models}
        return [own.get(model) or torch.Generator() for model in self.stack]

    def _take_step(self, batch: list[Tensor]) -> Tensor:
        """Take a step on a batch, and what follows it at times; return the loss of each row."""
        due = self.revivals.due(self.models, batch[0].shape[2])
        before = self.net.learned.clone() if due else self.net.learned
        self.net.n_steps += 1
        loss = self.stepper.take(batch, self._factors())
        if self.net.n_steps % self.clear_every == 0:
            self.net.clear_denormals()
        for model, place in self.revivals.with_dead(due, self._places(due), self.silence):
            silence = self.silence[place]
            self.revivals.look(model, self.net, place, batch[0], before[place], silence)
        return loss

    def _step(self, batch, factors) -> Tensor:
        """Take a step, and count."""
        loss, fired = self.net.backward(*batch)
        self.net.step(factors)
        count_firing(self.counts, self.silence, fired, batch[0].shape[2])
        return loss

    def _factors(self) -> list[float]:
        """Return the factor of the next step of each row, and count it."""
        schedules = {model: self.jobs[model].schedule for model in self.models}
        factors = {m: 1.0 if s is None else s.next_factor() for m, s in schedules.items()}
        return [factors.get(model, factors[self.models[0]]) for model in self.stack]

    def _places(self, models: list[int]) -> list[int]:
        """Return which rows models have."""
        places = {model: place for place, model in enumerate(self.stack)}
        return [places[model] for model in models]

    def _keep_best(self, rows: list[dict]) -> None:
        """Keep what was learned in an epoch by the models of which it is the best."""
        if self.held_out is None:
            self.kept, self.kept_counts = self.net.learned, self.counts
            return
        better = self._validate(self.held_out, rows)
        self.kept = torch.where(better, self.net.learned, self.kept)
        self.kept_counts = torch.where(better, self.counts, self.kept_counts)

    def _validate(self, held_out: StackedBatches, rows: list[dict]) -> Tensor:
        """Record the losses of the held-out rows; tell which are the lowest so far, in a column."""
        losses, sizes = [], []
        for batch in held_out.batches(self.stack):
            losses.append(self.net.evaluate(*batch))
            sizes.append(batch[0].shape[2])
        self._record(rows, "valid", losses, sizes)
        are_best = [False for _ in self.stack]
        pairs = zip(self.models, self._places(self.models), rows, strict=True)
        for model, place, row in pairs:
            row["valid_loss_best"] = self.best_weights[model].is_best(row["valid_loss"])
            are_best[place] = row["valid_loss_best"]
        return torch.tensor(are_best, device=self.kept.device).unsqueeze(1)

    def _record(
        self, rows: list[dict], prefix: str, losses: list[Tensor], sizes: list[int]
    ) -> None:
        """Note each model's mean loss a sample, in the data's own unit, in its row."""
        values = torch.stack(losses).cpu().numpy().astype(np.float64)
        means = mean_of_batches(list(values), sizes)[self._places(self.models)]
        for model, row, mean in zip(self.models, rows, means.tolist(), strict=True):
            loss = mean * self.jobs[model].net.loss_unit
            row |= {f"{prefix}_loss": loss, f"{prefix}_batch_count": len(losses)}

    def _leave(self, epoch: int) -> None:
        """Let the models go that have converged, diverged or come to their last epoch."""
        ended = [model for model in self.models if self._has_ended(model, epoch)]
        if not ended:
            return
        self._hand_over(ended)
        self.models = [model for model in self.models if model not in ended]
        if len(self.models) <= self.stepper.share_left * len(self.stack):
            self._restack()

    def _has_ended(self, model: int, epoch: int) -> bool:
        """Tell whether training ends here for a model."""
        job, row = self.jobs[model], self.history[model][-1]
        losses = [row["train_loss"], row.get("valid_loss", 0.0)]
        infinite = [loss for loss in losses if not math.isfinite(loss)]
        if infinite:
            job.error = job.net.divergence(f"its loss became {infinite[0]} in epoch {epoch}")
            return True
        job.net.converged_ = self.stops[model].has_converged(row, job.schedule)
        return job.net.converged_ or epoch == job.net.max_epochs

    def _hand_over(self, models: list[int]) -> None:
        """Leave in nets what training alone would have left, but in those that diverged; all of it
        comes from a GPU at once."""
        places = self._places(models)
        learned = _rows([self.kept, self.net.mean, self.net.square], places)
        counted = _rows([self.silence, self.kept_counts], places)
        for model, numbers, (silence, fired) in zip(models, learned, counted, strict=True):
            net = self.jobs[model].net
            if self.jobs[model].error is None:
                self.net.store(net, *numbers)
                frequency = fired.float() / self.training.n_rows
                _callback(net, LatentActivity).take_over(silence, frequency, net.device)
                net.history.extend({**row, "batches": []} for row in self.history[model])

    def _restack(self) -> None:
        """Go on without the rows of models that have ended."""
        places = self._places(self.models)
        self.stack = list(self.models)
        self.net.keep(places)
        self.stepper.clear()
        rows = index_of(places, self.kept.device)
        self.kept, self.silence, self.counts, self.kept_counts = (
            t[rows] for t in (self.kept, self.silence, self.counts, self.kept_counts)
        )


def _batches(jobs: list[Job]) -> tuple[StackedBatches, StackedBatches | None]:
    """Return the batches to train on, and those held out, or None."""
    batch_size = jobs[0].net.batch_size
    training = StackedBatches([_in_memory(job.training) for job in jobs], batch_size)
    if jobs[0].held_out is None:
        return training, None
    return training, StackedBatches([_in_memory(job.held_out) for job in jobs], batch_size)


def _rows(tensors: list[Tensor], places: list[int]) -> Tensor:
    """Return on the host some rows of each tensor, those of a place together."""
    rows = index_of(places, tensors[0].device)
    return torch.stack([tensor[rows] for tensor in tensors], dim=1).cpu()


def _in_memory(data: TrainingData | None) -> InMemoryData:
    return cast(InMemoryData, data)  # `plan` leaves all else alone


def _callback(net: SparseNet, kind: type[Kind]) -> Kind:
    return next(callback for _, callback in net.callbacks_ if isinstance(callback, kind))
