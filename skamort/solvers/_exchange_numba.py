"""Exchanges, compiled: the per-sample kernel behind `Exchange`.

What has the size of the support is kept in float64: H = G_SS^-1 and z = H c_S, changed by a
rank-one update where an atom leaves or joins. A place i of the support that is free has
support[i] = -1 and zeros in row and column i. What has the size of the dictionary follows, in the
dtype of the data,

    B = H G_S      c = D r      l_j = ||d_j||^2 - <G_Sj, B_j>

in one pass for an exchange.
"""

from __future__ import annotations

import numpy as np

from .._numba import kernel, leaf
from ._numba_tools import aligned_rows, argmax

_TILE = np.uint64(256)
# An atom depends on the support where so little is left of it.
_DEPENDENT = 64
# Supports whose inverse was as large have cost it digits, which stay lost where an atom leaves.
_SHARP = 1e6


@leaf
def _leave(i, inverse, support):
    """Let the atom in place i go."""
    k, pivot = len(inverse), inverse[i, i]
    for a in range(k):
        share = inverse[a, i] / pivot
        for b in range(k):
            if a != i and b != i:
                inverse[a, b] -= share * inverse[i, b]
    for a in range(k):
        inverse[a, i] = inverse[i, a] = 0.0
    support[i] = -1


@leaf
def _join(i, j, gram, inverse, support, products, column):
    """Let atom j take place i, which is free; what the others leave of its squared length, 0 where
    that is rounding.

    ``products`` receives its products with the support, ``column`` those with the dual atoms.
    """
    k, left = len(inverse), np.float64(gram[j, j])
    for a in range(k):
        products[a] = gram[j, support[a]] if support[a] >= 0 else 0.0
    for a in range(k):
        column[a] = 0.0
        for b in range(k):
            column[a] += inverse[a, b] * products[b]
        left -= column[a] * products[a]
    if left <= _DEPENDENT * np.finfo(gram.dtype).eps * gram[j, j]:
        return 0.0
    for a in range(k):
        for b in range(k):
            inverse[a, b] += column[a] * column[b] / left
    for a in range(k):
        inverse[a, i] = inverse[i, a] = -column[a] / left
    inverse[i, i] = 1 / left
    support[i] = j
    return left


@leaf
def _solve(cov, inverse, support, z):
    """Least squares on the support; what it explains of ||x||^2."""
    k, explained = len(z), 0.0
    for a in range(k):
        z[a] = 0.0
        for b in range(k):
            if support[b] >= 0:
                z[a] += inverse[a, b] * cov[support[b]]
        if support[a] >= 0:
            explained += z[a] * cov[support[a]]
    return explained


@leaf
def _solve_from(old, cov, positive, inverse, support, z):
    """Least squares on the support, on the way to which atoms leave that would get codes below 0,
    as in the inner loop of Lawson and Hanson's NNLS; what it explains."""
    explained = _solve(cov, inverse, support, z)
    while positive:
        length, blocking = 1.0, np.int64(-1)
        for a in range(len(z)):
            if support[a] >= 0 and z[a] <= 0:
                way = old[a] / (old[a] - z[a]) if old[a] > 0 else 0.0
                if way <= length:
                    length, blocking = way, a
        if blocking < 0:
            break
        for a in range(len(z)):
            old[a] += length * (z[a] - old[a])
        old[blocking] = 0.0
        _leave(blocking, inverse, support)
        explained = _solve(cov, inverse, support, z)
    return explained


@leaf
def _begin(cov, codes, gram, positive, inverse, support, old, z, products, column):
    """Least squares on the atoms of the codes; what it explains."""
    n_found = np.int64(0)
    inverse[:], support[:], old[:] = 0, -1, 0
    for j in range(len(codes)):
        if codes[j] != 0 and _join(n_found, j, gram, inverse, support, products, column) > 0:
            old[n_found] = codes[j]
            n_found += 1
    return _solve_from(old, cov, positive, inverse, support, z)


@leaf
def _add_rows(out, weights, rows, order, n_rows, start, stop):
    """out += sum of weights[i] rows[order[i]] over i < n_rows, four rows at a time."""
    done = n_rows - n_rows % 4
    for i in range(0, done, 4):
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        i0, i1, i2, i3 = order[i], order[i + 1], order[i + 2], order[i + 3]
        for m in range(start, stop):
            out[m] += a * rows[i0, m] + b * rows[i1, m] + c * rows[i2, m] + d * rows[i3, m]
    for i in range(done, n_rows):
        a, i0 = weights[i], order[i]
        for m in range(start, stop):
            out[m] += a * rows[i0, m]


