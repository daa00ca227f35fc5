"""The weight of the penalty where it is "auto": relative to the length of the data.

The page "Choosing an encoder" has the measurements behind the share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._rows import Rows, few_rows
from .._sample_weight import mean_of_rows
from ..training import Sample
from ._dictionary import lengths_of
from ._far_rows import without_far_rows
from ._missing import center_of_observed, fill_in

# Of the mean distance of rows from their mean. The best codes of all but unstructured data have
# then 1 to 15 % of the atoms, be they as many as the features or some times more.
_SHARE = 0.1


def resolve_alpha(
    estimator: Any,
    X: Tensor | Rows,
    sample_weight: Tensor | None = None,
    weight_of: Callable[[float], float] = float,
) -> float:
    """Return what the parameter `alpha` of an estimator stands for: where it is "auto",
    `weight_of` what `auto_alpha` finds."""
    if estimator.alpha != "auto":
        return float(estimator.alpha)
    return weight_of(auto_alpha(X, sample_weight))


def alpha_of_sample(
    estimator: Any, sample: Sample, weight_of: Callable[[float], float] = float
) -> float:
    """Return what `resolve_alpha` does of the rows of a sample, which are looked at once."""
    if estimator.alpha != "auto":
        return float(estimator.alpha)
    return weight_of(sample.once("auto_alpha", lambda: auto_alpha(sample.X, sample.weights)))


def weight_for(atoms: np.ndarray) -> Callable[[float], float]:
    """Return what makes the weight for atoms of any length of that for atoms of unit norm."""
    lengths = lengths_of(atoms)
    return lambda weight: weight if lengths is None else weight * float(np.median(lengths))


def auto_alpha(X: Tensor | Rows, sample_weight: Tensor | None = None) -> float:
    """Return the weight of the L1 norm that suits data of shape (n_samples, n_features).

    Rows that are few and far from all others play no part. Times a power of two are the data, times
    the same is the weight, to the bit.
    """
    few = few_rows(X)
    weights = None if sample_weight is None else sample_weight[few].double()
    values, weights = without_far_rows(X[few].double(), weights)
    known = fill_in(values, 0.0)
    peak = known.abs().max().item() or 1.0
    rows = known / peak, center_of_observed(values / peak, weights)[1]
    whole, apart = (_mean_length(vectors, weights) for vectors in rows)
    # What rounding leaves of rows that are all alike is no length.
    length = apart if apart > 8 * torch.finfo(X.dtype).eps * whole else whole
    return _SHARE * peak * (length or 1.0)


def _mean_length(X: Tensor, sample_weight: Tensor | None) -> float:
    return mean_of_rows(torch.linalg.vector_norm(X, dim=1), sample_weight).item()
