"""The training loop of many networks at once: what `SparseNet.partial_fit` does, a row a model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ._callbacks import ClearDenormals, StopOnPlateau
from ._data import InMemoryData
from ._net import SparseNet
from ._plateau import Plateau
from ._stack import NetStack


class StackedBatches:
    """Rows of data of the same length, in batches for many models at once.

    Parameters
    ----------
    data : list of InMemoryData
        One for each model; where all hold the same tensors these are not copied.
    batch_size : int
        Rows a batch; the last batch of a pass holds what is left.
    """

    def __init__(self, data: list[InMemoryData], batch_size: int):
        self.n_rows, self.batch_size = len(data[0]), batch_size
        columns = list(zip(*(one.tensors for one in data), strict=True))
        self.are_shared = all(t is tensors[0] for tensors in columns for t in tensors)
        copies = slice(1) if self.are_shared else slice(None)
        self.tensors = [torch.stack(tensors[copies]) for tensors in columns]
        if self.n_rows <= batch_size:
            self.whole = [tensor.mT.contiguous() for tensor in self.tensors]

    def batches(
        self, models: list[int], generators: list[torch.Generator] | None = None
    ) -> Iterator[list[Tensor]]:
        """Yield batches of shape (n_models, width, n) of each tensor.

        Each generator shuffles the rows of its model as `TensorBatches` does.
        """
        device = self.tensors[0].device
        if self.n_rows <= self.batch_size:
            yield [self._of(models, tensor) for tensor in self.whole]
        elif generators is None:
            for rows in torch.arange(self.n_rows, device=device).split(self.batch_size):
                yield [self._of(models, t[:, rows].mT.contiguous()) for t in self.tensors]
        else:
            orders = torch.stack([torch.randperm(self.n_rows, generator=g) for g in generators])
            if not self.are_shared:
                orders += self.n_rows * torch.tensor(models).unsqueeze(1)
            for rows in orders.to(device).split(self.batch_size, dim=1):
                # Of one long matrix: several times faster than with two indices.
                picked = [t.flatten(0, 1).index_select(0, rows.flatten()) for t in self.tensors]
                yield [t.unflatten(0, rows.shape).mT.contiguous() for t in picked]

    def _of(self, models: list[int], tensor: Tensor) -> Tensor:
        return tensor.expand(len(models), -1, -1) if self.are_shared else tensor[models]


class StackTraining:
    """Train nets together, each to the end that it would reach alone.

    Parameters
    ----------
    nets : list of SparseNet
        As `NetStack` takes them; in the end each holds its weights, its moments and its history.
    training : list of InMemoryData
        What each is to be trained on.
    held_out : list of InMemoryData or None
        Held-out rows of each, of equal number, or None.

    Attributes
    ----------
    errors : list of ValueError or None
        Of the nets whose loss became infinite or NaN, and which keep their first weights.
    """

    def __init__(
        self,
        nets: list[SparseNet],
        training: list[InMemoryData],
        held_out: list[InMemoryData | None],
    ):
        self.nets = nets
        self.errors: list[ValueError | None] = [None] * len(nets)
        self.models = list(range(len(nets)))  # those still in training
        self.stack = NetStack(nets)
        batch_size = nets[0].batch_size
        self.training = StackedBatches(training, batch_size)
        self.held_out = None if held_out[0] is None else StackedBatches(held_out, batch_size)
        self.best = self.stack.learned.clone()
        self.lowest = np.full(len(nets), np.inf)
        n_components = nets[0].module_.decoder.dictionary.shape[0]
        self.silence = self.best.new_zeros(len(nets), n_components, dtype=torch.int64)
        self.frequency = torch.zeros(self.silence.shape, device=self.best.device)
        self.epochs: list[list[dict]] = [[] for _ in nets]
        stops = [_callback(net, StopOnPlateau) for net in nets]
        self.plateaus = [Plateau(stop.tol, stop.n_iter_no_change) for stop in stops]
        self.clear_every = _callback(nets[0], ClearDenormals).every

    @torch.no_grad()
    def run(self, bar: tqdm) -> None:
        """Train until the last model has converged or come to its last epoch."""
        for epoch in range(1, 1 + max(net.max_epochs for net in self.nets)):
            self._train_epoch(epoch)
            self._leave(epoch)
            bar.update()
            if not self.models:
                break

    def _train_epoch(self, epoch: int) -> None:
        """Pass once over the data; record what each model's history holds of it."""
        losses, counts = [], 0
        generators = [self.nets[model].generator for model in self.models]
        for batch in self.training.batches(self.models, generators):
            loss, fired = self.stack.backward(*batch)
            self.stack.step()
            n = batch[0].shape[2]
            counts = counts + fired.long()
            self.silence.add_(n).masked_fill_(fired > 0, 0)
            losses.append((loss, n))
            if self.stack.n_steps % self.clear_every == 0:
                self.stack.clear_denormals()
        rows = [{"epoch": epoch} for _ in self.models]
        _record(rows, "train", losses)
        frequency = counts / self.training.n_rows
        if self.held_out is None:
            self.best, self.frequency = self.stack.learned, frequency
        else:
            better = self._validate(rows)
            self.best = torch.where(better, self.stack.learned, self.best)
            self.frequency = torch.where(better, frequency, self.frequency)
        for model, row in zip(self.models, rows, strict=True):
            self.epochs[model].append(row)

    def _validate(self, rows: list[dict]) -> Tensor:
        """Record the losses of the held-out rows; tell which are the lowest so far, in a column."""
        batches = self.held_out.batches(self.models)
        losses = [(self.stack.evaluate(*batch), batch[0].shape[2]) for batch in batches]
        means = _record(rows, "valid", losses)
        better = means < self.lowest
        self.lowest = np.where(better, means, self.lowest)
        for row, is_best in zip(rows, better.tolist(), strict=True):
            row["valid_loss_best"] = is_best
        return torch.from_numpy(better).to(self.best.device).unsqueeze(1)

    def _leave(self, epoch: int) -> None:
        """Let the models go that have converged, diverged or come to their last epoch."""
        staying = []
        for place, model in enumerate(self.models):
            net, row = self.nets[model], self.epochs[model][-1]
            loss = row.get("valid_loss", row["train_loss"])
            if not math.isfinite(loss):
                self.errors[model] = net.divergence(loss, epoch)
                continue
            converged = self.plateaus[model].reached(loss)
            if converged or epoch == net.max_epochs:
                self._store(place, model, converged)
            else:
                staying.append(place)
        if len(staying) == len(self.models):
            return
        self.stack.keep(staying)
        self.models = [self.models[place] for place in staying]
        self.lowest = self.lowest[staying]
        self.best, self.silence, self.frequency = (
            value[staying] for value in (self.best, self.silence, self.frequency)
        )

    def _store(self, place: int, model: int, converged: bool) -> None:
        """Leave in the net what training alone would have left."""
        net = self.nets[model]
        net.converged_ = converged
        self.stack.store(place, net, self.best[place])
        activity = net.callback("activity")
        activity.silence_ = self.silence[place].clone()
        activity.frequency_ = self.frequency[place].clone()
        for row in self.epochs[model]:
            row["batches"] = []
        net.history.extend(self.epochs[model])


def _record(rows: list[dict], prefix: str, losses: list[tuple[Tensor, int]]) -> np.ndarray:
    """Note each model's mean loss a sample in its row; return these."""
    values = torch.stack([loss for loss, _ in losses]).cpu().numpy().astype(np.float64)
    means = np.average(values, axis=0, weights=[size for _, size in losses])
    for row, mean in zip(rows, means.tolist(), strict=True):
        row |= {f"{prefix}_loss": mean, f"{prefix}_batch_count": len(losses)}
    return means


def _callback(net: SparseNet, kind: type):
    return next(callback for _, callback in net.callbacks_ if isinstance(callback, kind))
