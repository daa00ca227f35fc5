"""Mutual coherence, from the inner products of atoms."""

from __future__ import annotations

import numpy as np


def coherence_of(gram: np.ndarray) -> float:
    """Largest absolute cosine between two different atoms, whose inner products are given."""
    norms = np.sqrt(np.diagonal(gram))
    norms = np.where(norms > 0, norms, 1)
    cosines = np.abs(gram / np.outer(norms, norms))
    np.fill_diagonal(cosines, 0)
    return float(cosines.max())
