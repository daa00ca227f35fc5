"""Pivoting, compiled: the lasso on a working set of coherent atoms, an atom at a time.

    z_P <- z_P + V (u_P - alpha s_P)        V the inverse of the Gram block G_PP, s the signs

P are the atoms in use. A step ends where a code would change its sign: its atom leaves P. After a
step that did not, the atom that violates |u_j| <= alpha most joins. V follows either in k^2
operations, all of them on vectors. Where atoms are far from orthogonal, as those are of which half
is observed, sweeps of coordinate descent are many.
"""

from __future__ import annotations

import numpy as np

from .._numba import leaf, part
from ._numba_tools import copy, largest, subtract_rows
from ._working_set_numba import cheap_gap

# Loops run over a multiple of so many numbers, for whole vectors; what stands beyond the end is
# never used.
WHOLE = 32
# Most steps for every atom of the working set: one or two are usual.
_STEPS_PER_ATOM = 8
# Roundings that what the others leave of an atom must exceed.
_DEPENDENT = 100


@part
def make_room(width, dtype):
    """Arrays for `pivot` on a working set of up to ``width`` atoms, a multiple of `WHOLE`."""
    # Rows of one array would not be known to be contiguous, and take four times as long.
    support, order = np.empty(width, np.int64), np.arange(width)
    signs, shares, weights, step = (
        np.empty(width),
        np.empty(width),
        np.empty(width),
        np.empty(width),
    )
    changes, u = np.empty(width, dtype), np.empty(width, dtype)
    return support, order, signs, shares, weights, step, changes, u, np.empty((width, width))


@leaf
def pivot(energy, z, b, slow, block, size, alpha, positive, target, room):
    """Minimize over the codes z of a working set until the duality gap is at most ``target``.

    Returns whether it is: where atoms depend on each other rounding may come before. Their
    correlations in ``slow`` follow.
    """
    support, order, signs, shares, weights, step, changes, u, inverse = room
    copy(u[:size], slow)
    k, waiting, is_enough = np.int64(0), -1, False
    for p in range(size):
        if z[p] != 0 and _append(
            p, k, z, u, block, support, order, signs, shares, weights, inverse
        ):
            k += 1
    for _ in range(_STEPS_PER_ATOM * size):
        if waiting < 0:
            _newton(u, alpha, support, order, signs, k, weights, step, inverse)
        else:
            _slide(signs, shares, k, step)
        count, whole = (k, 1.0) if waiting < 0 else (k + 1, np.inf)
        length, blocking = _first_to_vanish(z, support, signs, step, count, whole)
        if length == np.inf:
            break
        _move(z, u[: _whole(size)], block, support, step, count, length, blocking, changes)
        if blocking >= 0:
            k -= 1
            _leave(blocking, k, support, signs, inverse)
        else:
            peak = largest(u, 0, size, positive)
            is_enough = cheap_gap(energy, z, b, u, size, alpha, peak) <= target
            waiting = -1 if is_enough else _worst(z, u, size, alpha, positive)
            if waiting < 0:
                break
        if waiting >= 0 and _append(
            waiting, k, z, u, block, support, order, signs, shares, weights, inverse
        ):
            k, waiting = k + 1, -1
    copy(slow[:size], u)
    return is_enough


@leaf
def _append(p, k, z, u, block, support, order, signs, shares, weights, inverse):
    """Let an atom join the k in use; False if it depends on them, by ``shares``."""
    support[k], signs[k] = p, 1 if z[p] > 0 or (z[p] == 0 and u[p] > 0) else -1
    row = block[p]
    for i in range(k):
        weights[i] = -row[support[i]]
    shares[:] = 0
    subtract_rows(shares[: _whole(k)], weights, inverse, order, k)
    left = size = np.float64(row[p])
    for i in range(k):
        left += shares[i] * weights[i]
        size += shares[i] * shares[i] * block[support[i], support[i]]
    if left <= _DEPENDENT * np.finfo(block.dtype).eps * size:
        return False
    scale = 1 / left
    for m in range(k):
        _add(inverse[m, : _whole(k)], shares[m] * scale, shares)
        inverse[m, k] = inverse[k, m] = -shares[m] * scale
    inverse[k, k] = scale
    return True


@leaf
def _leave(i, last, support, signs, inverse):
    """Let the i-th atom in use leave, whose place that of the ``last`` takes."""
    scale = 1 / inverse[i, i]
    for m in range(last + 1):
        if m != i:
            _add(inverse[m, : _whole(last + 1)], -inverse[m, i] * scale, inverse[i])
    support[i], signs[i] = support[last], signs[last]
    for m in range(last + 1):
        inverse[i, m] = inverse[last, m]
    for m in range(last + 1):
        inverse[m, i] = inverse[m, last]


@leaf
def _newton(u, alpha, support, order, signs, k, weights, step, inverse):
    """The step to the best codes of these signs."""
    for i in range(k):
        weights[i] = alpha * signs[i] - u[support[i]]
    step[:] = 0
    subtract_rows(step[: _whole(k)], weights, inverse, order, k)


@leaf
def _slide(signs, shares, k, step):
    """The combination of atoms that is zero, along which the L1 norm falls: of the one that waits
    and of those in use."""
    step[k] = signs[k]
    for i in range(k):
        step[i] = -signs[k] * shares[i]


@leaf
def _first_to_vanish(z, support, signs, step, count, length):
    """How far to go, at most ``length`` steps, and the code that is zero there; -1 if none is."""
    blocking = -1
    for i in range(count):
        fall = -signs[i] * step[i]
        size = abs(z[support[i]])
        if fall > 0 and size <= length * fall:
            length, blocking = size / fall, i
    return length, blocking


@leaf
def _move(z, u, block, support, step, count, length, blocking, changes):
    """Go ``length`` steps; u follows."""
    for i in range(count):
        p = support[i]
        changes[i] = -z[p] if i == blocking else length * step[i]
        z[p] = 0 if i == blocking else z[p] + changes[i]
    subtract_rows(u, changes, block, support, count)


@leaf
def _worst(z, u, size, alpha, positive):
    """The atom not in use whose correlation exceeds alpha most; -1 if none does."""
    worst, peak = -1, alpha
    for p in range(size):
        value = u[p] if positive else abs(u[p])
        if z[p] == 0 and value > peak:
            worst, peak = p, value
    return worst


@leaf
def _add(out, weight, row):
    for i in range(len(out)):
        out[i] += weight * row[i]


@leaf
def _whole(k):
    return -(-k // WHOLE) * WHOLE
