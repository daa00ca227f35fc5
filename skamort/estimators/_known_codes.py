"""What known codes ask for: that the estimator can have them, and in the end their scale."""

from __future__ import annotations

from typing import Any

import torch

from .._rows import Rows, few_rows, rows_within
from ..modules import SparseAutoencoder
from ..training import TrainingData

# Rows of data that are not in memory whose codes are looked at.
_LOOKED_AT = 4096


def check_reachable(estimator: Any, is_signed: bool, codes: Rows | None) -> None:
    """Refuse known codes below zero where those of the estimator have no sign; of what is not in
    memory some rows are looked at."""
    if codes is not None and not is_signed:
        held = codes.source if codes.in_memory else codes[few_rows(codes)]
        _refuse_below_zero(estimator, float(held.min()))


def check_learnable(estimator: Any, module: SparseAutoencoder, data: TrainingData) -> None:
    """Refuse data whose codes are below zero where those of a module have no sign."""
    if data.codes_known and not module.activation.is_signed:
        _refuse_below_zero(estimator, _least_code(data))


def _least_code(data: TrainingData) -> float:
    if data.in_memory:
        codes: Any = data.sample(torch.Generator())[1][1]
        return float(getattr(codes, "source", codes).min())
    few = torch.linspace(0, data.n_stored - 1, min(len(data), _LOOKED_AT)).long()
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