@leaf
def _weigh(values, sign, support, weights):
    """The values of places that are taken, one after the other."""
    n_found = 0
    for a in range(len(support)):
        if support[a] >= 0:
            weights[n_found] = sign * values[a]
            n_found += 1


@leaf
def _correlate(cov, gram, norms, inverse, support, z, order, weights, dual, c, left):
    """Fill what has the size of the dictionary, from what has that of the support."""
    n_found, size = np.int64(0), np.uint64(len(gram))
    for a in range(len(support)):
        if support[a] >= 0:
            order[n_found] = support[a]
            n_found += 1
    for start in range(np.uint64(0), size, _TILE):
        stop = min(start + _TILE, size)
        for m in range(start, stop):
            c[m], left[m] = cov[m], norms[m]
        _weigh(z, -1, support, weights)
        _add_rows(c, weights, gram, order, n_found, start, stop)
        for a in range(len(support)):
            row, j = dual[a], support[a]
            for m in range(start, stop):
                row[m] = 0
            if j >= 0:
                _weigh(inverse[a], 1, support, weights)
                _add_rows(row, weights, gram, order, n_found, start, stop)
                for m in range(start, stop):
                    left[m] -= row[m] * gram[j, m]


@leaf
def _score(i, positive, least_left, inverse, support, z, gram, dual, c, left, gains):
    """What exchanges with place i win, into ``gains``: 0 where nothing; the best atom, or -1."""
    zero = c.dtype.type(0)
    taken = support[i] >= 0
    own = c.dtype.type(1 / inverse[i, i]) if taken else zero
    step, loss = c.dtype.type(z[i]) * own, c.dtype.type(z[i]) ** 2 * own
    row = dual[i]
    for m in range(np.uint64(len(gram))):
        value = c[m] + step * row[m]
        rest = max(left[m], zero) + own * row[m] * row[m]
        gain = value * value / max(rest, least_left[m]) - loss
        wins = gain > 0 and rest > least_left[m] and (value > 0 or not positive)
        gains[m] = gain if wins else zero
    for a in range(len(support)):
        if support[a] >= 0:
            gains[support[a]] = 0
    return argmax(gains, True)


@leaf
def _take(i, j, share, products, column, step, code, rest, gram, own, dual, c, left, fresh):
    """Put atom j in the place of what stood in place i, in all that has the dictionary's size.

    ``share`` are those of the old atom in the dual atoms, ``own`` its own length there.
    """
    old, size = dual[i], np.uint64(len(gram))
    overlap, inverse = c.dtype.type(0), c.dtype.type(1 / rest)
    for a in range(len(share)):
        overlap += c.dtype.type(products[a]) * share[a]
    for m in range(size):
        fresh[m] = gram[j, m] + overlap * old[m]
    for a in range(len(share)):
        weight, row = c.dtype.type(products[a]), dual[a]
        if a != i and weight != 0:
            for m in range(size):
                fresh[m] -= weight * row[m]
    for a in range(len(share)):
        this, that, row = share[a], c.dtype.type(column[a]) * inverse, dual[a]
        if a != i and (this != 0 or that != 0):
            for m in range(size):
                row[m] -= this * old[m] + that * fresh[m]
    code = c.dtype.type(code)
    for m in range(size):
        c[m] += step * old[m] - code * fresh[m]
        left[m] += own * old[m] * old[m] - inverse * fresh[m] * fresh[m]
        old[m] = inverse * fresh[m]


@leaf
def _copy(inverse, support, z, to_inverse, to_support, to_z):
    """Copy what has the size of the support."""
    for a in range(len(z)):
        to_support[a], to_z[a] = support[a], z[a]
        for b in range(len(z)):
            to_inverse[a, b] = inverse[a, b]


@leaf
def _most_promising(gains, places, least):
    """The place of the support whose exchange wins most, if more than ``least``; else -1."""
    best, most = -1, least
    for a in range(len(places)):
        if places[a] >= 0 and gains[a, places[a]] > most:
            best, most = a, gains[a, places[a]]
    return best


