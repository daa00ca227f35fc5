"""Sparse combinations of random atoms: data = code @ dictionary + noise.

code (n_samples, n_components) has n_nonzero_coefs non-zeros a row, all of them or on average;
dictionary (n_components, n_features) has Gaussian rows of unit norm.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state

from .._compat import Interval, StrOptions, validate_params
from ._supports import SupportLaw, draw_counts
from ._validation import check_n_nonzero_coefs


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_nonzero_coefs": [Interval(Integral, 1, None, closed="left"), tuple],
        "positive": ["boolean"],
        "noise": [Interval(Real, 0, None, closed="left")],
        "zipf_exponent": [Interval(Real, 0, None, closed="left")],
        "importance": ["array-like", None],
        "n_nonzero_law": [StrOptions({"exact", "binomial"})],
        "group_size": [Interval(Integral, 1, None, closed="left")],
        "correlation": [Interval(Real, 0, 1, closed="left")],
        "hierarchical": ["boolean"],
        "intercept": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_sparse_coded_signal(
    n_samples: int,
    *,
    n_components: int,
    n_features: int,
    n_nonzero_coefs: int | tuple[int, int],
    positive: bool = False,
    noise: float = 0.0,
    zipf_exponent: float = 0.0,
    importance: Any = None,
    n_nonzero_law: str = "exact",
    group_size: int = 1,
    correlation: float = 0.0,
    hierarchical: bool = False,
    intercept: float = 0.0,
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
    n_nonzero_coefs : int or tuple of two ints
        Number of non-zero codes of each sample, at most `n_components`. A pair draws it anew for
        each sample, every number from the first to the second with the same chance.
    positive : bool, default=False
        Whether codes are drawn from the half-normal distribution ``|N(0, 1)|``, as a ReLU can find
        them, and not from N(0, 1).
    noise : float, default=0.0
        Standard deviation of Gaussian noise added to the data.
    zipf_exponent : float, default=0.0
        If above 0, atom j is chosen with a probability proportional to
        ``(j + 1) ** -zipf_exponent``, and its codes are scaled by that number where `importance`
        has no others: few strong and frequent atoms, many weak and rare ones. With 0 all atoms are
        alike.
    importance : array-like of shape (n_components,), default=None
        What the codes of each atom are scaled by, whatever its frequency: ``np.ones(n_components)``
        for rare sources as strong as the others, ``zipf_weights(n_components, offset=0.1)`` for the
        amortization-gap paper's.
    n_nonzero_law : {"exact", "binomial"}, default="exact"
        Whether every sample has `n_nonzero_coefs` non-zero codes, or each atom is active on its
        own, so that it is their mean; a sample may then have none.
    group_size : int, default=1
        Number of atoms, side by side, that form a group. Alone it changes nothing.
    correlation : float, default=0.0
        Correlation of the Gaussian variables that decide which atoms are active, between those of a
        group (a Gaussian copula); from 0 to below 1.
    hierarchical : bool, default=False
        Whether the first atom of a group is the parent of the others, which are active only along
        with it.
    intercept : float, default=0.0
        Norm of a vector, of random direction, that is added to every sample.
    random_state : int, RandomState instance or None, default=None
        Seed of dictionary, codes, noise and intercept. Pass an int for the same arrays at every
        call.

    Returns
    -------
    data : ndarray of shape (n_samples, n_features)
        ``code @ dictionary`` plus noise and intercept.
    dictionary : ndarray of shape (n_components, n_features)
        Atoms, one a row, of unit norm.
    code : ndarray of shape (n_samples, n_components)
        Codes, `n_nonzero_coefs` non-zeros in each row or as the laws above say.

    Raises
    ------
    ValueError
        A number outside its range, `n_nonzero_coefs` above `n_components`, an `importance` that is
        no weight an atom, or groups that are asked for and have one atom.

    See Also
    --------
    make_published_signal : The very arrays of the amortization-gap experiments.
    zipf_weights : A law for `importance`.
    skamort.metrics.recovery_boundary : How many features it takes to recover the codes.

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

    One to five sources, of which the odd ones come with the one before alone:

    >>> X, dictionary, codes = make_sparse_coded_signal(
    ...     n_samples=50, n_components=16, n_features=8, n_nonzero_coefs=(1, 5), positive=True,
    ...     group_size=2, hierarchical=True, random_state=0)
    >>> bool((codes[:, ::2] > 0)[codes[:, 1::2] > 0].all())
    True
    """
    check_n_nonzero_coefs("make_sparse_coded_signal", n_nonzero_coefs, n_components)
    _check_groups(n_nonzero_coefs, n_nonzero_law, group_size, correlation or hierarchical)
    _check_group_size(group_size, n_components)
    rng = check_random_state(random_state)

    # The draws come in scikit-learn's order, atoms in columns, so that they agree bit by bit.
    dictionary = rng.standard_normal((n_features, n_components))
    dictionary = (dictionary / np.linalg.norm(dictionary, axis=0)).T
    frequency = np.arange(1, n_components + 1, dtype=float) ** -zipf_exponent
    law = SupportLaw(frequency, group_size, correlation, hierarchical)
    counts = draw_counts(rng, n_samples, n_components, n_nonzero_coefs, n_nonzero_law)
    code = np.zeros((n_samples, n_components))
    for row, count in zip(code, counts, strict=True):
        support = law.draw(rng, count)
        row[support] = rng.standard_normal(count)
    code *= frequency if importance is None else _check_importance(importance, n_components)
    if positive:
        np.abs(code, out=code)
    data = code @ dictionary
    if noise > 0:
        data += noise * rng.standard_normal(data.shape)
    if intercept > 0:
        direction = rng.standard_normal(n_features)
        data += intercept * direction / np.linalg.norm(direction)
    return np.squeeze(data), np.squeeze(dictionary), np.squeeze(code)


def _check_groups(n_nonzero_coefs: Any, law: str, group_size: int, needs_groups: Any) -> None:
    caller = "make_sparse_coded_signal"
    if law == "binomial" and isinstance(n_nonzero_coefs, tuple):
        raise ValueError(
            f"{caller}: n_nonzero_law='binomial' draws around one number, got n_nonzero_coefs="
            f"{n_nonzero_coefs}; pass their mean, or n_nonzero_law='exact'."
        )
    if needs_groups and group_size < 2:
        raise ValueError(
            f"{caller}: correlation and hierarchical are about groups of two atoms and more, got "
            f"group_size={group_size}; choose group_size >= 2."
        )


def _check_group_size(group_size: int, n_components: int) -> None:
    if group_size > n_components:
        raise ValueError(
            f"make_sparse_coded_signal: group_size={group_size} exceeds n_components="
            f"{n_components}; choose group_size <= n_components."
        )


def _check_importance(importance: Any, n_components: int) -> np.ndarray:
    weights = check_array(importance, ensure_2d=False, dtype=float, input_name="importance")
    if weights.shape != (n_components,) or (weights < 0).any():
        raise ValueError(
            "make_sparse_coded_signal: importance must be one weight an atom, 0 or above, got an "
            f"array of shape {weights.shape} from {weights.min():g} on for {n_components} atoms."
        )
    return weights
