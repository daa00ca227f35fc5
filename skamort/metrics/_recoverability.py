"""Which codes can be recovered at all: the boundary in the number of features, and coherence."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from .._coherence import coherence_of
from .._compat import Interval, validate_params
from .._pipeline import atoms_of


@validate_params(
    {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_nonzero_coefs": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def recovery_boundary(n_components: int, n_nonzero_coefs: int) -> float:
    """Features that are needed to recover sparse codes, given the right dictionary.

    Compressed sensing needs about ``K log(N / K)`` random measurements for K active of N sources.
    That is a scale, without the constant, for K far below N: where a third of the sources and more
    are active it is below K itself. K active sources leave K + 1 features at least to tell which,
    and N features always suffice, so the boundary is

    ``min(N, max(K + 1, K log(N / K)))``.

    Parameters
    ----------
    n_components : int
        Number of sources, N.
    n_nonzero_coefs : int
        Number of active sources of a sample, K.

    Returns
    -------
    n_features : float
        With fewer features codes are not determined, whoever looks for them; with more they may
        be.

    Raises
    ------
    ValueError
        A number below 1, or `n_nonzero_coefs` above `n_components`.

    See Also
    --------
    mutual_coherence : What a given dictionary allows.
    skamort.datasets.make_sparse_coded_signal : Data on either side of the boundary.

    References
    ----------
    Donoho (2006), Compressed sensing. O'Neill, Gumran and Klindt (2025), Compute Optimal Inference
    and Provable Amortisation Gap in Sparse Autoencoders, who draw ``K log(N / K)``.

    Examples
    --------
    >>> from skamort.metrics import recovery_boundary
    >>> round(recovery_boundary(1000, 20), 1)
    78.2
    >>> recovery_boundary(16, 9)  # 9 log(16 / 9) is 5.2
    10.0
    >>> recovery_boundary(16, 16)
    16.0
    """
    if n_nonzero_coefs > n_components:
        raise ValueError(
            f"recovery_boundary: n_nonzero_coefs={n_nonzero_coefs} exceeds "
            f"n_components={n_components}; choose n_nonzero_coefs <= n_components."
        )
    measurements = n_nonzero_coefs * np.log(n_components / n_nonzero_coefs)
    return float(min(n_components, max(n_nonzero_coefs + 1, measurements)))


def mutual_coherence(dictionary: Any) -> float:
    """Largest absolute cosine between two different atoms of a dictionary.

    Parameters
    ----------
    dictionary : array-like of shape (n_components, n_features) or fitted estimator
        Atoms, one a row, of any norm; of an estimator its `components_` count.

    Returns
    -------
    coherence : float
        From 0 for orthogonal atoms to 1 where two are parallel or opposite; at least
        ``sqrt((N - M) / (M (N - 1)))`` for N atoms of M < N features (Welch). With fewer than
        ``(1 + 1 / coherence) / 2`` active sources, basis pursuit and orthogonal matching pursuit
        recover every code; with more they may, and mostly do.

    Raises
    ------
    ValueError
        NaN or infinity, or a dictionary that is no matrix.

    See Also
    --------
    recovery_boundary : What random dictionaries allow.
    skamort.inspection.GramDisplay : All cosines as a picture.

    References
    ----------
    Tropp (2004), Greed is good: algorithmic results for sparse approximation, theorem B.

    Examples
    --------
    >>> from skamort.metrics import mutual_coherence
    >>> mutual_coherence([[2.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    0.8
    """
    dictionary = atoms_of(dictionary, "dictionary").astype(np.float64)
    size = np.abs(dictionary).max(axis=1, keepdims=True)
    dictionary /= np.where(size > 0, size, 1)
    squares = np.einsum("ij,ij->i", dictionary, dictionary)
    return min(1.0, coherence_of(squares, lambda rows: dictionary[rows] @ dictionary.T))