@leaf
def _try(
    gains, places, tries, least, explained, cov, gram, positive, inverse, support, z, trial, moved,
    old, new, products, column,
):  # fmt: skip
    """The first of the most promising exchanges that holds, into ``trial``, ``moved`` and ``new``.

    Returns the place, -1 for none; what is left of the atom that joins; what is explained then.
    """
    for _ in range(tries):
        i = _most_promising(gains, places, least)
        if i < 0:
            break
        _copy(inverse, support, z, trial, moved, old)
        old[i] = 0.0
        if support[i] >= 0:
            _leave(i, trial, moved)
        rest = _join(i, places[i], gram, trial, moved, products, column)
        if rest > 0:
            after = _solve_from(old, cov, positive, trial, moved, new)
            if after > explained + least:
                return i, rest, after
        gains[i, places[i]] = 0
        places[i] = argmax(gains[i], True)
    return -1, 0.0, explained


@leaf
def _follow(
    i, j, inverse, support, z, moved, code, rest, products, column, gram, dual, c, left, fresh,
    share,
):  # fmt: skip
    """Make an exchange in what has the size of the dictionary; False where more atoms left."""
    for a in range(len(support)):
        if moved[a] < 0 and (support[a] >= 0 or a == i):
            return False
    own = c.dtype.type(1 / inverse[i, i] if support[i] >= 0 else 0.0)
    for a in range(len(support)):
        share[a] = c.dtype.type(inverse[a, i]) * own
    step = c.dtype.type(z[i]) * own
    _take(i, j, share, products, column, step, code, rest, gram, own, dual, c, left, fresh)
    return True


@leaf
def _sharpness(gram, inverse, support):
    """How many times as long an atom of the support is as what the others leave of it, squared."""
    most = 0.0
    for a in range(len(support)):
        if support[a] >= 0:
            most = max(most, inverse[a, a] * gram[support[a], support[a]])
    return most


@leaf
def _write(codes, support, z):
    for m in range(len(codes)):
        codes[m] = 0
    for a in range(len(support)):
        if support[a] >= 0:
            codes[support[a]] = z[a]


@kernel
def exchange(gram, k, positive, max_iter, tries, cov, least, codes, n_iter):
    """Exchange atoms of every row of ``codes``, in place, while that lowers the squared residual by
    more than ``least``.

    Of a sample's exchanges the most promising is made; where signs keep it from winning, the next,
    up to ``tries``. ``n_iter`` receives how many were made.
    """
    n_samples, n_components = cov.shape
    dtype = cov.dtype
    dual, gains = aligned_rows(k, n_components, dtype), aligned_rows(k, n_components, dtype)
    state = aligned_rows(5, n_components, dtype)
    c, left, fresh, norms, least_left = state[0], state[1], state[2], state[3], state[4]
    for j in range(n_components):
        norms[j] = gram[j, j]
        least_left[j] = max(_DEPENDENT * np.finfo(dtype).eps * norms[j], np.finfo(dtype).tiny)
    inverse, trial = np.empty((k, k)), np.empty((k, k))
    old, z, new, products, column = np.empty((5, k))
    places, support, moved = np.empty((3, k), np.int64)
    weights, share = np.empty((2, k), dtype)
    for s in range(n_samples):
        explained = _begin(
            cov[s], codes[s], gram, positive, inverse, support, old, z, products, column
        )
        follows, sharpest = False, 0.0
        while True:
            sharpest = max(sharpest, _sharpness(gram, inverse, support))
            if not follows:
                _correlate(cov[s], gram, norms, inverse, support, z, moved, weights, dual, c, left)
            if n_iter[s] == max_iter:
                break
            for i in range(k):
                places[i] = _score(
                    i, positive, least_left, inverse, support, z, gram, dual, c, left, gains[i]
                )
            i, rest, explained = _try(
                gains, places, tries, least[s], explained, cov[s], gram, positive, inverse, support,
                z, trial, moved, old, new, products, column,
            )  # fmt: skip
            if i < 0:
                break
            n_iter[s] += 1
            follows = _follow(
                i, places[i], inverse, support, z, moved, new[i], rest, products, column, gram,
                dual, c, left, fresh, share,
            )  # fmt: skip
            _copy(trial, moved, new, inverse, support, z)
        _write(codes[s], support, z)
        if sharpest > _SHARP:
            _begin(cov[s], codes[s], gram, positive, inverse, support, old, z, products, column)
            _write(codes[s], support, z)
