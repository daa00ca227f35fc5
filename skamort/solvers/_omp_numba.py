"""Orthogonal matching pursuit, compiled: the per-sample kernel behind `OMP` and `ORMP`.

The atoms of the support are orthonormalized one after the other, d_j = sum_i R_ij q_i. What is
stored of q_i is its correlation with every atom, w_i = D q_i, a row of n_components numbers. Then,
when atom j joins as the k-th,

    R_ik = w_i[j],   w_k = (G_j - sum_i R_ik w_i) / R_kk,   y_k = c_j / R_kk,   c <- c - y_k w_k

and ||d_l||^2 - sum_i w_i[l]^2 is what the support leaves of atom l. The coefficients solve R z = y.
"""

from __future__ import annotations

import numpy as np

from ._numba_tools import argmax, kernel, subtract_rows


@kernel
def _best_atom(c, left, least, positive, recursive, score):
    """The atom that OMP, or ORMP where recursive, adds next; -1 if no correlation is left."""
    if not recursive:
        return argmax(c, positive)
    for j in range(len(c)):
        value = c[j] if c[j] > 0 or not positive else c.dtype.type(0)
        score[j] = value * value / (left[j] if left[j] > least[j] else least[j])
    return argmax(score, True)


@kernel
def _push(j, k, gram, least, c, left, rows, factor, y, support, order, recursive):
    """Let atom j join as the k-th of the support; False if it depends on the others."""
    length = gram[j, j]
    for i in range(k):
        factor[k, i] = rows[i, j]
        length -= rows[i, j] * rows[i, j]
    if length <= least[j]:
        return False
    length = np.sqrt(length)
    factor[k, k] = length
    inverse = c.dtype.type(1) / length
    share = c[j] * inverse
    support[k], y[k] = j, share
    row = rows[k]
    row[:] = gram[j]
    subtract_rows(row, factor[k], rows, order, k)
    for m in range(len(c)):
        row[m] *= inverse
        c[m] -= share * row[m]
    if recursive:
        for m in range(len(c)):
            left[m] -= row[m] * row[m]
    return True


@kernel
def _solve(factor, y, k, z):
    """Coefficients from the triangular system."""
    for i in range(k):
        z[i] = y[i]
    for i in range(k - 1, -1, -1):
        z[i] /= factor[i, i]
        for m in range(i):
            z[m] -= factor[i, m] * z[i]


@kernel
def _drop_negative(old, new, support, k):
    """Go from old to new coefficients until the first vanish, and drop those; how many are left."""
    length, blocking = old.dtype.type(1), -1
    for i in range(k):
        if new[i] <= 0 and old[i] <= length * (old[i] - new[i]):
            length, blocking = old[i] / (old[i] - new[i]), i
    left = 0
    for i in range(k):
        value = old[i] + length * (new[i] - old[i])
        if i != blocking and (value > 0 or new[i] > 0):
            support[left], old[left] = support[i], value
            left += 1
    return left


@kernel
def _residual(x, dictionary, z, support, k, residual):
    """||x - z D||^2 in float64."""
    for f in range(len(x)):
        residual[f] = x[f]
    for i in range(k):
        weight, atom = np.float64(z[i]), dictionary[support[i]]
        for f in range(len(x)):
            residual[f] -= weight * np.float64(atom[f])
    total = 0.0
    for f in range(len(x)):
        total += residual[f] * residual[f]
    return total


@kernel
def pursue(dictionary, gram, k_max, positive, recursive, X, cov, codes, n_iter, residuals):
    """Pursuit for every row of ``X``; ``residuals`` receives ||x - z D||^2."""
    n_samples, n_components = cov.shape
    dtype = cov.dtype
    eps = np.finfo(dtype).eps
    rows, factor = np.empty((k_max, n_components), dtype), np.zeros((k_max, k_max), dtype)
    y, z, old = np.empty(k_max, dtype), np.empty(k_max, dtype), np.empty(k_max, dtype)
    support, spent = np.empty(k_max, dtype=np.int64), np.empty(n_components, dtype=np.int64)
    c, left = np.empty(n_components, dtype), np.empty(n_components, dtype)
    norms, least = np.empty(n_components, dtype), np.empty(n_components, dtype)
    score, order = np.empty(n_components, dtype), np.arange(k_max)
    residual = np.empty(X.shape[1])
    for j in range(n_components):
        norms[j] = gram[j, j]
        # What is left of an atom that depends on the support is rounding.
        least[j] = 64 * eps * norms[j]
    for s in range(n_samples):
        c[:] = cov[s]
        left[:] = norms
        k, n_spent = 0, 0
        energy = 0.0
        for f in range(X.shape[1]):
            energy += np.float64(X[s, f]) ** 2
        floor = dtype.type(16 * eps * eps * energy)
        while k < k_max and n_iter[s] < 2 * k_max:
            j = _best_atom(c, left, least, positive, recursive, score)
            if j < 0 or c[j] * c[j] <= floor * norms[j]:
                break
            if not _push(j, k, gram, least, c, left, rows, factor, y, support, order, recursive):
                spent[n_spent] = j
                n_spent += 1
            else:
                n_iter[s] += 1
                old[k] = 0
                k += 1
                if positive:
                    _solve(factor, y, k, z)
                    while k > 0 and z[:k].min() <= 0:
                        k = _drop_negative(old, z, support, k)
                        c[:] = cov[s]
                        left[:] = norms
                        for i in range(k):
                            _push(
                                support[i],
                                i,
                                gram,
                                least,
                                c,
                                left,
                                rows,
                                factor,
                                y,
                                support,
                                order,
                                recursive,
                            )
                        _solve(factor, y, k, z)
                    old[:k] = z[:k]
            for i in range(n_spent):
                c[spent[i]] = 0
            for i in range(k):
                c[support[i]] = 0
        _solve(factor, y, k, z)
        for i in range(k):
            codes[s, support[i]] = z[i]
        residuals[s] = _residual(X[s], dictionary, z, support, k, residual)
