"""How faithfully each feature is to be reconstructed."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis
from torch import Tensor

from .._numbers import as_array, as_numbers
from ..metrics import semantic_consistency
from ..training import Sample

# Deviations of rows that are all alike are so many roundings of their numbers at most.
_ROUNDINGS = 8


def relative_scores(owner: Any, sample: Sample, y: Any) -> np.ndarray:
    """Return what an estimator's `feature_weights` asks for, relative to the largest, in [0, 1].

    Rows that are never made dense as a whole are judged as a CSR array. What a name asks for is
    found once.

    Raises
    ------
    ValueError
        If a score is negative or not finite, all are zero, there is not one for each feature, or
        labels are needed and missing.
    """
    given = owner.feature_weights
    find = partial(_scores, owner, sample, y)
    scores = sample.once(("scores", given), find) if isinstance(given, str) else find()
    peak = scores.max()
    if not np.isfinite(scores).all() or scores.min() < 0 or peak == 0:
        raise ValueError(
            f"{type(owner).__name__}: the feature weights must be finite, >= 0 and not all zero, "
            f"got values from {scores.min():g} to {peak:g} for feature_weights="
            f"{given!r} and n_samples={len(sample.X)}; pass an array, or drop constant "
            "features."
        )
    return scores / peak


def _variances(X: Any, sample_weight: np.ndarray | None) -> np.ndarray:
    if sparse.issparse(X):
        return mean_variance_axis(X.astype(np.float64), axis=0, weights=sample_weight)[1]
    if sample_weight is None:
        return X.var(axis=0, dtype=np.float64)
    centered = X - np.average(X, axis=0, weights=sample_weight.astype(X.dtype))
    return np.average(centered**2, axis=0, weights=sample_weight)


def _unless_alike(scores: np.ndarray, X: Any, variances: np.ndarray) -> np.ndarray:
    """Return scores; equal ones where rows are all alike, in which no feature tells more than
    another."""
    rounding = _ROUNDINGS * np.finfo(X.dtype).eps * abs(X).max()
    return scores if np.sqrt(variances.max()) > rounding else np.ones_like(scores)


def to_weights(scores: np.ndarray) -> np.ndarray:
    """Return the scores scaled so that the mean of their squares is 1."""
    return scores / np.sqrt(np.mean(scores**2))


def _scores(owner: Any, sample: Sample, y: Any) -> np.ndarray:
    given, name = owner.feature_weights, type(owner).__name__
    X = sample.X.cpu().numpy() if isinstance(sample.X, Tensor) else sample.X.source
    weights = None if sample.weights is None else sample.weights.double().cpu().numpy()
    if isinstance(given, str) and given == "variance":
        variances = _variances(X, weights)
        return _unless_alike(variances, X, variances)
    if weights is not None:
        X, y = X[weights > 0], y if y is None else as_array(y)[weights > 0]
    if isinstance(given, str):
        if y is None:
            raise ValueError(
                f"{name}: feature_weights='consistency' needs class labels, got y=None; call "
                "fit(X, y), or choose feature_weights='variance'."
            )
        return _unless_alike(semantic_consistency(X, y), X, _variances(X, None))
    found = as_numbers(given(X, y) if callable(given) else given, name, "feature_weights")
    scores = np.asarray(found, dtype=np.float64)
    if scores.shape != (X.shape[1],):
        raise ValueError(
            f"{name}: feature_weights must have shape (n_features,) = ({X.shape[1]},), got "
            f"{scores.shape}; give one weight a feature."
        )
    return scores
