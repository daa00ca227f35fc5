"""Coordinate descent on a working set, compiled, for dictionaries whose Gram matrix does not pay.

All samples of a block advance together, a round at a time. One matrix product r D^T gives the
correlations of all residuals with all atoms; then the kernel treats each sample as `_cd_numba`
does, with a Gram block of its working set computed from the atoms themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._threads import run_in_threads
from ._cd_numba import (
    _LOOSE,
    _PATIENCE,
    _SAFETY,
    SEGMENT,
    _add_violators,
    _certify,
    _gap,
    _minimize_on_working_set,
    _set_aside,
    product,
)
from ._certificate import is_silent
from ._correlations import Correlations
from ._numba_tools import kernel, largest, segment_maxima, subtract_rows

# Most atoms that join a working set in a round, each of which costs a product with the dictionary.
_BATCH = 32
# Accuracy of a solved working set, relative to that of the sample.
_INNER = 0.3
# Elements of all Gram blocks together.
_BLOCK_LIMIT = 1 << 26


@dataclass
class _WorkingSets:
    """The working set of every sample: its atoms, their codes, their Gram block.

    Parameters
    ----------
    atoms, z : ndarray of shape (n_samples, width)
    sizes, known : ndarray of shape (n_samples,)
        Atoms in use, and how many of them the Gram block covers.
    blocks : ndarray of shape (n_samples, width, width)
    """

    atoms: np.ndarray
    z: np.ndarray
    sizes: np.ndarray
    known: np.ndarray
    blocks: np.ndarray

    @classmethod
    def of(cls, codes: Tensor) -> _WorkingSets:
        """Working sets that hold the non-zeros of codes."""
        sizes = (codes != 0).sum(dim=1).numpy()
        atoms = codes.abs().topk(int(sizes.max()), dim=1).indices
        z, known = codes.gather(1, atoms).numpy(), np.zeros_like(sizes)
        blocks = np.empty((len(codes), 0, 0), z.dtype)
        return cls(atoms.numpy(), z, sizes, known, blocks)

    def make_room(self, rows: np.ndarray) -> bool:
        """Widen the arrays for `_BATCH` more atoms in ``rows``; False if they would be too
        large."""
        needed, width = self.sizes[rows].max() + _BATCH, self.blocks.shape[1]
        if needed <= width:
            return True
        wider = needed + needed // 2
        if len(rows) > 1 and len(self.blocks) * wider**2 > _BLOCK_LIMIT:
            return False
        added = [(0, 0), (0, wider - self.atoms.shape[1])]
        self.atoms, self.z = np.pad(self.atoms, added), np.pad(self.z, added)
        blocks = np.empty((len(self.blocks), wider, wider), self.z.dtype)
        blocks[:, :width, :width] = self.blocks
        self.blocks = blocks
        return True


def solve_factored(
    X: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    positive: bool,
    tol: float,
    max_iter: int,
    codes: Tensor,
    n_jobs: int,
) -> tuple[Tensor, Tensor]:
    """Solve in place from the start in ``codes``; the rounds spent on each sample and the gaps."""
    n_iter = torch.zeros(len(X), dtype=torch.int64)
    gaps = torch.zeros(len(X), dtype=torch.float64)
    correlate = Correlations(dictionary, len(X))
    correlations, errors = correlate(X, alpha)
    silent = is_silent(correlations, alpha - errors, positive)
    codes[silent] = 0
    sets = _WorkingSets.of(codes)
    residuals = X.clone()
    if codes.any():
        residuals -= codes @ dictionary
        correlations, errors = correlate(residuals, alpha)
    limits = tol * 0.5 * X.double().square().sum(dim=1).numpy()
    progress = np.stack([_SAFETY * limits, _INNER * limits, 0 * limits, 0 * limits], axis=1)
    progress[:, 2] = np.inf
    shared = dictionary.contiguous().numpy()
    by_row = [a.contiguous().numpy() for a in (X, alpha, n_iter, gaps, residuals)]
    done = silent.numpy().copy()
    left = np.flatnonzero(~done)
    correlations, errors = correlations[left], errors[left]
    while len(left):
        if not sets.make_room(left):
            _store(sets, left, codes)
            for part in np.array_split(left, 2):
                part_codes = codes[part]
                steps, gaps[part] = solve_factored(
                    X[part], dictionary, alpha[part], positive, tol, max_iter, part_codes, n_jobs
                )
                codes[part] = part_codes
                n_iter[part] += steps
            break

        def advance_rows(part: slice, left=left, c=correlations, e=errors) -> None:
            advance(
                left[part], c[part].numpy(), e[part].numpy(), shared, positive, tol, max_iter,
                *by_row, done, progress, sets.atoms, sets.z, sets.sizes, sets.known, sets.blocks,
            )  # fmt: skip

        run_in_threads(advance_rows, len(left), n_jobs)
        _store(sets, left[done[left]], codes)
        left = left[~done[left]]
        correlations, errors = correlate(residuals[left], alpha[left])
    return n_iter, gaps


def _store(sets: _WorkingSets, rows: np.ndarray, codes: Tensor) -> None:
    """Write the working sets' codes into the rows of ``codes``."""
    dense = codes.numpy()
    for i in rows:
        size = sets.sizes[i]
        dense[i] = 0
        dense[i, sets.atoms[i, :size]] = sets.z[i, :size]


