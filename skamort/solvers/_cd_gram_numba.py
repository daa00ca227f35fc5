"""Coordinate descent on a working set, compiled, with the Gram matrix of all atoms.

Each sample is solved to the end before the next: with G = D D^T at hand, c = b - z G costs a row of
G for every non-zero.
"""

from __future__ import annotations

import numpy as np

from .._numba import kernel, leaf, part
from ._certificate_numba import SEGMENT, certify, nonzeros
from ._numba_tools import copy, largest, product, squared_norm, subtract_rows
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

# Most atoms that join the working set at a time, and one more for so many atoms: fewer take more
# passes over all atoms, more cost longer sweeps.
_BATCH, _ATOMS_PER_JOINER = 4, 512
# Rows of the first Gram block.
_FIRST_BLOCK = 48


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
    c, tops = np.empty(n_components, dtype), np.empty((n_components - 1) // SEGMENT + 1, dtype)
    working, support = np.empty(n_components, np.int64), np.empty(n_components, np.int64)
    z, b, u, step = np.zeros((4, n_components), dtype)
    residual, exact, progress = np.empty(X.shape[1]), np.empty(n_components), np.empty(4)
    work = (c, tops, working, support, z, b, u, step, residual, exact, progress)
    block = np.empty((_FIRST_BLOCK, _FIRST_BLOCK), dtype)
    factor = np.empty_like(block)
    for i in range(n_samples):
        bar = alphas[i] * (1 + 8 * np.finfo(dtype).eps) - errors[i]
        is_silent = largest(cov[i], 0, n_components, positive) <= bar
        size = _take_start(codes[i], working, z, not is_silent)
        if not is_silent:
            size, n_iter[i], gaps[i], block, factor = _solve_row(
                X[i], dictionary, gram, cov[i], errors[i], alphas[i], positive, tol, max_iter,
                size, work, block, factor,
            )  # fmt: skip
        for p in range(size):
            codes[i, working[p]] = z[p]


@kernel(inline="always")  # a call for each sample would cost a tenth of a small problem
def _solve_row(
    x, dictionary, gram, cov, error, alpha, positive, tol, max_iter, size, work, block, factor
):
    """Solve one sample from the start in the working set.

    Returns the size of the working set, the rounds, the gap, and the arrays for Gram blocks, which
    grow where they are too small.
    """
    c, tops, working, support, z, b, u, step, residual, exact, progress = work
    energy, batch = squared_norm(x), _BATCH + len(c) // _ATOMS_PER_JOINER
    limit = tol * 0.5 * energy
    begin(progress, limit)
    if error > 0:
        _mend(x, dictionary, cov, working, np.int64(0), size, u)
    n_iter, known = 0, np.int64(0)
    while True:
        _refresh(c, cov, gram, z, working, size, step, support)
        before = size
        size = grow(c, tops, alpha - error, positive, working, size, u, batch)
        z[before:size] = 0
        if error > 0:
            _mend(x, dictionary, cov, working, before, size, u)
        for p in range(size):
            b[p] = cov[working[p]]
        peak = highest(u, size, tops, positive)
        gap = cheap_gap(energy, z, b, u, size, alpha, peak)
        is_last = n_iter == max_iter or progress[STALLED] == PATIENCE
        if gap <= progress[GOAL] or is_last:
            certified = certify(
                x, x[:0], dictionary, c, error, tops, z, working, size, alpha, positive, peak,
                residual, exact, support,
            )  # fmt: skip
            if certified <= limit or is_last:
                return size, n_iter, certified, block, factor
            progress[GOAL] *= 0.1
        track(progress, gap, size > before)
        if size > len(block):
            stride, known = 2 * size + 16, 0
            block, factor = np.empty((stride, stride), c.dtype), np.empty((stride, stride), c.dtype)
        _extend_block(block, gram, working, known, size)
        known = size
        target = goal(progress, gap)
        minimize(energy, z, b, u, block, size, alpha, positive, target, support, factor, step)
        n_iter += 1


@leaf
def _mend(x, dictionary, cov, working, start, size, u):
    """Compute the correlations of atoms that joined again; u follows."""
    for p in range(start, size):
        j = working[p]
        exact = np.float64(product(dictionary[j], x))
        u[p] += exact - cov[j]
        cov[j] = exact


@part
def _refresh(c, cov, gram, z, working, size, weights, atoms):
    """c = cov - z G, from the rows of G that are in use."""
    copy(c, cov)
    _, used = nonzeros(z, working, size, weights, atoms)
    subtract_rows(c, weights, gram, atoms, used)


@leaf
def _extend_block(block, gram, working, grown, size):
    """Fill in the rows and columns of the working set's Gram block from ``grown`` on."""
    for p in range(grown, size):
        row = gram[working[p]]
        for q in range(p + 1):
            block[p, q] = block[q, p] = row[working[q]]


@part
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
