"""Branch and bound, compiled: the per-sample kernel behind `BranchAndBound`.

Atoms stand in the order of their correlation with the sample, and a support S grows by atoms that
come later. At depth d, of d atoms, there is a row each of

    c = D r      left = ||d_j - P_S d_j||^2      w = D q      tails

with q the last of the orthonormal vectors of S, and tails[t] what least squares on S and all atoms
from the t-th on leaves of ||x||^2.
"""

from __future__ import annotations

import numpy as np

from .._numba import kernel, leaf
from ._numba_tools import aligned_rows

_ROUNDING = 64 * np.finfo(np.float64).eps
# With fewer atoms to come than this, tails cost more than they cut off.
_LEAST_TO_COME = 3


@leaf
def _orthogonalize(j, depth, gram, rows, out, start):
    """Products of all atoms from ``start`` on with what ``depth`` orthonormal vectors leave of
    atom j, whose squared length there is returned."""
    for m in range(start, len(gram)):
        out[m] = gram[j, m]
    rest = gram[j, j]
    for i in range(depth):
        share = rows[i, j]
        rest -= share * share
        for m in range(start, len(gram)):
            out[m] -= share * rows[i, m]
    return rest


@leaf
def _join(t, depth, gram, rows, c, left, factor, y):
    """Let the t-th atom join as the ``depth``-th; False if it depends on the others."""
    rest = _orthogonalize(t, depth, gram, rows, rows[depth], t)
    if rest <= _ROUNDING * gram[t, t]:
        return False
    length = np.sqrt(rest)
    for i in range(depth):
        factor[depth, i] = rows[i, t]
    factor[depth, depth], y[depth] = length, c[depth, t] / length
    inverse, share = 1 / length, y[depth]
    for m in range(t, len(gram)):
        rows[depth, m] *= inverse
        value = rows[depth, m]
        c[depth + 1, m] = c[depth, m] - share * value
        left[depth + 1, m] = left[depth, m] - value * value
    return True


@leaf
def _is_positive(j, depth, c, left, rows, factor, y, z):
    """Whether all codes of the support with atom j are above 0."""
    code = c[depth, j] / left[depth, j]
    if code <= 0:
        return False
    for i in range(depth - 1, -1, -1):
        z[i] = y[i] - rows[i, j] * code
        for a in range(i + 1, depth):
            z[i] -= factor[a, i] * z[a]
        z[i] /= factor[i, i]
        if z[i] <= 0:
            return False
    return True


@leaf
def _extend(start, depth, explained, most, positive, gram, c, left, rows, factor, y, z):
    """The atom from ``start`` on with which the support explains more than ``most``, and most; -1
    for none. And what it explains."""
    best = -1
    for j in range(start, len(gram)):
        if left[depth, j] <= _ROUNDING * gram[j, j]:
            continue
        value = explained + c[depth, j] * c[depth, j] / left[depth, j]
        if value > most and (not positive or _is_positive(j, depth, c, left, rows, factor, y, z)):
            best, most = j, value
    return best, most


@leaf
def _find_tails(start, depth, energy, explained, gram, cov, rows, y, tails, basis, shares):
    """What the support and all atoms from the t-th on leave, from below, for t >= start."""
    n, rest, n_found = len(gram), energy - explained, 0
    for i in range(depth):
        shares[i] = y[i]
        for m in range(n):
            basis[i, m] = rows[i, m]
    for t in range(n - 1, start - 1, -1):
        found = depth + n_found
        if rest > _ROUNDING * energy and found < len(basis):
            length = _orthogonalize(t, found, gram, basis, basis[found], start)
            # What cannot be told from the others by rounding may explain anything.
            if length <= _ROUNDING * gram[t, t]:
                rest = 0.0
            else:
                share = cov[t]
                for i in range(found):
                    share -= shares[i] * basis[i, t]
                length = np.sqrt(length)
                shares[found] = share / length
                for m in range(start, n):
                    basis[found, m] /= length
                rest -= shares[found] * shares[found]
                n_found += 1
        else:
            rest = 0.0
        tails[t] = max(rest, 0.0)


@leaf
def _arrange(cov, gram, order, sorted_cov, sorted_gram):
    """Products of the atoms in ``order``."""
    for a in range(len(order)):
        sorted_cov[a] = cov[order[a]]
        for b in range(len(order)):
            sorted_gram[a, b] = gram[order[a], order[b]]


@leaf
def _search(
    energy, most, k, positive, node_limit, gram, c, left, rows, factor, y, z, tails, basis, shares,
    explained, chosen, next_atom, best,
):  # fmt: skip
    """Search all supports; how many were extended, and what those that were not leave at least."""
    n, depth, n_nodes, slack = len(gram), np.int64(0), 0, _ROUNDING * energy
    explained[0], next_atom[0] = 0.0, -1
    while depth >= 0:
        if next_atom[depth] < 0:  # a new support
            start = chosen[depth - 1] + 1 if depth > 0 else 0
            if n_nodes == node_limit:
                return n_nodes, tails[0, chosen[0] if depth > 0 else 0]
            n_nodes += 1
            j, value = _extend(
                start, depth, explained[depth], most + slack, positive, gram, c, left, rows, factor,
                y, z,
            )  # fmt: skip
            if j >= 0:
                most = value
                best[:] = -1
                for i in range(depth):
                    best[i] = chosen[i]
                best[depth] = j
            if depth == k - 1:
                depth -= 1
                continue
            next_atom[depth] = start
            if depth == 0 or depth <= k - _LEAST_TO_COME:
                _find_tails(
                    start, depth, energy, explained[depth], gram, c[0], rows, y, tails[depth],
                    basis, shares,
                )  # fmt: skip
            else:
                # Without what the last atom adds, the tails of before would be too high.
                tails[depth, start:] = tails[depth - 1, chosen[depth - 1]]
        t = next_atom[depth]
        if t == n or tails[depth, t] >= energy - most - slack:
            depth -= 1
            continue
        next_atom[depth] = t + 1
        if _join(t, depth, gram, rows, c, left, factor, y):
            chosen[depth] = t
            explained[depth + 1] = explained[depth] + y[depth] * y[depth]
            depth += 1
            next_atom[depth] = -1
    return n_nodes, np.inf


@kernel
def search(gram, k, positive, node_limit, cov, orders, energy, residual, n_iter, bound, support):
    """Search the supports of every sample, as `_supports_search.search`.

    ``orders`` are the atoms of every sample in the order of their correlation ``cov``.
    """
    n = len(gram)
    c, left = aligned_rows(k + 1, n, np.float64), aligned_rows(k + 1, n, np.float64)
    rows, tails = aligned_rows(k, n, np.float64), np.zeros((k, n))
    basis, shares, sorted_gram = np.zeros((n, n)), np.empty(n), np.empty((n, n))
    factor, y, z, explained = np.zeros((k, k)), np.empty(k), np.empty(k), np.zeros(k + 1)
    chosen, next_atom, best = np.zeros((3, k), np.int64)
    for s in range(len(cov)):
        order = orders[s]
        _arrange(cov[s], gram, order, c[0], sorted_gram)
        for j in range(n):
            left[0, j] = sorted_gram[j, j]
        best[:] = -1
        n_iter[s], bound[s] = _search(
            energy[s], energy[s] - residual[s], k, positive, node_limit, sorted_gram, c, left, rows,
            factor, y, z, tails, basis, shares, explained, chosen, next_atom, best,
        )  # fmt: skip
        for i in range(k):
            support[s, i] = order[best[i]] if best[i] >= 0 else -1
