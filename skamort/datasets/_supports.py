"""Which sources are active together, and how many.

A support is what has the largest keys. With p_j the relative frequency of source j and G a Gaussian
copula, correlated within groups,

    key_j = log p_j - log(-log Phi(G_j)),

which is sampling without replacement in proportion to p where the G_j are independent (Gumbel). A
child's key is at most its parent's, so that it is never active alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr


@dataclass(frozen=True)
class SupportLaw:
    """How supports are drawn.

    Attributes
    ----------
    weights : ndarray of shape (n_components,)
        Relative frequencies of the sources.
    group_size : int
        Sources of a group, which stand side by side.
    correlation : float
        Of the Gaussian variables of two sources of a group.
    hierarchical : bool
        Whether the first source of a group is active whenever another of it is.
    """

    weights: np.ndarray
    group_size: int
    correlation: float
    hierarchical: bool

    def draw(self, rng: np.random.RandomState, size: int) -> np.ndarray:
        """Return the indexes of `size` different sources."""
        n_components = len(self.weights)
        if self.correlation or self.hierarchical:
            return np.argsort(-self._keys(rng), kind="stable")[:size]
        if np.ptp(self.weights):
            p = self.weights / self.weights.sum()
            return rng.choice(n_components, size, replace=False, p=p)
        atoms = np.arange(n_components)  # as scikit-learn draws, bit by bit
        rng.shuffle(atoms)
        return atoms[:size]

    def _keys(self, rng: np.random.RandomState) -> np.ndarray:
        group = np.arange(len(self.weights)) // self.group_size
        common = rng.standard_normal(group[-1] + 1)[group]
        own = rng.standard_normal(len(group))
        gaussian = np.sqrt(self.correlation) * common + np.sqrt(1 - self.correlation) * own
        keys = np.log(self.weights) - np.log(-np.log(ndtr(gaussian)))
        if self.hierarchical:  # in a stable order the parent comes before a child of the same key
            keys = np.minimum(keys, keys[group * self.group_size])
        return keys


def draw_counts(
    rng: np.random.RandomState,
    n_samples: int,
    n_components: int,
    n_nonzero_coefs: int | tuple[int, int],
    law: str,
) -> np.ndarray:
    """Return the number of active sources of each sample; draws nothing where it is fixed."""
    if isinstance(n_nonzero_coefs, tuple):
        low, high = n_nonzero_coefs
        return rng.randint(low, high + 1, n_samples)
    if law == "binomial":
        return rng.binomial(n_components, n_nonzero_coefs / n_components, n_samples)
    return np.full(n_samples, n_nonzero_coefs)
