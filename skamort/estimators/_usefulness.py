"""Whether a fit is of use: it has converged, explains rows of its own, by some codes, not most, and
its latents live.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._rows import Rows, few_rows, rows_within
from .._sample_weight import mean_of_rows
from .._validation import as_tensor
from ..solvers import alpha_max
from ..training import Job, TrainingData
from ._far_rows import far_rows, looked_at
from ._parts import warn
from ._remedies import ALPHA, remedies_of_codes, remedies_of_dead, remedies_of_useless

# Rows that are looked at: many where they are in memory, a few where each has to be read.
_ROWS = {True: 256, False: 32}
# Share of the latents that may be dead without a word.
_DEAD = 0.1
# A fit explains this share of the variance of its rows at least, or hardly anything.
HARDLY = 0.01
# Rows whose codes are sought again to be counted: a few.
_COUNTED = 64
# Share of the codes from which on they are not sparse.
_DENSE = 0.5
# Of the largest size of a code, what leaves some.
_SOME = 0.3
# A share of the length of rows that is rounding.
_ROUNDING = 1e-6


def warn_not_converged(estimator: Any) -> None:
    """Warn of a fit that ended before its loss did fall no more."""
    warn(
        f"{type(estimator).__name__}: the training loss was still falling after max_iter="
        f"{estimator.max_iter_} epochs; raise max_iter or learning_rate, or raise tol if this "
        "is good enough.",
        ConvergenceWarning,
        stacklevel=3,
    )


def reader() -> Callable[..., SomeRows]:
    """Return what reads the rows by which fits are judged, once for fits of the same data."""
    return cache(_read_some)


def note_divergence(jobs: Sequence[Job], read: Callable[..., SomeRows]) -> None:
    """Give fits an error whose last steps left weights that are of no use; the loss of an epoch is
    that before them. A GPU is waited for once."""
    sound = {job: _is_sound(job, _some_rows(job, read).X) for job in jobs if job.error is None}
    for device in {flag.device for flag in sound.values()}:
        there = [job for job, flag in sound.items() if flag.device == device]
        flags = torch.stack([sound[job] for job in there]).tolist()
        for job in (job for job, is_sound in zip(there, flags, strict=True) if not is_sound):
            epoch = len(job.net.history)
            job.error = job.net.divergence(
                f"after epoch {epoch} atoms are 0, or reconstructions of X no finite numbers"
            )


@torch.no_grad()
def _is_sound(job: Job, X: Tensor) -> Tensor:
    module = job.net.module_
    reconstructed = module.decoder(module.encode(X))
    lengths = torch.linalg.vector_norm(module.decoder.dictionary, dim=1)
    return (reconstructed.sum() + lengths.reciprocal().sum()).isfinite()


def warn_of_fits(jobs: Sequence[Job], owner: str, read: Callable[..., SomeRows]) -> None:
    """Warn of what is wrong with fits of the same rows, or with the rows."""
    if jobs[0].data.codes_known or not warn_of_far_rows(*_rows_of(jobs[0]), owner):
        _warn_if_useless(jobs, owner, read)
        _warn_if_dead(jobs, owner, read)


def warn_of_far_rows(X: Any, sample_weight: Tensor | None, owner: str) -> bool:
    """Warn of rows that are few and far from all others; tell whether there are any."""
    X, sample_weight = looked_at(X, sample_weight)
    far, share = far_rows(X, sample_weight)
    if len(far):
        warn(
            f"{owner}: {len(far)} of {len(X)} rows that were looked at are far from all others and "
            f"make up {share:.0%} of the variance (row {int(far[0])} of these first): they rule a "
            "fit by squared errors. Leave them out, give them a small sample_weight, or bring rows "
            "to one length, as sklearn.preprocessing.normalize does.",
            ConvergenceWarning,
            stacklevel=5,
        )
    return len(far) > 0


def _rows_of(job: Job) -> tuple[Any, Tensor | None]:
    """Return all rows of the data of a fit, some where they have to be read, and their weights."""
    if not job.data.in_memory:
        return _some_rows(job)[:2]
    sample = job.data.sample(torch.Generator())
    return sample.X, sample.weights


def _warn_if_useless(jobs: Sequence[Job], owner: str, read: Callable[..., SomeRows]) -> None:
    """Warn of fits that reconstruct their own rows hardly better than the mean of these does."""
    looks = [(job, *_look(job, _some_rows(job, read))) for job in jobs if job.error is None]
    complaints = [complaint for *_, complaint in looks if complaint]
    if complaints:
        more = f" ({len(complaints)} of {len(jobs)} models)" if len(jobs) > 1 else ""
        warn(f"{owner}: {complaints[0]}{more}", ConvergenceWarning, stacklevel=4)
    useless = {
        job: explained for job, explained, told in looks if not (told or explained >= HARDLY)
    }
    if not useless:
        return
    n_jobs = f"{len(useless)} of {len(jobs)}"
    which = "the fit explains" if len(jobs) == 1 else f"{n_jobs} models explain"
    worst, explained = min(useless.items(), key=lambda each: each[1])
    warn(
        f"{owner}: {which} less than {HARDLY:.0%} of the variance of X about its mean, score "
        f"{explained:.2g}; {remedies_of_useless(worst)}.",
        ConvergenceWarning,
        stacklevel=4,
    )


def _warn_if_dead(jobs: Sequence[Job], owner: str, read: Callable[..., SomeRows]) -> None:
    """Warn of fits many of whose latents fire on no row."""
    shares = {job: _dead_share(job, read) for job in jobs if job.error is None}
    many = {job: share for job, share in shares.items() if share > _DEAD}
    if not many:
        return
    which = "" if len(jobs) == 1 else f" in {len(many)} of {len(jobs)} models"
    warn(
        f"{owner}: up to {max(many.values()):.0%} of the latents are dead{which}, they fired on no "
        f"row of the last epoch; {remedies_of_dead(max(many, key=many.__getitem__))}.",
        ConvergenceWarning,
        stacklevel=4,
    )


def _dead_share(job: Job, read: Callable[..., SomeRows]) -> float:
    """Return the share of dead latents; 0 where codes are known, or rows fewer than latents, or all
    alike."""
    frequency = job.net.callback("activity").frequency_
    if job.data.codes_known or len(job.data) < len(frequency):
        return 0.0
    share = (frequency == 0).double().mean().item()
    if share > 0:
        rows = _some_rows(job, read)
        share *= not are_alike(rows.X, rows.about_mean)
    return share


def warn_of_codes(coder: Any, rows: Rows, alpha: float | None, center: Tensor | None) -> None:
    """Warn of an L1 penalty that leaves no codes of rows of a fit, or most of them."""
    if not alpha:
        return
    X = rows[few_rows(rows, _COUNTED)].to(coder._torch_dtype_and_device()[0])
    active = (coder._encode_block(X) != 0).double().mean().item()
    atoms = as_tensor(coder.components_, "components_", like=X, check=False)
    centered = (X if center is None else X - center.to(X)).nan_to_num()
    if are_alike(X.nan_to_num(), centered):
        return
    positive = getattr(coder, "positive_code_", getattr(coder, "positive_code", True))
    complaint = _complaint(active, alpha, centered, atoms, positive)
    if complaint:
        warn(f"{type(coder).__name__}: {complaint}", ConvergenceWarning, stacklevel=4)


def _complaint(
    active: float,
    alpha: float,
    X: Tensor,
    atoms: Tensor,
    positive: bool,
    power: int = 1,
    unit: float = 1.0,
    remedies: tuple[str, str] = ALPHA,
) -> str:
    """Say what is wrong with a share of active codes of centered rows, if the penalty is to blame.

    A code is worth its price where this power of it, by the power, is above alpha. Rows and alpha
    are those of data that were divided by the unit. Of the remedies the first is for codes that are
    not sparse.
    """
    if 0 < active <= _DENSE:
        return ""
    sizes = alpha_max(X, atoms, positive=positive)
    if not sizes.max() > _ROUNDING * X.abs().max():
        return ""  # there is nothing to code
    prices = [float(size) ** power / power for size in (sizes.max(), sizes.median())]
    alpha, largest, typical = (price * unit**power for price in (alpha, *prices))
    if not active and alpha < typical / 2:
        return ""  # something else keeps rows from codes
    told = f"at alpha={alpha:.3g}, where alpha_max, from which on none is left, is {largest:.3g}"
    some, low = f"codes of {len(X)} rows looked at are", _SOME**power * largest
    if active:
        remedy = remedies[0].format(max(low, math.sqrt(alpha * largest)))
        return f"{active:.0%} of the {some} not zero {told}; {remedy} for sparse codes."
    return f"all {some} zero {told}; {remedies[1].format(low)}."


@torch.no_grad()
def _look(job: Job, rows: SomeRows) -> tuple[float, str]:
    """Return the share of the variance of rows of its data that a trained net explains, 1 where
    there is none, and what is wrong with the share of codes that are not zero."""
    explained, complaint = _judged(job, rows)
    if (complaint or not explained >= HARDLY) and are_alike(rows.X, rows.about_mean):
        return 1.0, ""
    return explained, complaint


def _judged(job: Job, rows: SomeRows) -> tuple[float, str]:
    X, module = rows.X, job.net.module_
    dictionary = module.decoder.dictionary
    codes, centered = module.encode_compactly(X), module.center(X)
    residual = codes.residual(dictionary, centered)
    error = mean_of_rows(residual.square(), rows.weights).sum()
    unexplained, total = torch.stack([error, rows.variance]).tolist()
    explained = 1 - unexplained / total if total else 1.0
    loss, alpha = job.net.criterion_, getattr(job.net.criterion_, "alpha", 0.0)
    power = loss.degree - getattr(loss, "penalty_degree", 1) if alpha else 0
    if power < 1:
        return explained, ""
    active = float(codes.firing_counts().sum()) / (len(X) * len(dictionary))
    if active and not job.net.converged_:
        return explained, ""  # half of the codes are active where training begins
    unit = job.net.unit
    remedies = remedies_of_codes(job)
    return explained, _complaint(active, alpha, centered, dictionary, True, power, unit, remedies)


class SomeRows(NamedTuple):
    """Some rows of the data of a fit.

    Attributes
    ----------
    X, about_mean : Tensor of shape (n, n_features)
        The rows, and these less their mean.
    weights : Tensor of shape (n,) or None
        Their weights.
    variance : Tensor of shape ()
        Their mean squared distance from the mean.
    """

    X: Tensor
    weights: Tensor | None
    about_mean: Tensor
    variance: Tensor


def _read_some(data: TrainingData, count: int, device: str) -> SomeRows:
    """Return rows at equal distances, on a device."""
    numbers = torch.linspace(0, data.n_stored - 1, count).long()
    X, _, weights = data.parts([value.to(device) for value in data.values(numbers)])
    about_mean = X - mean_of_rows(X, weights)
    return SomeRows(X, weights, about_mean, mean_of_rows(about_mean.square(), weights).sum())


def _some_rows(job: Job, read: Callable[..., SomeRows] = _read_some) -> SomeRows:
    """Return some rows of the data of a fit, where its net is."""
    data, n_components = job.data, len(job.net.module_.decoder.dictionary)
    count = min(len(data), _ROWS[data.in_memory], rows_within(n_components))
    return read(data, count, job.net.device)


def are_alike(X: Tensor, centered: Tensor) -> bool:
    """Whether rows have nothing to code but their center."""
    return not float(centered.abs().max()) > _ROUNDING * float(X.abs().max())
