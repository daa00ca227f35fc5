"""Which atom of a dictionary each atom of a larger one comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils import gen_batches

from .._pipeline import atoms_of
from .._rows import rows_within
from .._validation import check_real


@dataclass(frozen=True)
class DictionaryMatch:
    """Each atom of a large dictionary with its parent in a small one.

    Parameters
    ----------
    parents : ndarray of shape (n_components_large,), int
        The nearest atom of the small dictionary, -1 where none is near enough.
    cosines : ndarray of shape (n_components_large,)
        The cosine with the nearest atom, near enough or not.
    n_children : ndarray of shape (n_components_small,), int
        How many atoms of the large dictionary have this parent.

    See Also
    --------
    match_dictionaries : Finds the parents.

    Examples
    --------
    >>> from skamort.inspection import match_dictionaries
    >>> match = match_dictionaries([[1.0, 0.0]], [[0.0, 1.0], [1.0, 0.5]])
    >>> match.parents, match.orphan_fraction
    (array([-1,  0]), 0.5)
    """

    parents: np.ndarray
    cosines: np.ndarray
    n_children: np.ndarray

    @property
    def orphan_fraction(self) -> float:
        """Share of the large dictionary's atoms without a parent."""
        return float(np.mean(self.parents < 0))


def match_dictionaries(
    dictionary_small: Any, dictionary_large: Any, *, min_cosine: float = 0.7
) -> DictionaryMatch:
    """Find the parent of each atom of a large dictionary among the atoms of a small one.

    A larger dictionary of the same data splits features: several of its atoms are close to one of
    the smaller dictionary, and others are new. The parent of an atom is the nearest one, by the
    cosine, sign included, if that is at least `min_cosine`.

    Parameters
    ----------
    dictionary_small : array-like of shape (n_components_small, n_features) or fitted estimator
        Atoms, one a row, of any norm; of an estimator its `components_` count.
    dictionary_large : array-like of shape (n_components_large, n_features) or fitted estimator
        Atoms of which the parents are sought.
    min_cosine : float, default=0.7
        Cosine from which on an atom is near enough, in [-1, 1].

    Returns
    -------
    match : DictionaryMatch
        Parents, their cosines, and the number of children of each parent. A zero atom has the
        cosine 0 with every other.

    Raises
    ------
    ValueError
        NaN or infinity, different numbers of features, or a cosine outside [-1, 1].

    See Also
    --------
    skamort.metrics.dictionary_mcc : One number for how well two dictionaries agree.

    References
    ----------
    Bricken et al. (2023), Towards Monosemanticity, on feature splitting. Leask et al. (2025),
    Sparse autoencoders do not find canonical units of analysis.

    Examples
    --------
    >>> from skamort.inspection import match_dictionaries
    >>> match = match_dictionaries([[1, 0], [0, 1]], [[2.0, 0.1], [3.0, -1.0], [-1.0, 0.0]])
    >>> match.parents, match.n_children
    (array([ 0,  0, -1]), array([2, 0]))
    >>> print(f"{match.orphan_fraction:.2f}")
    0.33
    """
    if check_real(min_cosine, "match_dictionaries: min_cosine", -1) > 1:
        raise ValueError(
            f"match_dictionaries: min_cosine must be <= 1, got {min_cosine!r}; no atom is nearer."
        )
    small = atoms_of(dictionary_small, "dictionary_small")
    large = atoms_of(dictionary_large, "dictionary_large")
    if small.shape[1] != large.shape[1]:
        raise ValueError(
            f"match_dictionaries: the atoms of dictionary_small have {small.shape[1]} features, "
            f"those of dictionary_large {large.shape[1]}; atoms are rows, of the same width."
        )
    nearest, cosines = _nearest(normalize(small), normalize(large))
    parents = np.where(cosines >= min_cosine, nearest, -1)
    return DictionaryMatch(
        parents, cosines, np.bincount(parents[parents >= 0], minlength=len(small))
    )


def _nearest(small: np.ndarray, large: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place and the cosine of the nearest unit vector in `small` of each in `large`."""
    nearest, cosines = np.empty(len(large), dtype=np.intp), np.empty(len(large), large.dtype)
    for rows in gen_batches(len(large), rows_within(len(small))):
        block = (large[rows] @ small.T).clip(-1, 1)
        nearest[rows], cosines[rows] = block.argmax(axis=1), block.max(axis=1)
    return nearest, cosines
