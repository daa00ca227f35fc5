"""Orthogonal matching pursuit, compiled: the per-sample kernel behind `OMP` and `ORMP`.

The atoms of the support are orthonormalized one after the other, d_j = sum_i R_ij q_i. What is
stored of q_i is its correlation with every atom, w_i = D q_i, a row of n_components numbers. Then,
when atom j joins as the k-th,

    R_ik = w_i[j],   w_k = (G_j - sum_i R_ik w_i) / R_kk,   y_k = c_j / R_kk,   c <- c - y_k w_k

and ||d_l||^2 - sum_i w_i[l]^2 is what the support leaves of atom l. The coefficients solve R z = y.

Row G_j of the Gram matrix comes from a table. Where entries are missing, every sample has a Gram
matrix of its own; of that only the rows of its support are computed, from the features observed.
"""

from __future__ import annotations

import numpy as np

from .._numba import kernel, leaf
from ._numba_tools import (
    aligned_rows,
    are_positive,
    argmax,
    copy,
    hide,
    squared_norm,
    subtract_rows,
)

# Numbers of a row that stay in the first cache while the support's rows pass.
_TILE = np.uint64(4096)


@leaf
def _start(s, cov, norms, c, left):
    """Correlations of sample s, and what an empty support leaves of every atom: all."""
    for m in range(len(norms)):
        c[m], left[m] = cov[s, m], norms[m]


@leaf
def _where(seen, features):
    """The features that a sample is observed in, into ``features``; how many they are."""
    n_seen = 0
    for f in range(len(seen)):
        if seen[f] != 0:
            features[n_seen] = f
            n_seen += 1
    return n_seen


@leaf
def _products(j, dictionary, table, features, n_seen, weights, fresh):
    """Scalar products of atom j with all atoms, where a sample is observed.

    ``table`` is the Gram matrix; the transposed dictionary where entries are missing.
    """
    if len(features) == 0:
        # The whole row at once, at the speed of memory.
        for m in range(np.uint64(len(table))):
            fresh[m] = table[j, m]
        return
    for i in range(n_seen):
        weights[i] = -dictionary[j, features[i]]
    fresh[:] = 0
    subtract_rows(fresh[: len(dictionary)], weights, table, features, n_seen)


@leaf
def _best_atom(c, left, least, positive, by_norm, score):
    """The atom that is added next, by what is ``left`` of it where atoms are not of one norm, as in
    ORMP and under a mask; -1 if no correlation is left."""
    if not by_norm:
        return argmax(c, positive)
    for j in range(len(score)):
        value = c[j] if c[j] > 0 or not positive else c.dtype.type(0)
        score[j] = value * value / (left[j] if left[j] > least[j] else least[j])
    return argmax(score, positive)  # scores are: one kernel does for both


@leaf
def _orthogonalize(fresh, weights, k, rows, start, stop):
    """fresh -= sum of weights[k, i] rows[i] over i < k, four rows at a time."""
    done = k - k % 4
    for i in range(0, done, 4):
        a, b, c, d = weights[k, i], weights[k, i + 1], weights[k, i + 2], weights[k, i + 3]
        for m in range(start, stop):
            fresh[m] -= (
                a * rows[i, m] + b * rows[i + 1, m] + c * rows[i + 2, m] + d * rows[i + 3, m]
            )
    for i in range(done, k):
        a = weights[k, i]
        for m in range(start, stop):
            fresh[m] -= a * rows[i, m]


@leaf
def _join(j, k, norms, least, c, rows, factor, y, support):
    """Let atom j join as the k-th of the support; False if it depends on the others."""
    length = norms[j]
    for i in range(k):
        factor[k, i] = rows[i, j]
        length -= rows[i, j] * rows[i, j]
    if length <= least[j]:
        return False
    length = np.sqrt(length)
    factor[k, k] = length
    support[k], y[k] = j, c[j] / length
    return True


@leaf
def _update(
    k, dictionary, table, features, n_seen, weights, c, left, fresh, rows, factor, y, support,
    recursive,
):  # fmt: skip
    """Correlations of all atoms with the k-th orthonormal vector, and what they change."""
    _products(support[k], dictionary, table, features, n_seen, weights, fresh)
    share, inverse = y[k], c.dtype.type(1) / factor[k, k]
    # Unsigned: a compiler that must provide for indices < 0 does not vectorize.
    size = np.uint64(len(c))
    for start in range(np.uint64(0), size, _TILE):
        stop = min(start + _TILE, size)
        _orthogonalize(fresh, factor, k, rows, start, stop)
        for m in range(start, stop):
            value = inverse * fresh[m]
            rows[k, m] = value
            c[m] -= share * value
        if recursive:
            for m in range(start, stop):
                left[m] -= rows[k, m] * rows[k, m]
    for i in range(k + 1):
        c[support[i]] = 0


