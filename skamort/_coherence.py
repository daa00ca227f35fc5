"""Mutual coherence, from the inner products of atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._explained_variance import row_blocks


def coherence_of(squares: np.ndarray, gram: Callable[[slice], np.ndarray]) -> float:
    """Largest absolute cosine between two different atoms, from their squared norms and a function
    that gives some rows of their Gram matrix."""
    norms = np.where(squares > 0, np.sqrt(squares), 1)
    largest = 0.0
    for rows in row_blocks(len(norms), len(norms)):
        cosines = np.abs(gram(rows) / np.outer(norms[rows], norms))
        np.fill_diagonal(cosines[:, rows], 0)
        largest = max(largest, float(cosines.max()))
    return largest
