"""The working-set method for one sample, compiled: what is done to the atoms in use.

`CoordinateDescent` has two loops around it, with the Gram matrix of all atoms (`_cd_gram_numba`)
and without (`_cd_factored_numba`). Both repeat, with b = x D^T, G = D D^T and c = b - z G:

1. add the atoms that violate |c_j| <= alpha most to the working set S: `grow`;
2. minimize over z_S by sweeps of coordinate descent on the block G_SS, and, once the signs have
   settled, by solving G_PP z_P = b_P - alpha sign(z_P) on the non-zeros P, as far as no sign
   changes: `minimize`;
3. refresh c, and stop if the duality gap is small enough: `cheap_gap`, which is cheap,
   then `certify`.

Names in all kernels: ``working[:size]`` holds the atoms of S, ``z``, ``b`` and ``u`` their codes
and their entries of b and c. Those of c itself are set to 0, so that its largest is that of another
atom; ``tops`` holds the largest of every `SEGMENT` entries of c. ``progress`` says how far a sample
has come, see `GOAL` to `STALLED`.
"""

from __future__ import annotations

import numpy as np

from .._numba import leaf
from ._certificate_numba import SEGMENT, dual_limit
from ._numba_tools import argmax, largest, segment_maxima

# Places in ``progress``: the gap to reach by the working set's own arithmetic, the accuracy of its
# solution, the least gap so far, and how many rounds went without progress.
GOAL, INNER, BEST, STALLED = 0, 1, 2, 3
# Rounds without new atoms and without progress: the dtype holds no more.
PATIENCE = 5
# Sweeps before the next linear solve: one, and one more for so many atoms, for the solve costs the
# cube of their number.
_ATOMS_PER_SWEEP = 8
_INNER_ROUNDS = 50
# The gap that is cheap, and the accuracy of a solved working set, relative to the tolerance.
SAFETY, _ACCURACY = 0.9, 0.3
# Early working sets lack atoms: solving them to a share of the whole gap is enough.
_LOOSE = 0.1


@leaf
def begin(progress, limit):
    """Nothing done yet towards a gap of ``limit``."""
    progress[GOAL], progress[INNER] = SAFETY * limit, _ACCURACY * limit
    progress[BEST], progress[STALLED] = np.inf, 0


@leaf
def grow(c, tops, bar, positive, working, size, u, limit):
    """Move the correlations of the working set from c to u, and let it grow by up to ``limit``
    atoms whose correlations exceed ``bar``; its size."""
    for p in range(size):
        _set_aside(c, working, p, u)
    segment_maxima(c, positive, SEGMENT, tops)
    for _ in range(limit):
        s = argmax(tops, positive)
        if s < 0 or tops[s] <= bar:
            break
        segment = c[s * SEGMENT : (s + 1) * SEGMENT]
        working[size] = s * SEGMENT + argmax(segment, positive)
        _set_aside(c, working, size, u)
        tops[s] = largest(segment, 0, len(segment), positive)
        size += 1
    return size


@leaf
def _set_aside(c, working, p, u):
    """Move the correlation of an atom of the working set to u."""
    u[p] = c[working[p]]
    c[working[p]] = 0


@leaf
def highest(u, size, tops, positive):
    """Largest correlation of any atom."""
    return max(largest(u, 0, size, positive), largest(tops, 0, len(tops), positive))


@leaf
def track(progress, gap, grew):
    """Note the gap of a round. Where no atom joined, the next solution must be more accurate."""
    if grew:
        progress[STALLED] = 0
    else:
        progress[INNER] *= 0.1
        progress[STALLED] = 0 if gap < 0.99 * progress[BEST] else progress[STALLED] + 1
    progress[BEST] = min(progress[BEST], gap)


@leaf
def cheap_gap(energy, z, b, u, size, alpha, peak):
    """Duality gap from the working set alone; ``peak`` is the largest correlation of any atom."""
    explained, l1, fit = 0.0, 0.0, 0.0
    for p in range(size):
        explained += np.float64(z[p]) * (np.float64(b[p]) + np.float64(u[p]))
        fit += np.float64(z[p]) * np.float64(u[p])
        l1 += abs(np.float64(z[p]))
    residual = max(energy - explained, 0.0)
    # <x, r> = ||r||^2 + <z, c>
    scale = max(residual + fit, 0.0) / residual if residual > 0 else 0.0
    limit = dual_limit(alpha, np.finfo(z.dtype).eps, size, energy, l1)
    if scale * peak > limit:
        scale = limit / peak
    return 0.5 * (1 - scale) ** 2 * residual + max(alpha * l1 - scale * fit, 0.0)


@leaf
def goal(progress, gap):
    """The duality gap to reach on the working set: small beside that of the whole problem,
    ``gap``, or small enough."""
    return max(progress[INNER], _LOOSE * gap)


