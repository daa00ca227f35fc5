"""Whether a fit is of use: whether it explains rows of its own, and whether its latents live."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from sklearn.exceptions import ConvergenceWarning

from .._rows import rows_within
from .._sample_weight import mean_of_rows
from ..training import Job

# Rows that are looked at: many where they are in memory, a few where each has to be read.
_ROWS = {True: 256, False: 32}
# Share of the latents that may be dead without a word.
_DEAD = 0.1
# Codes of zero and the mean as intercept explain nothing either, up to what training moves it.
_TOLERANCE = 1e-3


def warn_if_useless(jobs: Sequence[Job], owner: str) -> None:
    """Warn of fits that reconstruct their own rows worse than the mean of these does."""
    useless = sum(job.error is None and is_useless(job) for job in jobs)
    if not useless:
        return
    which = "the fit explains" if len(jobs) == 1 else f"{useless} of {len(jobs)} models explain"
    warnings.warn(
        f"{owner}: {which} less of X than its mean does, score < 0; set fit_intercept=True, or "
        "center X, where the mean is far from 0, else lower alpha or raise learning_rate or "
        "max_iter.",
        ConvergenceWarning,
        stacklevel=3,
    )


def warn_if_dead(jobs: Sequence[Job], owner: str) -> None:
    """Warn of fits many of whose latents fire on no row."""
    shares = [_dead_share(job) for job in jobs if job.error is None]
    many = [share for share in shares if share > _DEAD]
    if not many:
        return
    which = "" if len(jobs) == 1 else f" in {len(many)} of {len(jobs)} models"
    warnings.warn(
        f"{owner}: up to {max(many):.0%} of the latents are dead{which}, they fired on no row of "
        'the last epoch; leave fit_intercept and dead_latents at "auto", else take fewer '
        "n_components, a larger k or a lower alpha, or raise max_iter.",
        ConvergenceWarning,
        stacklevel=3,
    )


def _dead_share(job: Job) -> float:
    """Return the share of dead latents; 0 where codes are known, or rows fewer than latents."""
    frequency = job.net.callback("activity").frequency_
    if job.data.codes_known or len(job.data) < len(frequency):
        return 0.0
    return (frequency == 0).double().mean().item()


@torch.no_grad()
def is_useless(job: Job) -> bool:
    """Tell whether a trained net reconstructs rows of its data worse than their mean does."""
    data, module = job.data, job.net.module_
    dictionary = module.decoder.dictionary
    count = min(len(data), _ROWS[data.in_memory], rows_within(len(dictionary)))
    X, _, weights = data.parts(data.values(torch.linspace(0, data.n_stored - 1, count).long()))
    residual = module.encode_compactly(X).residual(dictionary, module.center(X))
    parts = residual, X - mean_of_rows(X, weights)
    unexplained, total = (mean_of_rows(part.square(), weights).sum().item() for part in parts)
    return total > 0 and not unexplained <= (1 + _TOLERANCE) * total  # NaN is of no use either
