"""Which nets are trained together: those whose parts the batched engine knows, of equal shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from .._job import Job

# Numbers that the widest layer yields in a step beyond which the step is so long that sharing it
# with other nets gains nothing...
_MOST_ALONE = 1 << 20
# ...and numbers that nets which are trained together may hold.
_MOST_TOGETHER = 1 << 24


def plan(jobs: Iterable[Job]) -> list[list[Job]]:
    """Group jobs that are trained together, in each group the largest k first.

    Parameters
    ----------
    jobs : iterable of Job
        What is to be trained.

    Returns
    -------
    list of list of Job
        The jobs; one that nothing can be trained with is a group of its own.
    """
    groups: dict[Any, list[Job]] = defaultdict(list)
    for job in jobs:
        groups[_signature(job) or job].append(job)
    return [part for group in groups.values() for part in _parts(group)]


def _parts(group: list[Job]) -> Iterator[list[Job]]:
    """Split a group in parts that hold no more numbers than they may."""
    if len(group) == 1:
        yield group
        return
    group = sorted(group, key=lambda job: -(job.net.module_.activation.n_kept or 0))
    size = max(1, _MOST_TOGETHER // _numbers_held(group[0]))
    for start in range(0, len(group), size):
        yield group[start : start + size]


def _signature(job: Job) -> tuple | None:
    """Return what nets that are trained together have in common; None where one is alone."""
    net, module, loss = job.net, job.net.module_, job.net.criterion_
    parts = [module.encoder, module.activation, loss]
    callbacks = [callback for _, callback in job.callbacks]
    agreements = [_agreement(part) for part in [*parts, *callbacks]]
    known = [agreement for agreement in agreements if agreement is not None]
    if len(known) < len(agreements) or not _gains(job):
        return None
    return (
        *(type(part) for part in parts),
        *chain(*known),
        *((name, value.shape) for name, value in loss.named_buffers()),
        *((name, p.shape, p.requires_grad) for name, p in module.named_parameters()),
        *(len(job.training), job.training.dtype, job.training.device),
        *(net.batch_size, None if job.held_out is None else len(job.held_out)),
    )


def _agreement(part: object) -> tuple | None:
    """Return what must be equal in a part of nets; None where the engine does not know it."""
    names = vars(type(part)).get("batched")  # of this class: a subclass may compute otherwise
    return None if names is None else tuple(getattr(part, name) for name in names)


def _gains(job: Job) -> bool:
    """Tell whether known parts are used in a known way, and the net is small enough to gain."""
    net, kinds = job.net, [type(callback) for _, callback in job.callbacks]
    return (
        job.training.is_dense
        and not job.training.is_weighted
        and not net.criterion_.requires  # things that a batched net does not offer
        and len(set(kinds)) == len(kinds)  # a callback of the user may repeat one of ours
        and net.product_dtype is None
        and not (job.schedule and job.schedule.alpha_warmup)
        and _numbers_of_step(job) <= _MOST_ALONE
    )


def _numbers_of_step(job: Job) -> int:
    """Return the numbers that the widest layer yields for a batch."""
    widest = max(max(p.shape) for p in job.net.module_.parameters())
    return widest * min(job.net.batch_size, len(job.training))


def _numbers_held(job: Job) -> int:
    """Return how many numbers a net adds to others: those of a step, and rows of its own."""
    own_rows = 0 if job.held_out is None else job.training.n_elements
    return _numbers_of_step(job) + own_rows
