"""Generalized orthogonal matching pursuit by the Gram matrix, compiled: the kernel behind `GOMP`.

With G = D D^T and c = D x, a stage reads rows of G and no atom:

    z_S = argmin 1/2 <z, G_SS z> - <z, c_S>      c - z_S G_S      what correlates with the residual

The largest are found one after the other: compiled, a maximum costs less than to sort.
"""

from __future__ import annotations

import numpy as np

from .._numba import kernel, leaf
from ._least_squares_numba import fit_support, gradient_noise
from ._numba_tools import argmax, copy, largest, squared_norm, subtract_rows


@leaf
def _join(scores, positive, floor, norms, support, n, size):
    """Let the atoms with the largest scores join, up to ``size`` in all; how many there are."""
    while n < size:
        j = argmax(scores, positive)
        if j < 0 or not abs(scores[j]) > floor * norms[j]:
            break
        support[n], scores[j] = j, 0
        n += 1
    return n


@leaf
def _look_up(gram, c, support, n, products, target):
    """Scalar products of the atoms of a support with each other and with the sample."""
    for i in range(n):
        target[i] = c[support[i]]
        for j in range(i + 1):  # rows of the first atoms have been read before
            products[i, j] = products[j, i] = gram[support[j], support[i]]


@leaf
def _keep_used(support, z, active, n):
    """Close the gaps of the atoms that are not used; how many are left."""
    left = 0
    for i in range(n):
        if active[i]:
            support[left], z[left] = support[i], z[i]
            left += 1
    z[left:] = 0
    return left


@leaf
def _correlate(c, gram, z, support, n, scores):
    """What correlates with the residual, 0 for the atoms in use."""
    copy(scores, c)
    subtract_rows(scores, z, gram, support, n)
    for i in range(n):
        scores[support[i]] = 0


@leaf
def _left(x, dictionary, z, support, n, exact, residual):
    """||x - z D||^2, in float64; ``exact`` receives z."""
    copy(residual, x)
    copy(exact[:n], z)
    subtract_rows(residual, exact, dictionary, support, n)
    return squared_norm(residual)


@kernel
def pursue_stages(
    dictionary, gram, norms, n_stages, k_max, positive, X, cov, codes, n_iter, residuals
):
    """Pursuit for every row of ``X``, from ``codes``, which receive those found.

    ``cov`` are the correlations with all atoms, ``norms`` the lengths of these. ``n_iter``, the
    stages in which atoms joined, is -1 where they are nearly dependent, and codes stay as they are.
    """
    dtype = cov.dtype
    eps = np.finfo(dtype).eps
    products, factor = np.zeros((k_max, k_max), dtype), np.zeros((k_max, k_max), dtype)
    target, new, z = np.zeros(k_max, dtype), np.zeros(k_max, dtype), np.zeros(k_max, dtype)
    chosen, active = np.zeros(k_max, np.int64), np.zeros(k_max, np.bool_)
    support, scores = np.zeros(k_max, np.int64), np.empty(len(gram), dtype)
    exact, residual = np.zeros(k_max), np.zeros(X.shape[1])
    for s in range(len(X)):
        guided = largest(codes[s], 0, len(scores), False) > 0
        copy(scores, codes[s] if guided else cov[s])
        noise = dtype.type(4 * eps * np.sqrt(squared_norm(X[s])))
        # An encoder may mean small codes.
        floor, n, z[:] = dtype.type(0) if guided else noise, np.int64(0), 0
        for stage in range(n_stages):
            if stage > 0:
                _correlate(cov[s], gram, z, support, n, scores)
                floor = noise
            size = k_max * (stage + 1) // n_stages
            before, n = n, _join(scores, positive, floor, norms, support, n, size)
            if n == before:
                break
            _look_up(gram, cov[s], support, n, products, target)
            active[:n], active[n:] = True, False
            rounds = fit_support(
                products, target, n, positive, gradient_noise(X[s]), z, active, chosen, factor, new
            )
            if rounds == 0:
                n_iter[s] = -1
                break
            n = _keep_used(support, z, active, n)
            n_iter[s] += 1
        if n_iter[s] >= 0:
            codes[s] = 0
            for i in range(n):
                codes[s, support[i]] = z[i]
            residuals[s] = _left(X[s], dictionary, z, support, n, exact, residual)
