"""Coordinate descent on a working set, compiled: the per-sample kernel behind `CoordinateDescent`.

Per sample, with b = x D^T, G = D D^T and c = b - z G:

1. add the atoms that violate |c_j| <= alpha most to the working set S;
2. minimize over z_S by sweeps of coordinate descent on the block G_SS, and, once the signs have
settled, by solving
   G_PP z_P = b_P - alpha sign(z_P) on the non-zeros P, as far as no sign changes;
3. refresh c from the rows of G that are in use, and stop if the duality gap is small enough.
"""

from __future__ import annotations

import numpy as np

from ._numba_tools import argmax, kernel, largest, leaf, segment_maxima, subtract_rows

# Most atoms that join the working set at a time, and one more for so many atoms: fewer take more
# passes over all atoms, more cost longer sweeps.
_BATCH, _ATOMS_PER_JOINER = 4, 512
# Atoms whose largest correlation is kept, so that picking one does not look at all others.
SEGMENT = 64
# Rounds without new atoms and without progress: the dtype holds no more.
_PATIENCE = 5
# Sweeps before the next linear solve: one, and one more for so many atoms, for the solve costs the
# cube of their number.
_ATOMS_PER_SWEEP = 8
_INNER_ROUNDS = 50
_SAFETY = 0.9
# Roundings, times the root of the number of terms, that a correlation can be wrong by.
_ROUNDINGS = 16
# Early working sets lack atoms: solving them to a share of the whole gap is enough.
_LOOSE = 0.1


@leaf
def _set_aside(c, working, start, size, u):
    """Move the correlations of the working set from c to u: those left in c are all of others."""
    for p in range(start, size):
        u[p] = c[working[p]]
        c[working[p]] = 0


@leaf
def _add_violators(c, tops, threshold, positive, working, size, u, limit):
    """Append to the working set the ``limit`` atoms with the largest c above threshold."""
    for _ in range(limit):
        s = argmax(tops, True)
        if s < 0 or tops[s] <= threshold:
            break
        segment = c[s * SEGMENT : (s + 1) * SEGMENT]
        working[size] = s * SEGMENT + argmax(segment, positive)
        _set_aside(c, working, size, size + 1, u)
        tops[s] = largest(segment, 0, len(segment), positive)
        size += 1
    return size


@leaf
def _dual_limit(alpha, eps, n_terms, energy, l1):
    """Largest correlation of a dual point: alpha, or what cannot be told from 0 where alpha is: no
    scaling would bring a rounding error below 0."""
    if alpha > 0:
        return np.float64(alpha)
    return _ROUNDINGS * eps * np.sqrt(n_terms) * (np.sqrt(energy) + l1)