@leaf
def minimize(energy, z, b, u, block, size, alpha, positive, target, support, factor, step):
    """Sweeps and polishing until the duality gap of the restricted problem is at most
    ``target``."""
    for turn in range(2 * _INNER_ROUNDS):  # one place of the gap, or it would be compiled twice
        if turn % 2 == 0:
            for _ in range(1 + size // _ATOMS_PER_SWEEP):
                _sweep(z, u, block, size, alpha, positive)
        else:
            for _ in range(size):
                if _polish(z, u, block, size, alpha, support, factor, step):
                    break
        if cheap_gap(energy, z, b, u, size, alpha, largest(u, 0, size, positive)) <= target:
            break


@leaf
def _sweep(z, u, block, size, alpha, positive):
    """One pass of coordinate descent over the working set; u = (b - z G)_S follows."""
    zero = z.dtype.type(0)
    below = z.dtype.type(np.inf) if positive else alpha
    for p in range(size):
        curvature = block[p, p]
        old = z[p]
        target = u[p] + old * curvature
        # Soft thresholding without branches, which could not be predicted.
        new = (max(target - alpha, zero) + min(target + below, zero)) / curvature
        change = new - old
        if change != 0:
            z[p] = new
            row = block[p]
            for q in range(size):
                u[q] -= change * row[q]


@leaf
def _polish(z, u, block, size, alpha, support, factor, step):
    """Move along `_direction` to its end or to the first change of sign; whether the end was
    reached."""
    k, newton = _direction(z, u, block, size, alpha, support, factor, step)
    length, blocking = z.dtype.type(1 if newton else np.inf), -1
    for i in range(k):
        old = z[support[i]]
        if old * step[i] < 0 and abs(old) <= length * abs(step[i]):
            length, blocking = -old / step[i], i
    if blocking < 0 and not newton:
        return True
    for i in range(k):
        p = support[i]
        change = length * step[i]
        if i == blocking:
            change = -z[p]
            z[p] = 0
        else:
            z[p] += change
        row = block[p]
        for q in range(size):
            u[q] -= change * row[q]
    return blocking < 0


@leaf
def _direction(z, u, block, size, alpha, support, factor, step):
    """Direction in which to move the non-zeros, as far as no sign changes.

    The Newton step for their signs; or, where their atoms are linearly dependent, a combination of
    atoms that is zero and lowers the L1 norm. Returns how many of ``support`` it concerns, and
    whether it is a Newton step.
    """
    k = np.int64(0)
    for p in range(size):
        if z[p] != 0:
            support[k] = p
            k += 1
    tiny = 100 * np.finfo(z.dtype).eps
    doubtful = np.sqrt(tiny)
    for i in range(k):
        row = block[support[i]]
        for j in range(i + 1):
            total = row[support[j]]
            for m in range(j):
                total -= factor[i, m] * factor[j, m]
            if i > j:
                factor[i, j] = total * factor[j, j]
            elif total > doubtful * row[support[i]] or (
                total > tiny * row[support[i]]
                and total > tiny * _cancelled(block, support, factor, i)
            ):
                # The inverse of the diagonal spares divisions.
                factor[i, i] = z.dtype.type(1) / np.sqrt(total)
            else:
                for m in range(i):
                    step[m] = -factor[i, m]
                _back_substitute(factor, step, i)
                step[i] = 1
                if _leads_away(z, u, alpha, support, step, i + 1, doubtful):
                    for m in range(i + 1):
                        step[m] = -step[m]
                return i + 1, False
        p = support[i]
        total = u[p] - (alpha if z[p] > 0 else -alpha)
        for m in range(i):
            total -= factor[i, m] * step[m]
        step[i] = total * factor[i, i]
    _back_substitute(factor, step, k)
    return k, True


@leaf
def _leads_away(z, u, alpha, support, step, k, doubtful):
    """Whether the L1 norm falls the other way along a combination of atoms that is zero.

    Where the norm costs next to nothing its slope is rounding, and may lead to where a rounding
    error of the step is all that stops it: the way that is stopped soon is taken then.
    """
    slope, fall, rise = 0.0, 0.0, 0.0
    for m in range(k):
        p = support[m]
        slope += step[m] * ((alpha if z[p] > 0 else -alpha) - u[p])
        rate = np.float64(step[m]) / np.float64(z[p])
        fall, rise = max(fall, -rate), max(rise, rate)
    return fall < doubtful * rise or (slope > 0 and rise >= doubtful * fall)


@leaf
def _cancelled(block, support, factor, i):
    """||d_i||^2 + sum w_m^2 ||d_m||^2 for the combination w of the m < i that is closest to atom i.

    What is left of the atom is rounded relative to that, which is large where the others nearly
    depend on each other. The combination lies in column i, above the diagonal.
    """
    for m in range(i):
        factor[m, i] = factor[i, m]
    total = block[support[i], support[i]]
    for m in range(i - 1, -1, -1):
        factor[m, i] *= factor[m, m]
        for n in range(m):
            factor[n, i] -= factor[m, n] * factor[m, i]
        total += factor[m, i] * factor[m, i] * block[support[m], support[m]]
    return total


@leaf
def _back_substitute(factor, step, k):
    for i in range(k - 1, -1, -1):
        step[i] *= factor[i, i]
        for m in range(i):
            step[m] -= factor[i, m] * step[i]