@kernel
def _extend_block(block, dictionary, atoms, known, size):
    """Fill in the rows and columns of the working set's Gram block from ``known`` on."""
    for p in range(known, size):
        atom = dictionary[atoms[p]]
        for q in range(p + 1):
            block[p, q] = block[q, p] = product(atom, dictionary[atoms[q]])


@kernel
def advance(
    rows, c, errors, dictionary, positive, tol, max_iter, X, alphas, n_iter, gaps, residuals, done,
    progress, working, codes, sizes, known, blocks,
):  # fmt: skip
    """One round of every sample in ``rows``, whose correlations are ``c``, to ``errors``.

    ``progress[i]`` holds the gap to reach by the working set's own arithmetic, the accuracy of its
    solution, the least gap so far, and how many rounds went without progress.
    """
    n_components, n_features = dictionary.shape
    width = working.shape[1]
    tops = np.empty((n_components - 1) // SEGMENT + 1, dictionary.dtype)
    residual, exact = np.empty(n_features), np.empty(width)
    u, b, step = np.empty((3, width), dictionary.dtype)
    support = np.empty(width, dtype=np.int64)
    factor = np.empty((width, width), dictionary.dtype)
    for m in range(len(rows)):
        i = rows[m]
        x, alpha, z, atoms, block, size = X[i], alphas[i], codes[i], working[i], blocks[i], sizes[i]
        energy = 0.0
        for k in range(n_features):
            energy += np.float64(x[k]) * np.float64(x[k])
        _set_aside(c[m], atoms, 0, size, u)
        segment_maxima(c[m], positive, SEGMENT, tops)
        before = size
        bar = alpha - errors[m]
        size = _add_violators(c[m], tops, bar, positive, atoms, size, u, _BATCH)
        z[before:size] = 0
        _extend_block(block, dictionary, atoms, known[i], size)
        for p in range(size):
            if errors[m] > 0:
                u[p] = product(dictionary[atoms[p]], residuals[i])
            b[p] = u[p] + product(block[p, :before], z[:before])
        peak = max(largest(u, 0, size, positive), largest(tops, 0, len(tops), True))
        gap = _gap(energy, z, b, u, size, alpha, peak)
        last = n_iter[i] == max_iter or progress[i, 3] == _PATIENCE
        if gap <= progress[i, 0] or last:
            gaps[i] = _certify(
                x, dictionary, c[m], errors[m], tops, z, atoms, size, alpha, positive, peak,
                residual, exact, support,
            )  # fmt: skip
            done[i] = last or gaps[i] <= tol * 0.5 * energy
            progress[i, 0] *= 0.1
        if not done[i]:
            if size > before:
                progress[i, 3] = 0
            else:
                progress[i, 1] *= 0.1
                progress[i, 3] = 0 if gap < 0.99 * progress[i, 2] else progress[i, 3] + 1
            progress[i, 2] = min(progress[i, 2], gap)
            _minimize_on_working_set(
                energy, z, b, u, block, size, alpha, positive, max(progress[i, 1], _LOOSE * gap),
                support, factor, step,
            )  # fmt: skip
            residuals[i] = x
            subtract_rows(residuals[i], z, dictionary, atoms, size)
            sizes[i] = known[i] = size
            n_iter[i] += 1
