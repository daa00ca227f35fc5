"""Which codes to start from may be better than those found, compiled: a look at their non-zeros."""

from __future__ import annotations

import numpy as np

from .._numba import kernel, leaf
from ._numba_tools import copy, hide, squared_norm, subtract_rows

# Residuals that differ by less than this share of ||x||^2 are compared in the dtype of the data.
_CLOSE = 1e-3


@leaf
def _nonzeros(codes, support):
    """The places of the codes that are not 0, into ``support``, which has one place more than there
    are codes; how many they are."""
    n = 0
    for j in range(len(codes)):
        support[n] = j
        n += codes[j] != 0
    return n


@kernel
def find_rivals(dictionary, k, X, seen, start, residuals, rivals):
    """Tell the rows whose start leaves no more than ``residuals``, or little more; or has more than
    k codes that are not 0. Rows of ``seen`` are as `hide` takes them."""
    support = np.empty(start.shape[1] + 1, np.int64)
    weights, residual = np.empty(k, X.dtype), np.empty(X.shape[1], X.dtype)
    for s in range(len(X)):
        n = _nonzeros(start[s], support)
        rivals[s] = n > k
        if n <= k:
            for i in range(n):
                weights[i] = start[s, support[i]]
            copy(residual, X[s])
            subtract_rows(residual, weights, dictionary, support, n)
            hide(residual, seen[s])
            rivals[s] = squared_norm(residual) <= residuals[s] + _CLOSE * squared_norm(X[s])
