"""What is told of each latent beside its rows, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from .._numbers import as_numbers
from ._activity import Activity
from ._neighbours import logit_effects
from ._shown import short

_N_BARS = 30
_N_CLASSES = 3


def histograms(activity: Activity) -> list[dict[str, Any] | None]:
    """Return counts of the codes that are not zero, between 0 and the largest or between the
    lowest and the largest, for each latent; None where there are none."""
    n_latents = len(activity.n_active)
    low, high = np.zeros(n_latents), np.zeros(n_latents)
    for entries in (activity.sample, activity.top):
        np.minimum.at(low, entries["group"], entries["code"])
        np.maximum.at(high, entries["group"], entries["code"])
    latent, width = activity.sample["group"], high - low
    share = (activity.sample["code"] - low[latent]) / np.where(width > 0, width, 1)[latent]
    bars = (share * _N_BARS).astype(int).clip(max=_N_BARS - 1)
    counts = np.bincount(latent * _N_BARS + bars, minlength=n_latents * _N_BARS)
    return [
        {"low": short(least), "high": short(most), "counts": bars.tolist()} if any(bars) else None
        for least, most, bars in zip(low, high, counts.reshape(-1, _N_BARS), strict=True)
    ]


def class_shares(entries: np.ndarray, labels: np.ndarray, n_latents: int) -> list[list]:
    """Return, for each latent, the most frequent classes of its entries' rows and their shares."""
    names, number = np.unique(labels, return_inverse=True)
    ones = np.ones(len(entries))
    place = (entries["group"], number[entries["row"]])
    counts = sparse.csr_array(sparse.coo_array((ones, place), shape=(n_latents, len(names))))
    rows = (counts[[i]] for i in range(n_latents))
    return [_most_frequent(row.indices, row.data, names) for row in rows]


def _most_frequent(indices: np.ndarray, counts: np.ndarray, names: np.ndarray) -> list:
    order = np.argsort(-counts, kind="stable")[:_N_CLASSES]
    return [[str(names[indices[i]]), short(counts[i] / counts.sum())] for i in order]


def pairs(columns: np.ndarray, values: np.ndarray) -> list[list]:
    """Return numbers of others with values above 0, for each latent."""
    return [
        [[int(i), short(value)] for i, value in zip(others, of, strict=True) if value > 0]
        for others, of in zip(columns, values, strict=True)
    ]


def token_effects(
    atoms: np.ndarray, unembedding: Any, vocabulary: Any, n: int
) -> list[dict[str, list]]:
    """Return the tokens that each latent raises and lowers most.

    Raises
    ------
    ValueError
        If shapes do not fit, or the unembedding holds NaN or infinity.
    """
    matrix = as_numbers(unembedding, "FeatureReport", "unembedding").astype(atoms.dtype)
    if matrix.ndim != 2 or matrix.shape[1] != atoms.shape[1]:
        raise ValueError(
            f"FeatureReport: unembedding must have shape (n_tokens, n_features = "
            f"{atoms.shape[1]}), got {matrix.shape}; transpose it if it stands the other way."
        )
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"FeatureReport: unembedding must hold finite numbers, row {finite.argmin()} contains "
            "NaN or infinity; pass the weights of a model that gives finite logits."
        )
    if vocabulary is None or len(vocabulary) != len(matrix):
        raise ValueError(
            f"FeatureReport: vocabulary must hold the {len(matrix)} tokens of the unembedding, got "
            f"{'none' if vocabulary is None else len(vocabulary)}."
        )
    return [
        {"raised": _named(most, up, vocabulary), "lowered": _named(least, down, vocabulary)}
        for most, up, least, down in zip(*logit_effects(atoms, matrix, n), strict=True)
    ]


def _named(tokens: np.ndarray, values: np.ndarray, vocabulary: Any) -> list[list]:
    return [[str(vocabulary[t]), short(v)] for t, v in zip(tokens, values, strict=True)]


def by_latent(given: Any, n_latents: int, name: str) -> list | None:
    """Return what a user tells of each latent, None where it is nothing.

    Raises
    ------
    ValueError
        If there are more or fewer than latents, or one is not there.
    TypeError
        If it is neither by latent nor in order.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping) and not hasattr(given, "items"):
        if not _is_in_order(given):
            raise TypeError(
                f"FeatureReport: {name} must be a dict by latent, or a sequence with an entry for "
                f"each, got a {type(given).__name__}."
            )
        if len(given) != n_latents:
            raise ValueError(
                f"FeatureReport: {name} must have an entry for each of the {n_latents} latents, "
                f"got {len(given)}; pass a dict by latent where only some have one."
            )
        return list(given)
    told = dict(given.items())
    unknown = [latent for latent in told if latent not in range(n_latents)]
    if unknown:
        raise ValueError(
            f"FeatureReport: {name} tell of latent {unknown[0]!r}; the latents are 0 to "
            f"{n_latents - 1}."
        )
    return [told.get(latent) for latent in range(n_latents)]


def _is_in_order(given: Any) -> bool:
    if isinstance(given, str | bytes) or getattr(given, "ndim", 1) == 0:
        return False
    return hasattr(given, "__getitem__") and hasattr(given, "__len__")
