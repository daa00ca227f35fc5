"""Least squares on each sample's own atoms, compiled: what `_least_squares` does in torch."""

from __future__ import annotations

import numpy as np

from .._numba import kernel, leaf
from ._numba_tools import (
    aligned_rows,
    are_positive,
    copy,
    hide,
    product,
    squared_norm,
    subtract_rows,
)


@leaf
def _take(dictionary, support, size, seen, atoms):
    """The atoms of a support, next to each other, where the sample is observed."""
    for i in range(size):
        for f in range(np.uint64(dictionary.shape[1])):
            atoms[i, f] = dictionary[support[i], f]
        hide(atoms[i], seen)


@leaf
def _multiply(atoms, x, size, gram, target):
    """Scalar products of the atoms with each other, below the diagonal too, and with x."""
    width = np.uint64(len(x))
    for i in range(size):
        a = atoms[i]
        done = (i + 1) - (i + 1) % 4
        for j in range(0, done, 4):
            p, q, r, s = atoms[j], atoms[j + 1], atoms[j + 2], atoms[j + 3]
            b = c = d = e = x.dtype.type(0)
            for f in range(width):
                b += a[f] * p[f]
                c += a[f] * q[f]
                d += a[f] * r[f]
                e += a[f] * s[f]
            gram[i, j], gram[i, j + 1], gram[i, j + 2], gram[i, j + 3] = b, c, d, e
        for j in range(done, i + 1):
            gram[i, j] = product(a, atoms[j])
        target[i] = product(x, a)
        for j in range(i):
            gram[j, i] = gram[i, j]


@leaf
def _solve(gram, target, chosen, n, tolerance, factor, z):
    """Least squares on the ``n`` atoms that are chosen, into ``z`` by their number; False where
    they are so close to dependent that half of the digits are lost."""
    for p in range(n):
        i = chosen[p]
        for q in range(p):
            factor[p, q] = gram[i, chosen[q]] - product(factor[p, :q], factor[q, :q])
            factor[p, q] /= factor[q, q]
        pivot = gram[i, i] - product(factor[p, :p], factor[p, :p])
        if not pivot > tolerance * gram[i, i]:
            return False
        factor[p, p] = np.sqrt(pivot)
        z[p] = (target[i] - product(factor[p, :p], z[:p])) / factor[p, p]
    for p in range(n - 1, -1, -1):
        z[p] /= factor[p, p]
        for q in range(p):
            z[q] -= factor[p, q] * z[p]
    return True


@leaf
def _advance(old, new, chosen, n):
    """Go from old towards new coefficients, as far as none is negative, and drop those that vanish;
    how many are left."""
    length, blocking = old.dtype.type(1), -1
    for p in range(n):
        i = chosen[p]
        if new[p] <= 0 and old[i] <= length * (old[i] - new[p]):
            length, blocking = old[i] / (old[i] - new[p]), p
    left = 0
    for p in range(n):
        i = chosen[p]
        value = old[i] + length * (new[p] - old[i])
        if p != blocking and (value > 0 or new[p] > 0):
            chosen[left], old[i] = i, max(value, old.dtype.type(0))
            left += 1
        else:
            old[i] = 0
    return left


@leaf
def _steepest(gram, target, z, active, size, noise):
    """The idle atom with the largest gradient above rounding; -1 if there is none."""
    best, where = z.dtype.type(0), -1
    for i in range(size):
        if not active[i]:
            gradient = target[i] - product(gram[i, :size], z[:size])
            if gradient > best and gradient > noise * np.sqrt(gram[i, i]):
                best, where = gradient, i
    return where


@leaf
def gradient_noise(x):
    """What a gradient must exceed for an atom to come back."""
    return x.dtype.type(100 * np.finfo(x.dtype).eps * np.sqrt(squared_norm(x)))


@leaf
def fit_support(gram, target, size, positive, noise, z, active, chosen, factor, new):
    """Lawson and Hanson from ``z`` and ``active``: the times an atom came back, and 1; 0 where
    `_solve` fails."""
    rounds, tolerance = 1, z.dtype.type(np.sqrt(np.finfo(z.dtype).eps))
    while rounds <= 3 * len(active):
        n = np.int64(0)
        for i in range(size):
            if active[i]:
                chosen[n] = i
                n += 1
        while True:
            if not _solve(gram, target, chosen, n, tolerance, factor, new):
                return 0
            if not positive or are_positive(new, n):
                break
            n = _advance(z, new, chosen, n)
        active[:] = False
        for p in range(n):
            z[chosen[p]], active[chosen[p]] = new[p], True
        if not positive:
            break
        back = _steepest(gram, target, z, active, size, noise)
        if back < 0:
            break
        active[back] = True
        rounds += 1
    return rounds


@kernel
def least_squares_rows(
    dictionary, positive, X, seen, supports, starts, allowed, z, used, rounds, residuals, errors
):
    """Solve for every row on its support; ``rounds`` is 0 where that failed.

    ``starts`` are coefficients to come from, and ``allowed`` says which atoms may be used, the
    first so many of a row. Receive the solution: ``z``, ``used``, ``residuals`` and, in float64,
    their squared norms ``errors``. Rows of ``seen`` are as `hide` takes them.
    """
    n_samples, most = supports.shape
    dtype = X.dtype
    atoms = aligned_rows(most, X.shape[1], dtype)
    gram, factor = np.zeros((most, most), dtype), np.zeros((most, most), dtype)
    target, new, old = np.zeros(most, dtype), np.zeros(most, dtype), np.zeros(most, dtype)
    chosen, active = np.zeros(most, np.int64), np.zeros(most, np.bool_)
    places, exact, residual = np.arange(most), np.zeros(most), np.zeros(X.shape[1])
    for s in range(n_samples):
        size = 0
        while size < most and allowed[s, size]:
            size += 1
        _take(dictionary, supports[s], size, seen[s], atoms)
        _multiply(atoms, X[s], size, gram, target)
        copy(old, starts[s])
        copy(active, allowed[s])
        rounds[s] = fit_support(
            gram, target, size, positive, gradient_noise(X[s]), old, active, chosen, factor, new
        )
        if rounds[s] == 0:
            continue
        copy(residual, X[s])
        for i in range(most):
            exact[i] = z[s, i] = old[i] if active[i] else 0
            used[s, i] = active[i]
        subtract_rows(residual, exact, atoms, places, size)
        copy(residuals[s], residual)
        errors[s] = squared_norm(residual)
