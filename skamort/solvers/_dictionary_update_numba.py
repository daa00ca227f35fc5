"""The part of the dictionary's update that is sequential, compiled."""

from __future__ import annotations

import math

import numpy as np

from .._numba import kernel, leaf

# Squared lengths that are far from the ends of the numbers of both dtypes.
_SMALL, _LARGE = 1e-60, 1e60


@leaf
def _energy(target, least):
    """||t||^2 in float64, of what is not less than ``least``."""
    energy = 0.0
    for f in range(len(target)):
        energy += np.float64(max(target[f], least)) ** 2
    return energy


@leaf
def _scale(target, least):
    """Bring a target to a size of 1/2 to 1, by a power of two, which changes no bit of an atom."""
    size = np.float64(np.finfo(target.dtype).tiny)
    for f in range(len(target)):
        size = max(size, abs(np.float64(max(target[f], least))))
    scale = math.ldexp(1.0, -math.frexp(size)[1])
    for f in range(len(target)):
        target[f] = np.float64(target[f]) * scale


@leaf
def _normalize(target, least, atom):
    """Put the direction of a target in the place of an atom, and what the atom loses in that of the
    target; False where there is no direction."""
    energy = _energy(target, least)
    if not _SMALL < energy < _LARGE:
        _scale(target, least)
        energy = _energy(target, least)
    if energy <= 0:
        return False
    inverse = atom.dtype.type(1 / np.sqrt(energy))
    for f in range(len(target)):
        new = max(target[f], least) * inverse
        target[f] = atom[f] - new
        atom[f] = new
    return True


@leaf
def _size(target):
    size = 0.0
    for f in range(len(target)):
        size = max(size, abs(np.float64(target[f])))
    return size


@leaf
def _leave_out(target, dictionary, gram, cross, own):
    """Compute a target anew, without its own atom from the beginning."""
    for f in range(len(target)):
        target[f] = cross[f]
    for k in range(len(dictionary)):
        if k != own and gram[k] != 0:
            for f in range(len(target)):
                target[f] -= gram[k] * dictionary[k, f]


@kernel
def update_block(dictionary, targets, gram, cross, usage, first, lost, positive):
    """Normalize each target in turn into its atom, and correct the targets that follow; of a target
    that is so small beside its atom's usage rounding has left too little."""
    n_atoms, n_features = targets.shape
    least = targets.dtype.type(0 if positive else -np.inf)
    for j in range(n_atoms):
        change = targets[j]
        if usage[j] > 0 and _size(change) < lost * usage[j]:
            _leave_out(change, dictionary, gram[j], cross[j], first + j)
        if usage[j] <= 0 or not _normalize(change, least, dictionary[first + j]):
            continue
        for i in range(j + 1, n_atoms):
            weight, target = gram[i, first + j], targets[i]
            if weight != 0:
                for f in range(n_features):
                    target[f] += weight * change[f]


@kernel
def update_atoms(atoms, residual, rows, values, weighted, stops, inertia, positive):
    """Normalize each target in turn into its atom, and let the residual of its rows follow."""
    n_atoms, n_features = atoms.shape
    target = np.empty(n_features, atoms.dtype)
    least = atoms.dtype.type(0 if positive else -np.inf)
    start = 0
    for j in range(n_atoms):
        stop = stops[j]
        own = inertia[j]
        for i in range(start, stop):
            own += weighted[i] * values[i]
        for f in range(n_features):
            target[f] = own * atoms[j, f]
        for i in range(start, stop):
            weight, row = weighted[i], residual[rows[i]]
            for f in range(n_features):
                target[f] += weight * row[f]
        if stop > start and _normalize(target, least, atoms[j]):
            for i in range(start, stop):
                weight, row = values[i], residual[rows[i]]
                for f in range(n_features):
                    row[f] += weight * target[f]
        start = stop
