"""How much one latent means one thing."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.validation import column_or_1d

from ._validation import check_matrix, check_same_length


@validate_params(
    {
        "codes": ["array-like"],
        "y": ["array-like"],
        "n_top": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def semantic_consistency(codes: Any, y: Any, *, n_top: int = 50) -> np.ndarray:
    """Share of a latent's top samples that belong to their most frequent class.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_components)
        Codes, or any features. The samples of a latent's largest values are its top samples;
        samples at its smallest value, where a sparse code is silent, never are.
    y : array-like of shape (n_samples,)
        Class labels.
    n_top : int, default=50
        Number of top samples; all that fire where there are fewer.

    Returns
    -------
    consistency : ndarray of shape (n_components,)
        From 1 / n_classes to 1, for a latent of one class; 0 for a latent that never varies,
        which has no top samples.

    Raises
    ------
    ValueError
        NaN or infinity in `codes`, different numbers of samples, or `n_top` below 1.

    References
    ----------
    On the Limits of Sparse Autoencoders: A Theoretical Framework and Reweighted Remedy (WSAE).

    Examples
    --------
    >>> from skamort.metrics import semantic_consistency
    >>> codes = [[0.9, 0.1], [0.8, 0.9], [0.1, 0.8], [0.0, 0.0]]
    >>> semantic_consistency(codes, ["cat", "cat", "dog", "dog"], n_top=2)
    array([1. , 0.5])
    """
    codes = check_matrix(codes, "codes")
    labels, y = np.unique(column_or_1d(y), return_inverse=True)
    check_same_length(codes, y, "codes and y")
    top = np.argsort(-codes, axis=0, kind="stable")[:n_top]
    active = np.take_along_axis(codes, top, axis=0) > codes.min(axis=0)
    of_class = [(active & (y[top] == label)).sum(axis=0) for label in range(len(labels))]
    return np.max(of_class, axis=0) / active.sum(axis=0).clip(min=1)