@leaf
def _gap(energy, z, b, u, size, alpha, peak):
    """Duality gap from the working set alone; ``peak`` is the largest correlation of any atom."""
    explained, l1, fit = 0.0, 0.0, 0.0
    for p in range(size):
        explained += np.float64(z[p]) * (np.float64(b[p]) + np.float64(u[p]))
        fit += np.float64(z[p]) * np.float64(u[p])
        l1 += abs(np.float64(z[p]))
    residual = max(energy - explained, 0.0)
    # <x, r> = ||r||^2 + <z, c>
    scale = max(residual + fit, 0.0) / residual if residual > 0 else 0.0
    limit = _dual_limit(alpha, np.finfo(z.dtype).eps, size, energy, l1)
    if scale * peak > limit:
        scale = limit / peak
    return 0.5 * (1 - scale) ** 2 * residual + max(alpha * l1 - scale * fit, 0.0)


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
def _direction(z, u, block, size, alpha, support, factor, step):
    """Direction in which to move the non-zeros, as far as no sign changes.

    The Newton step for their signs; or, where their atoms are linearly dependent, a combination of
    atoms that is zero and lowers the L1 norm. Returns how many of ``support`` it concerns, and
    whether it is a Newton step.
    """
    k = 0
    for p in range(size):
        if z[p] != 0:
            support[k] = p
            k += 1
    tiny = 100 * np.finfo(z.dtype).eps
    for i in range(k):
        row = block[support[i]]
        for j in range(i + 1):
            total = row[support[j]]
            for m in range(j):
                total -= factor[i, m] * factor[j, m]
            if i > j:
                factor[i, j] = total * factor[j, j]
            elif total > tiny * row[support[i]]:
                # The inverse of the diagonal spares divisions.
                factor[i, i] = z.dtype.type(1) / np.sqrt(total)
            else:
                for m in range(i):
                    step[m] = -factor[i, m]
                _back_substitute(factor, step, i)
                step[i] = 1
                slope = 0.0
                for m in range(i + 1):
                    p = support[m]
                    slope += step[m] * ((alpha if z[p] > 0 else -alpha) - u[p])
                if slope > 0:
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
def _back_substitute(factor, step, k):
    for i in range(k - 1, -1, -1):
        step[i] *= factor[i, i]
        for m in range(i):
            step[m] -= factor[i, m] * step[i]


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
def _minimize_on_working_set(
    energy, z, b, u, block, size, alpha, positive, target, support, factor, step
):
    """Sweeps and polishing until the duality gap of the restricted problem is below ``target``."""
    for _ in range(_INNER_ROUNDS):
        for _ in range(1 + size // _ATOMS_PER_SWEEP):
            _sweep(z, u, block, size, alpha, positive)
        if _gap(energy, z, b, u, size, alpha, largest(u, 0, size, positive)) <= target:
            break
        for _ in range(size):
            if _polish(z, u, block, size, alpha, support, factor, step):
                break
        if _gap(energy, z, b, u, size, alpha, largest(u, 0, size, positive)) <= target:
            break


@kernel
def _certify(
    x, dictionary, c, error, tops, z, working, size, alpha, positive, peak, residual, exact, atoms
):  # fmt: skip
    """Duality gap in float64; of the atoms outside the working set only those are recomputed that
    ``error``, or rounding, could have hidden from ``peak``."""
    n_features = len(x)
    l1, used = _nonzeros(z, working, size, exact, atoms)
    residual[:] = x
    subtract_rows(residual, exact, dictionary, atoms, used)
    energy, fit, length = 0.0, 0.0, 0.0
    for k in range(n_features):
        energy += residual[k] * residual[k]
        fit += residual[k] * np.float64(x[k])
        length += np.float64(x[k]) * np.float64(x[k])
    doubt = _ROUNDINGS * np.finfo(c.dtype).eps * np.sqrt(n_features + size)
    doubt = doubt * (np.sqrt(length) + l1) + error
    exact_peak = _exact_peak(dictionary, c, tops, positive, peak - doubt, residual)
    for p in range(size):
        exact[p] = _dot(dictionary[working[p]], residual)
        exact_peak = max(exact_peak, exact[p] if positive else abs(exact[p]))
    scale = max(fit, 0.0) / energy if energy > 0 else 0.0
    limit = _dual_limit(alpha, np.finfo(np.float64).eps, n_features + size, length, l1)
    if scale * exact_peak > limit:
        scale = limit / exact_peak
    gap = 0.5 * (1 - scale) ** 2 * energy
    for p in range(size):
        if z[p] != 0:
            slack = alpha - scale * (exact[p] if z[p] > 0 else -exact[p])
            gap += abs(np.float64(z[p])) * max(slack, 0.0)
    return gap


@leaf
def _exact_peak(dictionary, c, tops, positive, floor, residual):
    """Largest correlation in float64 of the atoms whose entries of c reach ``floor``."""
    peak = 0.0
    for s in range(len(tops)):
        if np.float64(tops[s]) >= floor:
            for j in range(s * SEGMENT, min((s + 1) * SEGMENT, len(c))):
                value = np.float64(c[j])
                if (value if positive else abs(value)) >= floor:
                    value = _dot(dictionary[j], residual)
                    peak = max(peak, value if positive else abs(value))
    return peak


@leaf
def _nonzeros(z, working, size, weights, atoms):
    """The non-zeros of z and their atoms; their L1 norm, and how many they are."""
    l1, used = 0.0, 0
    for p in range(size):
        if z[p] != 0:
            weights[used], atoms[used] = z[p], working[p]
            l1 += abs(np.float64(z[p]))
            used += 1
    return l1, used


@leaf
def product(a, b):
    total = a.dtype.type(0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@leaf
def _dot(atom, residual):
    total = 0.0
    for k in range(len(atom)):
        total += np.float64(atom[k]) * residual[k]
    return total


@kernel
def _refresh(c, cov, gram, z, working, size, weights, atoms):
    """c = cov - z G, from the rows of G that are in use."""
    c[:] = cov
    _, used = _nonzeros(z, working, size, weights, atoms)
    subtract_rows(c, weights, gram, atoms, used)


@leaf
def _extend_block(block, gram, working, grown, size):
    """Fill in the rows and columns of the working set's Gram block from ``grown`` on."""
    for p in range(grown, size):
        row = gram[working[p]]
        for q in range(p + 1):
            block[p, q] = block[q, p] = row[working[q]]


@kernel
def _take_start(codes, working, z, keep):
    """Move the start out of a row of codes into the working set, which is empty unless keep;
    its size."""
    size = 0
    # Most often there is no start, which is told at the speed of memory.
    if largest(codes, 0, len(codes), False) > 0:
        for j in range(len(codes)):
            if codes[j] != 0 and keep:
                working[size], z[size] = j, codes[j]
                size += 1
        codes[:] = 0
    return size


@kernel
def solve_with_gram(
    X, dictionary, gram, cov, errors, alphas, positive, tol, max_iter, codes, n_iter, gaps
):  # fmt: skip
    """Solve every row; ``codes`` holds the start and receives the solution.

    Where ``errors`` are not 0 they bound those of ``cov``, and atoms that join a working set have
    theirs mended.
    """
    n_samples, n_components = cov.shape
    dtype = cov.dtype
    capacity, batch = n_components, _BATCH + n_components // _ATOMS_PER_JOINER
    residual, exact = np.empty(X.shape[1]), np.empty(n_components)
    tops = np.empty((n_components - 1) // SEGMENT + 1, dtype)
    working = np.empty(capacity, dtype=np.int64)
    z, b, u, step = np.zeros((4, capacity), dtype)
    support = np.empty(capacity, dtype=np.int64)
    stride = 48
    block, factor = np.empty((stride, stride), dtype), np.empty((stride, stride), dtype)
    c = np.empty(n_components, dtype)
    for i in range(n_samples):
        alpha = alphas[i]
        energy = 0.0
        for k in range(X.shape[1]):
            energy += np.float64(X[i, k]) * np.float64(X[i, k])
        limit = tol * 0.5 * energy
        goal, inner = _SAFETY * limit, 0.3 * limit
        grown, best, stalled = 0, np.inf, 0
        error = errors[i]
        bar = alpha * (1 + 8 * np.finfo(dtype).eps) - error
        silent = largest(cov[i], 0, n_components, positive) <= bar
        size = _take_start(codes[i], working, z, not silent)
        if error > 0:
            for p in range(size):
                cov[i, working[p]] = product(dictionary[working[p]], X[i])
        while not silent:
            _refresh(c, cov[i], gram, z, working, size, step, support)
            _set_aside(c, working, 0, size, u)
            segment_maxima(c, positive, SEGMENT, tops)
            before = size
            size = _add_violators(c, tops, alpha - error, positive, working, size, u, batch)
            for p in range(before, size):
                j = working[p]
                if error > 0:
                    exact[0] = product(dictionary[j], X[i])
                    u[p] += exact[0] - cov[i, j]
                    cov[i, j] = exact[0]
                z[p] = 0
            for p in range(size):
                b[p] = cov[i, working[p]]
            peak = max(largest(u, 0, size, positive), largest(tops, 0, len(tops), True))
            gap = _gap(energy, z, b, u, size, alpha, peak)
            if gap <= goal or n_iter[i] == max_iter or stalled == _PATIENCE:
                gaps[i] = _certify(
                    X[i], dictionary, c, error, tops, z, working, size, alpha, positive, peak,
                    residual, exact, support,
                )  # fmt: skip
                if gaps[i] <= limit or n_iter[i] == max_iter or stalled == _PATIENCE:
                    break
                goal *= 0.1
            if size > before:
                stalled = 0
            else:
                inner *= 0.1
                stalled = 0 if gap < 0.99 * best else stalled + 1
            best = min(best, gap)
            if size > stride:
                stride, grown = 2 * size + 16, 0
                block, factor = np.empty((stride, stride), dtype), np.empty((stride, stride), dtype)
            _extend_block(block, gram, working, grown, size)
            grown = size
            _minimize_on_working_set(
                energy,
                z,
                b,
                u,
                block,
                size,
                alpha,
                positive,
                max(inner, _LOOSE * gap),
                support,
                factor,
                step,
            )
            n_iter[i] += 1
        for p in range(size):
            codes[i, working[p]] = z[p]
