"""Coordinate descent on a working set, compiled, without the Gram matrix of all atoms.

All samples of a block advance together, a round at a time: their correlations with all atoms come
from one matrix product, and the Gram block of each working set from the atoms themselves. Where
entries are missing atoms are coherent, and pivots take the place of sweeps.
"""

from __future__ import annotations

import numpy as np

from .._numba import kernel, part
from ._certificate_numba import SEGMENT, certify
from ._numba_tools import copy, hide, product, squared_norm, subtract_rows
from ._pivoting_numba import make_room, pivot
from ._working_set_numba import (
    GOAL,
    PATIENCE,
    STALLED,
    begin,
    cheap_gap,
    goal,
    grow,
    highest,
    minimize,
    track,
)


@kernel
def start(X, tol, progress):
    """Nothing done yet for any sample."""
    for i in range(len(X)):
        begin(progress[i], tol * 0.5 * squared_norm(X[i]))


@kernel
def advance(
    rows, c, errors, dictionary, positive, tol, max_iter, batch, X, alphas, n_iter, gaps, residuals,
    seen, done, progress, working, codes, sizes, known, blocks,
):  # fmt: skip
    """One round of every sample in ``rows``, whose correlations are ``c``, to ``errors``.

    Up to ``batch`` atoms join each working set. ``progress[i]`` is that of `_working_set_numba`;
    ``seen[i]`` is 1 where a sample is observed, else 0, and empty where it is complete.
    """
    n_components, n_features = dictionary.shape
    width = working.shape[1]
    tops = np.empty((n_components - 1) // SEGMENT + 1, dictionary.dtype)
    residual, exact = np.empty(n_features), np.empty(width)
    atom = np.empty(n_features, dictionary.dtype)
    u, b, step = np.empty((3, width), dictionary.dtype)
    support = np.empty(width, dtype=np.int64)
    factor = np.empty((width, width), dictionary.dtype)
    room = make_room(width, dictionary.dtype)
    for m in range(len(rows)):
        i = rows[m]
        x, alpha, atoms, z, before = X[i], alphas[i], working[i], codes[i], sizes[i]
        block = blocks[i]
        energy = squared_norm(x)
        size = grow(c[m], tops, alpha - errors[m], positive, atoms, before, u, batch)
        z[before:size] = 0
        _extend_block(block, dictionary, seen[i], atoms, known[i], size, atom)
        _correlate(dictionary, residuals[i], atoms, z, block, before, size, errors[m] > 0, u, b)
        peak = highest(u, size, tops, positive)
        gap = cheap_gap(energy, z, b, u, size, alpha, peak)
        is_last = n_iter[i] == max_iter or progress[i, STALLED] == PATIENCE
        if gap <= progress[i, GOAL] or is_last:
            gaps[i] = certify(
                x, seen[i], dictionary, c[m], errors[m], tops, z, atoms, size, alpha, positive,
                peak, residual, exact, support,
            )  # fmt: skip
            done[i] = is_last or gaps[i] <= tol * 0.5 * energy
            progress[i, GOAL] *= 0.1
        if not done[i]:
            track(progress[i], gap, size > before)
            target = goal(progress[i], gap)
            if len(seen[i]) == 0 or not pivot(
                energy, z, b, u, block, size, alpha, positive, target, room
            ):
                minimize(
                    energy, z, b, u, block, size, alpha, positive, target, support, factor, step
                )
            copy(residuals[i], x)
            subtract_rows(residuals[i], z, dictionary, atoms, size)
            hide(residuals[i], seen[i])
            sizes[i] = known[i] = size
            n_iter[i] += 1


@part
def _extend_block(block, dictionary, seen, atoms, known, size, atom):
    """Fill in the rows and columns of the working set's Gram block from ``known`` on."""
    for p in range(known, size):
        copy(atom, dictionary[atoms[p]])
        hide(atom, seen)
        for q in range(p + 1):
            block[p, q] = block[q, p] = product(atom, dictionary[atoms[q]])


@part
def _correlate(dictionary, residual, atoms, z, block, before, size, is_rough, u, b):
    """Entries of b, and of c again where they are rough; only ``z[:before]`` are not 0."""
    for p in range(size):
        if is_rough:
            u[p] = product(dictionary[atoms[p]], residual)
        b[p] = u[p] + product(block[p, :before], z[:before])
