"""How faithfully each feature is to be reconstructed."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ..metrics import semantic_consistency


def relative_scores(owner: Any, X: Tensor, y: Any, sample_weight: Tensor | None) -> np.ndarray:
    """Return what an estimator's `feature_weights` asks for, relative to the largest, in [0, 1].

    Raises
    ------
    ValueError
        If a score is negative or not finite, all are zero, there is not one for each feature, or
        labels are needed and missing.
    """
    scores = _scores(owner, X.cpu().numpy(), y, sample_weight)
    peak = scores.max()
    if not np.isfinite(scores).all() or scores.min() < 0 or peak == 0:
        raise ValueError(
            f"{type(owner).__name__}: the feature weights must be finite, >= 0 and not all zero, "
            f"got values from {scores.min():g} to {peak:g} for feature_weights="
            f"{owner.feature_weights!r} and n_samples={len(X)}; pass an array, or drop constant "
            "features."
        )
    return scores / peak


def _variances(X: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    centered = X - np.average(X, axis=0, weights=sample_weight)
    return np.average(centered**2, axis=0, weights=sample_weight.astype(np.float64))


def to_weights(scores: np.ndarray) -> np.ndarray:
    """Return the scores scaled so that the mean of their squares is 1."""
    return scores / np.sqrt(np.mean(scores**2))


def _scores(owner: Any, X: np.ndarray, y: Any, sample_weight: Tensor | None) -> np.ndarray:
    given, name = owner.feature_weights, type(owner).__name__
    if sample_weight is not None:
        weights = sample_weight.cpu().numpy()
        if isinstance(given, str) and given == "variance":
            return _variances(X, weights)
        X, y = X[weights > 0], y if y is None else np.asarray(y)[weights > 0]
    if isinstance(given, str) and given == "variance":
        return X.var(axis=0, dtype=np.float64)
    if isinstance(given, str):
        if y is None:
            raise ValueError(
                f"{name}: feature_weights='consistency' needs class labels, got y=None; call "
                "fit(X, y), or choose feature_weights='variance'."
            )
        return semantic_consistency(X, y)
    scores = np.asarray(given(X, y) if callable(given) else given, dtype=np.float64)
    if scores.shape != (X.shape[1],):
        raise ValueError(
            f"{name}: feature_weights must have shape (n_features,) = ({X.shape[1]},), got "
            f"{scores.shape}; give one weight a feature."
        )
    return scores