@leaf
def _solve(factor, y, k, z):
    """Coefficients from the triangular system."""
    for i in range(k):
        z[i] = y[i]
    for i in range(k - 1, -1, -1):
        z[i] /= factor[i, i]
        for m in range(i):
            z[m] -= factor[i, m] * z[i]


@leaf
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


@leaf
def _residual(X, seen, s, dictionary, z, support, k, exact, residual):
    """||x - z D||^2 of sample s in float64, where it is observed; ``exact`` receives z."""
    for f in range(len(residual)):
        residual[f] = X[s, f]
    for i in range(k):
        exact[i] = z[i]
    subtract_rows(residual, exact, dictionary, support, k)
    hide(residual, seen[s])
    return squared_norm(residual)


@leaf
def _suffices(X, seen, s, dictionary, energy, factor, y, z, support, k, enough, exact, residual):
    """Whether the support leaves at most ``enough`` of sample s.

    ||x||^2 - ||y||^2 is left but for rounding; computed by itself where rounding decides.
    """
    if enough < 0:
        return False
    left = energy * (1 - 64 * np.finfo(y.dtype).eps)
    for i in range(k):
        left -= np.float64(y[i]) ** 2
    if left > enough:
        return False
    _solve(factor, y, k, z)
    return _residual(X, seen, s, dictionary, z, support, k, exact, residual) <= enough


@kernel
def pursue(
    dictionary, table, k_max, positive, recursive, X, seen, cov, enough, codes, n_iter, residuals,
    all_norms, all_least,
):  # fmt: skip
    """Pursuit for every row of ``X``; ``residuals`` receives ||x - z D||^2.

    A sample is done where its squared residual is ``enough``. ``table`` is as `_products` takes it;
    rows of ``seen`` are as `hide` takes them. ``all_norms`` are the squared norms of atoms, and
    ``all_least`` what at most is left of those that depend on the support: a row for each sample
    where entries are missing, else one.
    """
    n_samples, n_components = cov.shape
    dtype = cov.dtype
    eps = np.finfo(dtype).eps
    rows = aligned_rows(k_max, n_components, dtype)
    state = aligned_rows(3, n_components, dtype)
    c, left, fresh = state[0], state[1], state[2]
    factor, y = np.zeros((k_max, k_max), dtype), np.empty(k_max, dtype)
    z, old = np.empty(k_max, dtype), np.empty(k_max, dtype)
    support, spent = np.empty(k_max, dtype=np.int64), np.empty(n_components, dtype=np.int64)
    score, exact, residual = np.empty(n_components, dtype), np.empty(k_max), np.empty(X.shape[1])
    norms, least = np.empty(n_components, dtype), np.empty(n_components, dtype)
    features, weights = np.empty(seen.shape[1], np.int64), np.empty(seen.shape[1], dtype)
    for s in range(n_samples):
        if s == 0 or len(features) > 0:  # else they are those of all samples
            copy(norms, all_norms[s])
            copy(least, all_least[s])
        n_seen = _where(seen[s], features)
        _start(s, cov, norms, c, left)
        energy = squared_norm(X[s])
        floor = dtype.type(16 * eps * eps * energy)
        k, n_spent, n_joined = np.int64(0), 0, 0
        while k < k_max and n_joined < 2 * k_max:
            if _suffices(
                X, seen, s, dictionary, energy, factor, y, z, support, k, enough[s], exact, residual
            ):
                break
            j = _best_atom(c, left, least, positive, recursive or n_seen > 0, score)
            if j < 0 or c[j] * c[j] <= floor * norms[j]:
                break
            if not _join(j, k, norms, least, c, rows, factor, y, support):
                spent[n_spent] = j
                n_spent += 1
                c[j] = 0
                continue
            n_joined += 1
            old[k] = 0
            k += 1
            if positive:
                _solve(factor, y, k, z)
                while not are_positive(z, k):
                    k = _drop_negative(old, z, support, k)
                    _start(s, cov, norms, c, left)
                    for i in range(k):
                        if i > 0:
                            _update(
                                i - 1, dictionary, table, features, n_seen, weights, c, left, fresh,
                                rows, factor, y, support, recursive,
                            )  # fmt: skip
                        _join(support[i], i, norms, least, c, rows, factor, y, support)
                    _solve(factor, y, k, z)
                copy(old[:k], z)
            # After the last atom nothing is chosen.
            if 0 < k < k_max:
                _update(
                    k - 1, dictionary, table, features, n_seen, weights, c, left, fresh, rows,
                    factor, y, support, recursive,
                )  # fmt: skip
            for i in range(n_spent):
                c[spent[i]] = 0
        _solve(factor, y, k, z)
        for i in range(k):
            codes[s, support[i]] = z[i]
        n_iter[s] = n_joined
        residuals[s] = _residual(X, seen, s, dictionary, z, support, k, exact, residual)
