"""Data parallel training: several processes share the rows of every batch.

Each process makes the same fit to the same data, and computes on its own rows of each batch:

    gradient = sum over processes of (rows of the process / rows of the batch) * its gradient,

and so the loss and the counts of the latents. All processes then take the same step, which is that
of one process alone but for rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, distributed, nn

# Numbers of a gradient that goes by itself; smaller ones go together.
_BUCKET = 1 << 16


class OneProcess:
    """A process that trains alone: all rows are its own, and nothing is exchanged.

    Attributes
    ----------
    rank : int
        Number of the process; the first, 0, writes the checkpoints.
    n_rows : int
        Rows of the batch of which `take` took a part, in all processes together.
    """

    rank = 0

    def take(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the process's rows of a batch."""
        self.n_rows = len(batch[0])
        return batch

    def begin(self, parameter: nn.Parameter) -> None:
        """Begin to add up a gradient that will not change any more, while others are computed;
        `average` ends it."""

    def average(self, loss: Tensor, module: nn.Module | None = None) -> None:
        """Make a loss, and a module's gradients, those of the batch instead of the process's rows,
        in place."""

    def mean(self, of_rows: Tensor) -> Tensor:
        """Return the mean over the batch, given that over the process's rows.

        Its gradient is that of the rows' mean: with `average` they add up to the batch's.
        """
        return of_rows

    def add(self, counts: Tensor) -> Tensor:
        """Return the sum of the counts of the process's rows over the batch."""
        return counts

    def join(self, rows: Tensor) -> Tensor:
        """Return the rows of the batch, given those of the process."""
        return rows

    def check_same(self, what: str, value: Any) -> None:
        """Refuse a value that is not the same in all processes."""

    def follow_first(self, net) -> None:
        """Take over the state of the net in the first process."""


class ManyProcesses(OneProcess):
    """The processes of `torch.distributed`, of which this is one."""

    def __init__(self):
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._begun = {}

    def take(self, batch):
        super().take(batch)
        self.is_shared = self.n_rows >= self.size
        if not self.is_shared:  # too few to share: each takes all
            self.weight = 1 / self.size
            return batch
        part = tuple(tensor[self.rank :: self.size].contiguous() for tensor in batch)
        self.weight = len(part[0]) / self.n_rows
        return part

    def begin(self, parameter):
        self._begun[parameter] = self._begin(parameter.grad)

    def average(self, loss, module=None):
        parameters = [] if module is None else module.parameters()
        means = [p.grad for p in parameters if p.grad is not None and p not in self._begun]
        large = [mean for mean in means if mean.numel() >= _BUCKET]
        sums = [*self._begun.values(), *map(self._begin, large)]
        self._average_together([loss, *(mean for mean in means if mean.numel() < _BUCKET)])
        for one in sums:
            one.wait()
        self._begun.clear()

    def _begin(self, mean):
        """Begin to add up a mean's shares over the processes, in place."""
        return distributed.all_reduce(mean.mul_(self.weight), async_op=True)

    def _average_together(self, means):
        """Make small means those of the batch, by one exchange."""
        bucket = torch.cat([mean.reshape(-1) for mean in means])
        self._begin(bucket).wait()
        for mean, part in zip(means, bucket.split([m.numel() for m in means]), strict=True):
            mean.copy_(part.view_as(mean))

    def mean(self, of_rows):
        of_batch = of_rows.detach().clone()
        self.average(of_batch)
        return of_rows + (of_batch - of_rows.detach())

    def add(self, counts):
        distributed.all_reduce(counts)
        return counts if self.is_shared else counts // self.size

    def join(self, rows):
        if not self.is_shared:
            return rows
        whole = rows.new_zeros(self.n_rows, *rows.shape[1:])
        whole[self.rank :: self.size] = rows
        distributed.all_reduce(whole)
        return whole

    def check_same(self, what, value):
        values = [None] * self.size
        distributed.all_gather_object(values, value)
        if any(other != value for other in values):
            raise ValueError(
                f"DataParallel: {what} must be the same in all processes, got {values}."
            )

    @torch.no_grad()
    def follow_first(self, net):
        generator = net.generator.get_state().to(net.device)
        moments = [value for state in net.optimizer_.state.values() for value in state.values()]
        weights = list(net.module_.state_dict().values())
        for tensor in [generator, net.callback("activity").silence_, *weights, *moments]:
            distributed.broadcast(tensor, src=0)
        net.generator.set_state(generator.cpu())


class DataParallel(Callback):
    """Share the work of a fit with the other processes of `torch.distributed`.

    Every process makes the same fit: the same estimator with the same integer as `random_state`,
    the same data. `batch_size` is that of all processes together: each computes on its part of a
    batch's rows, and gradients, losses and counts of latents are added up. Checkpoints are written
    by the first process, and belong on a disk that all can read.

    Raises
    ------
    ValueError
        If torch.distributed has not been initialized, or the processes do not make the same fit.

    Examples
    --------
    A script that ``torchrun --nproc-per-node=2`` starts:

    >>> from torch import distributed
    >>> from skamort import TopKSAE
    >>> from skamort.training import DataParallel
    >>> distributed.init_process_group("gloo")  # doctest: +SKIP
    >>> sae = TopKSAE(4096, k=32, batch_size=4096, random_state=0, callbacks=[DataParallel()])
    >>> sae.fit(X)  # doctest: +SKIP
    """

    def on_train_begin(self, net, X, **kwargs):  # noqa: ARG002
        """Find the other processes and agree with them."""
        if not (distributed.is_available() and distributed.is_initialized()):
            raise ValueError(
                "DataParallel needs the processes to know of each other; start the script by "
                "torchrun and call torch.distributed.init_process_group() before fit."
            )
        processes = ManyProcesses()
        processes.check_same("the seed of random_state", net.generator.initial_seed())
        processes.check_same("X", (len(X), X.fingerprint()))
        processes.check_same("batch_size", net.batch_size)
        processes.check_same("max_iter", net.max_epochs)
        processes.follow_first(net)
        net.processes_ = net.criterion_.processes = processes

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Let the net go on alone."""
        net.processes_ = net.criterion_.processes = OneProcess()
