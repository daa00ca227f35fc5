"""What known codes ask for: that nothing else is to be learned, that the estimator can have them,
and in the end their scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._rows import Rows, few_rows, rows_within
from .._sample_weight import mean_of_rows
from ..modules import SparseAutoencoder
from ..training import TeachDead, TrainingData
from ._parts import warn
from ._remedies import SCALE_CODES
from ._usefulness import HARDLY, are_alike

# Rows of data that are not in memory whose codes are looked at.
_LOOKED_AT = 4096


def check_learns_codes_alone(estimator: Any) -> None:
    """Refuse settings by which an estimator learns from the reconstruction of X, of which known
    codes leave nothing to learn."""
    for told, remedy in _by_reconstruction(estimator):
        raise ValueError(
            f"{type(estimator).__name__}: {told} learns from the reconstruction of X, and from "
            f"known codes none is learned; {remedy}, or fit without codes."
        )


def _by_reconstruction(estimator: Any) -> Iterator[tuple[str, str]]:
    """Yield such settings, and what to do about each."""
    for name in ("multi_topk", "n_stages"):
        if value := getattr(estimator, name, None):
            yield f"{name}={value}", f"leave {name} at its default"
    remedy = getattr(estimator, "dead_latents", None)
    if remedy == "auxk" or isinstance(remedy, TeachDead):
        yield f"dead_latents={remedy!r}", "set dead_latents=None"
    entries = [
        entry[-1] if isinstance(entry, tuple) else entry for entry in estimator.callbacks or ()
    ]
    if any(isinstance(entry, TeachDead) for entry in entries):
        yield "TeachDead", "leave it out of callbacks"
    if getattr(estimator.schedule, "alpha_warmup", 0):
        yield f"schedule={estimator.schedule}", "leave alpha_warmup=0"


def check_reachable(estimator: Any, is_signed: bool, codes: Rows | None) -> None:
    """Refuse known codes below zero where those of the estimator have no sign; of what is not in
    memory some rows are looked at."""
    if codes is not None and not is_signed:
        _refuse_below_zero(estimator, _range_of(codes)[0])


def check_size(estimator: Any, codes: Rows, X: Rows) -> None:
    """Refuse known codes so much larger or smaller than X that sums of their squares leave the
    numbers of its dtype, or X is lost beside them."""
    most, size = _largest(codes), _largest(X)
    limit = torch.finfo(X.dtype).eps ** -2
    if most and size and (most / size > limit or size / most > limit):
        raise ValueError(
            f"{type(estimator).__name__}: atoms have norm 1, which gives codes the size of X, got "
            f"codes up to {most:.3g} where X goes up to {size:.3g}; scale the codes to X."
        )


def _largest(rows: Rows) -> float:
    least, most = _range_of(rows)
    return max(most, -least)


def _range_of(rows: Rows) -> tuple[float, float]:
    """Return the smallest and the largest number of all rows that are in memory, of some of those
    that are not."""
    held = rows.source if rows.in_memory else rows[few_rows(rows)]
    if isinstance(held, np.ndarray) and held.flags.writeable:
        held = torch.from_numpy(held)  # which finds both at once
    if isinstance(held, Tensor):
        return tuple(torch.stack(torch.aminmax(held)).tolist())  # type: ignore[return-value]
    return float(held.min()), float(held.max())


def warn_if_far(
    estimator: Any, X: Rows, codes: Rows, atoms: Tensor, sample_weight: Tensor | None
) -> None:
    """Warn of known codes that explain hardly anything of centered rows, by atoms that are the
    best for them."""
    few = few_rows(X)
    centered, weights = X[few], None if sample_weight is None else sample_weight[few]
    about_mean = centered - mean_of_rows(centered, weights)
    if are_alike(centered, about_mean):
        return
    parts = centered - codes[few] @ atoms, about_mean
    unexplained, total = (mean_of_rows(part.double().square(), weights).sum() for part in parts)
    if not 1 - unexplained / total >= HARDLY:
        warn(
            f"{type(estimator).__name__}: the known codes explain less than {HARDLY:.0%} of the "
            f"variance of X by atoms of norm 1, score {1 - unexplained / total:.2g}; "
            f"{SCALE_CODES}, and check that they belong to these rows.",
            ConvergenceWarning,
            stacklevel=4,
        )


def check_learnable(estimator: Any, module: SparseAutoencoder, data: TrainingData) -> None:
    """Refuse data whose codes are below zero where those of a module have no sign."""
    if data.codes_known and not module.activation.is_signed:
        most = rows_within(max(module.decoder.dictionary.shape))
        _refuse_below_zero(estimator, _least_code(data, min(most, _LOOKED_AT)))


def _least_code(data: TrainingData, most: int) -> float:
    if data.in_memory:
        codes = data.sample(torch.Generator()).codes
        return float(getattr(codes, "source", codes).min())
    few = torch.linspace(0, data.n_stored - 1, min(len(data), most)).long()
    return float(data.values(few)[1].min())


def _refuse_below_zero(estimator: Any, least: float) -> None:
    if least < 0:
        signed = " or set positive_code=False" if hasattr(estimator, "positive_code") else ""
        raise ValueError(
            f"{type(estimator).__name__}: its codes are >= 0, got codes down to {least:.3g}; pass "
            f"codes >= 0, such as those of positive_code=True{signed}."
        )


@torch.no_grad()
def match_scale(module: SparseAutoencoder, data: TrainingData) -> None:
    """Give the codes of a module the scale of those known, to which the cosine is blind.

    Where latents compete a factor for each would change which win, so they share one.
    """
    products: Any = 0
    energies: Any = 0
    for batch in data.batches(rows_within(max(module.decoder.dictionary.shape))):
        X, target, weights = data.parts(batch)
        codes = module.encode(X)
        weighted = codes if weights is None else codes * weights.unsqueeze(1)
        products = products + (weighted * target).sum(0)
        energies = energies + (weighted * codes).sum(0)
    if module.activation.competes:
        products, energies = products.sum().expand_as(energies), energies.sum()
    scale = torch.where(products > 0, products / energies, 1.0)
    module.rescale(scale)
