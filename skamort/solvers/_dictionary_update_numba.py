"""The part of the dictionary's update that is sequential, compiled."""

from __future__ import annotations

import numpy as np

from .._numba import kernel


@kernel
def update_block(atoms, targets, gram, usage, positive):
    """Normalize each target in turn into its atom, and correct the targets that follow."""
    n_atoms, n_features = atoms.shape
    change = np.empty(n_features, atoms.dtype)
    least = atoms.dtype.type(0 if positive else -np.inf)
    for j in range(n_atoms):
        energy = 0.0
        for f in range(n_features):
            energy += np.float64(max(targets[j, f], least)) ** 2
        if usage[j] <= 0 or energy <= 0:
            continue
        inverse = atoms.dtype.type(1 / np.sqrt(energy))
        for f in range(n_features):
            new = max(targets[j, f], least) * inverse
            change[f] = atoms[j, f] - new
            atoms[j, f] = new
        for i in range(j + 1, n_atoms):
            weight = gram[i, j]
            if weight != 0:
                for f in range(n_features):
                    targets[i, f] += weight * change[f]


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
        energy = 0.0
        for f in range(n_features):
            energy += np.float64(max(target[f], least)) ** 2
        if stop > start and energy > 0:
            inverse = atoms.dtype.type(1 / np.sqrt(energy))
            for f in range(n_features):
                new = max(target[f], least) * inverse
                target[f] = atoms[j, f] - new
                atoms[j, f] = new
            for i in range(start, stop):
                weight, row = values[i], residual[rows[i]]
                for f in range(n_features):
                    row[f] += weight * target[f]
        start = stop
