"""Sparse combinations of random atoms: data = code @ dictionary + noise.

code (n_samples, n_components) has exactly n_nonzero_coefs non-zeros a row; dictionary
(n_components, n_features) has Gaussian rows of unit norm.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._compat import Interval, validate_params
from ._validation import check_n_nonzero_coefs


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_nonzero_coefs": [Interval(Integral, 1, None, closed="left")],
        "positive": ["boolean"],
        "noise": [Interval(Real, 0, None, closed="left")],
        "zipf_exponent": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_sparse_coded_signal(
    n_samples: int,
    *,
    n_components: int,
    n_features: int,
    n_nonzero_coefs: int,
    positive: bool = False,
    noise: float = 0.0,
    zipf_exponent: float = 0.0,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generate a signal as a sparse combination of dictionary atoms.

    With the arguments of :func:`sklearn.datasets.make_sparse_coded_signal` and no others, the
    same `random_state` gives the same arrays.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    n_components : int
        Number of atoms in the dictionary.
    n_features : int
        Number of features of the data.
    n_nonzero_coefs : int
        Number of non-zero codes of each sample, at most `n_components`.
    positive : bool, default=False
        Whether codes are drawn from the half-normal distribution ``|N(0, 1)|``, as a ReLU can find
        them, and not from N(0, 1).
    noise : float, default=0.0
        Standard deviation of Gaussian noise added to the data.
    zipf_exponent : float, default=0.0
        If above 0, atom j is chosen with a probability proportional to
        ``(j + 1) ** -zipf_exponent``, and its codes are scaled by that number: few strong and
        frequent atoms, many weak and rare ones. With 0 all atoms are alike.
    random_state : int, RandomState instance or None, default=None
        Seed of dictionary, codes and noise. Pass an int for the same arrays at every call.

    Returns
    -------
    data : ndarray of shape (n_samples, n_features)
        ``code @ dictionary`` plus noise.
    dictionary : ndarray of shape (n_components, n_features)
        Atoms, one a row, of unit norm.
    code : ndarray of shape (n_samples, n_components)
        Codes with exactly `n_nonzero_coefs` non-zeros in each row.

    Raises
    ------
    ValueError
        A number outside its range, or `n_nonzero_coefs` above `n_components`.

    See Also
    --------
    make_published_signal : The very arrays of the amortization-gap experiments.

    Notes
    -----
    As in scikit-learn, axes of length 1 are squeezed out of all three arrays.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders.

    Examples
    --------
    >>> from skamort.datasets import make_sparse_coded_signal
    >>> X, dictionary, codes = make_sparse_coded_signal(
    ...     n_samples=50, n_components=16, n_features=8, n_nonzero_coefs=3, positive=True,
    ...     random_state=0)
    >>> X.shape, dictionary.shape, codes.shape
    ((50, 8), (16, 8), (50, 16))
    >>> set((codes > 0).sum(axis=1).tolist())
    {3}
    """
    check_n_nonzero_coefs("make_sparse_coded_signal", n_nonzero_coefs, n_components)
    rng = check_random_state(random_state)

    # The draws come in scikit-learn's order, atoms in columns, so that they agree bit by bit.
    dictionary = rng.standard_normal((n_features, n_components))
    dictionary = (dictionary / np.linalg.norm(dictionary, axis=0)).T
    scale = np.arange(1, n_components + 1, dtype=float) ** -zipf_exponent
    code = np.zeros((n_samples, n_components))
    for row in code:
        support = _draw_support(rng, scale, n_nonzero_coefs, uniform=zipf_exponent == 0)
        row[support] = rng.standard_normal(n_nonzero_coefs)
    code *= scale
    if positive:
        np.abs(code, out=code)
    data = code @ dictionary
    if noise > 0:
        data += noise * rng.standard_normal(data.shape)
    return np.squeeze(data), np.squeeze(dictionary), np.squeeze(code)


def _draw_support(
    rng: np.random.RandomState, weights: np.ndarray, size: int, *, uniform: bool
) -> np.ndarray:
    """Indexes of `size` different atoms."""
    if not uniform:
        return rng.choice(len(weights), size, replace=False, p=weights / weights.sum())
    atoms = np.arange(len(weights))
    rng.shuffle(atoms)
    return atoms[:size]
