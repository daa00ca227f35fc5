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

from ._numba_tools import kernel, largest, subtract_rows

# Most atoms that join the working set at a time: fewer take more passes over all atoms, more cost
# longer sweeps.
_BATCH = 6
# Rounds without new atoms and without progress: the dtype holds no more.
_PATIENCE = 5
_SWEEPS = 3
_INNER_ROUNDS = 50
_SAFETY = 0.9
# Early working sets lack atoms: solving them to a share of the whole gap is enough.
_LOOSE = 0.1


@kernel
def _add_violators(c, threshold, positive, member, working, size, limit):
    """Append to the working set the ``limit`` atoms outside it with the largest c above
    threshold."""
    start = size
    floor = threshold
    weakest = start
    for j in range(len(c)):
        value = c[j] if positive else abs(c[j])
        if value <= floor or member[j]:
            continue
        if size - start < limit:
            working[size] = j
            size += 1
        else:
            working[weakest] = j
        if size - start == limit:
            weakest = start
            floor = value
            for p in range(start, size):
                other = c[working[p]] if positive else abs(c[working[p]])
                if other <= floor:
                    floor, weakest = other, p
    for p in range(start, size):
        member[working[p]] = True
    return size


@kernel
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
    if scale * peak > alpha:
        scale = alpha / peak
    return 0.5 * (1 - scale) ** 2 * residual + max(alpha * l1 - scale * fit, 0.0)


@kernel
def _sweep(z, u, block, size, alpha, positive):
    """One pass of coordinate descent over the working set; u = (b - z G)_S follows."""
    zero = z.dtype.type(0)
    for p in range(size):
        curvature = block[p, p]
        old = z[p]
        target = u[p] + old * curvature
        if target > alpha:
            new = (target - alpha) / curvature
        elif target < -alpha and not positive:
            new = (target + alpha) / curvature
        else:
            new = zero
        change = new - old
        if change != 0:
            z[p] = new
            row = block[p]
            for q in range(size):
                u[q] -= change * row[q]


@kernel
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


@kernel
def _back_substitute(factor, step, k):
    for i in range(k - 1, -1, -1):
        step[i] *= factor[i, i]
        for m in range(i):
            step[m] -= factor[i, m] * step[i]


@kernel
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


@kernel
def _minimize_on_working_set(
    energy, z, b, u, block, size, alpha, positive, target, support, factor, step
):
    """Sweeps and polishing until the duality gap of the restricted problem is below ``target``."""
    for _ in range(_INNER_ROUNDS):
        for _ in range(_SWEEPS):
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
    x, dictionary, c, z, working, member, size, alpha, positive, peak, residual, correlations
):
    """Duality gap in float64; only atoms that rounding could have hidden from ``peak`` are
    recomputed."""
    n_features = len(x)
    for k in range(n_features):
        residual[k] = x[k]
    for p in range(size):
        if z[p] != 0:
            weight, atom = np.float64(z[p]), dictionary[working[p]]
            for k in range(n_features):
                residual[k] -= weight * np.float64(atom[k])
    energy, fit, l1, length = 0.0, 0.0, 0.0, 0.0
    for k in range(n_features):
        energy += residual[k] * residual[k]
        fit += residual[k] * np.float64(x[k])
        length += np.float64(x[k]) * np.float64(x[k])
    for p in range(size):
        l1 += abs(np.float64(z[p]))
    doubt = 16 * np.finfo(c.dtype).eps * np.sqrt(n_features + size) * (np.sqrt(length) + l1)
    exact_peak = 0.0
    for j in range(len(c)):
        value = np.float64(c[j]) if positive else abs(np.float64(c[j]))
        if value >= peak - doubt and not member[j]:
            exact = _dot(dictionary[j], residual)
            exact_peak = max(exact_peak, exact if positive else abs(exact))
    for p in range(size):
        correlations[p] = _dot(dictionary[working[p]], residual)
        exact_peak = max(exact_peak, correlations[p] if positive else abs(correlations[p]))
    scale = max(fit, 0.0) / energy if energy > 0 else 0.0
    if scale * exact_peak > alpha:
        scale = alpha / exact_peak
    gap = 0.5 * (1 - scale) ** 2 * energy
    for p in range(size):
        if z[p] != 0:
            slack = alpha - scale * (correlations[p] if z[p] > 0 else -correlations[p])
            gap += abs(np.float64(z[p])) * max(slack, 0.0)
    return gap


@kernel
def _dot(atom, residual):
    total = 0.0
    for k in range(len(atom)):
        total += np.float64(atom[k]) * residual[k]
    return total


@kernel
def _refresh(c, cov, gram, z, working, size, weights, atoms):
    """c = cov - z G, from the rows of G that are in use."""
    c[:] = cov
    used = 0
    for p in range(size):
        if z[p] != 0:
            weights[used], atoms[used] = z[p], working[p]
            used += 1
    subtract_rows(c, weights, gram, atoms, used)


@kernel
def _extend_block(block, gram, working, grown, size):
    """Fill in the rows and columns of the working set's Gram block from ``grown`` on."""
    for p in range(grown, size):
        row = gram[working[p]]
        for q in range(p + 1):
            block[p, q] = block[q, p] = row[working[q]]


@kernel
def _take_start(codes, working, member, z, keep):
    """Move the start out of a row of codes into the working set, which is empty unless keep;
    its size."""
    size = 0
    for j in range(len(codes)):
        if codes[j] != 0:
            if keep:
                working[size], z[size], member[j] = j, codes[j], True
                size += 1
            codes[j] = 0
    return size


@kernel
def solve_with_gram(X, dictionary, gram, cov, alphas, positive, tol, max_iter, codes, n_iter, gaps):
    """Solve every row; ``codes`` holds the start and receives the solution."""
    n_samples, n_components = cov.shape
    dtype = cov.dtype
    capacity = n_components
    residual, correlations = np.empty(X.shape[1]), np.empty(n_components)
    member = np.zeros(n_components, dtype=np.bool_)
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
        silent = largest(cov[i], 0, n_components, positive) <= alpha * (1 + 8 * np.finfo(dtype).eps)
        size = _take_start(codes[i], working, member, z, not silent)
        while not silent:
            _refresh(c, cov[i], gram, z, working, size, step, support)
            for p in range(size):
                u[p], b[p] = c[working[p]], cov[i, working[p]]
            peak = largest(c, 0, len(c), positive)
            gap = _gap(energy, z, b, u, size, alpha, peak)
            if gap <= goal or n_iter[i] == max_iter or stalled == _PATIENCE:
                gaps[i] = _certify(
                    X[i],
                    dictionary,
                    c,
                    z,
                    working,
                    member,
                    size,
                    alpha,
                    positive,
                    peak,
                    residual,
                    correlations,
                )
                if gaps[i] <= limit or n_iter[i] == max_iter or stalled == _PATIENCE:
                    break
                goal *= 0.1
            before = size
            size = _add_violators(c, alpha, positive, member, working, size, _BATCH)
            if size > before:
                stalled = 0
            else:
                inner *= 0.1
                stalled = 0 if gap < 0.99 * best else stalled + 1
            best = min(best, gap)
            if size > stride:
                stride, grown = 2 * size + 16, 0
                block, factor = np.empty((stride, stride), dtype), np.empty((stride, stride), dtype)
            for p in range(before, size):
                z[p], u[p], b[p] = 0, c[working[p]], cov[i, working[p]]
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
            member[working[p]] = False
