"""Dead latents of nets that are trained together: each net looks after its own, as it would alone.

A net whose latents have died gets its weights, moments and counts, starts the latents anew and
gives all of it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .._dead_latents import LatentActivity, ResampleDead
from .._job import Job
from ._net import BatchedNet


class Revivals:
    """What `ResampleDead` does for each of several nets.

    Parameters
    ----------
    jobs : sequence of Job
        Runs of the nets.
    """

    def __init__(self, jobs: Sequence[Job]):
        self.nets = [job.net for job in jobs]
        self.revivers = [_find(job, ResampleDead) for job in jobs]
        self.activities = [_find(job, LatentActivity) for job in jobs]
        for job, reviver in zip(jobs, self.revivers, strict=True):
            if reviver is not None:
                reviver.on_train_begin(job.net, job.training)

    def due(self, models: Sequence[int], n_rows: int) -> list[int]:
        """Take note of the rows of a step; return which of `models` are to look."""
        revivers = [(model, self.revivers[model]) for model in models]
        return [model for model, r in revivers if r is not None and r.is_due(n_rows)]

    def with_dead(
        self, models: Sequence[int], places: Sequence[int], silence: Tensor
    ) -> list[tuple[int, int]]:
        """Return those of some models which have latents to start anew, with their places.

        Parameters
        ----------
        models : sequence of int
            Those which are to look.
        places : sequence of int
            Their places among all nets.
        silence : Tensor of shape (n_models, n_components), int64
            Samples since each latent of all nets fired.
        """
        longest = silence.amax(1).tolist() if models else []
        pairs = zip(models, places, strict=True)
        return [(m, p) for m, p in pairs if longest[p] >= self.revivers[m].window_]

    def look(
        self, model: int, nets: BatchedNet, place: int, X: Tensor, before: Tensor, silence: Tensor
    ) -> None:
        """Start the dead latents of a model anew.

        Parameters
        ----------
        model : int
            Which net.
        nets : BatchedNet
            All of them.
        place : int
            Its place among them.
        X : Tensor of shape (n_models, n_features, n)
            The batch.
        before : Tensor of shape (n_parameters,)
            What was learned before the step, from which come the codes that the step has seen.
        silence : Tensor of shape (n_components,), int64
            Samples since each latent fired; those of revived ones become 0.
        """
        net, reviver = self.nets[model], self.revivers[model]
        net.move_to(X.device)
        self.activities[model].silence_ = silence
        moments = nets.mean[place], nets.square[place]
        nets.store(net, before, *moments)
        rows = X[place].mT
        codes = net.module_.encode_compactly(rows)
        nets.store(net, nets.learned[place], *moments)
        reviver.look(net, rows, codes)
        nets.take_back(place, net)


def _find(job: Job, kind: type) -> Any:
    return next((callback for _, callback in job.callbacks if isinstance(callback, kind)), None)
