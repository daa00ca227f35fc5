"""What is near a latent: other latents by their atoms or their activity, tokens by their logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import normalize

from .._explained_variance import row_blocks
from .._matrices import as_dense


def nearest(vectors: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each row, the rows of largest cosine with it, and the cosines.

    Parameters
    ----------
    vectors : {ndarray, csr_array} of shape (n_vectors, n_features)
        Those of norm zero have cosine 0 with all.
    n : int
        How many others; fewer where there are fewer.
    """
    unit, found = normalize(vectors), []
    for rows in row_blocks(unit.shape[0], unit.shape[0]):
        cosines = as_dense(unit[rows] @ unit.T)
        own = np.arange(unit.shape[0])[rows]
        cosines[np.arange(len(own)), own] = -np.inf
        found.append(_largest(cosines, min(n, unit.shape[0] - 1)))
    return _joined(found)


def logit_effects(atoms: np.ndarray, unembedding: np.ndarray, n: int) -> tuple[np.ndarray, ...]:
    """Return the tokens that an atom raises most, by how much, those it lowers most, and by how
    much.

    Parameters
    ----------
    atoms : ndarray of shape (n_atoms, n_features)
        What is added to a row.
    unembedding : ndarray of shape (n_tokens, n_features)
        What a row is multiplied with for logits.
    n : int
        How many of each.
    """
    # What is common to all tokens changes no probability.
    tokens, raised, lowered = (unembedding - unembedding.mean(axis=0)).T, [], []
    for rows in row_blocks(len(atoms), len(unembedding)):
        effects = atoms[rows] @ tokens
        raised.append(_largest(effects, min(n, len(unembedding))))
        lowered.append(_largest(-effects, min(n, len(unembedding))))
    least, by = _joined(lowered)
    return *_joined(raised), least, -by


def _largest(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of the n largest scores in each row, from the largest on, and these."""
    columns = np.argpartition(-scores, max(n - 1, 0), axis=1)[:, :n]
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def _joined(blocks: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    columns, values = zip(*blocks, strict=True)
    return np.concatenate(columns), np.concatenate(values)
