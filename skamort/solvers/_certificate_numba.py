"""The certificate of one sample in float64, compiled: few atoms are looked at again.

The correlations c of all atoms are known to rounding, or to a bound that is larger. Only those that
could be the largest are computed again from the residual.
"""

from __future__ import annotations

import numpy as np

from .._numba import leaf, part
from ._numba_tools import copy, hide, subtract_rows

# Atoms whose largest correlation is kept, so that picking one does not look at all others.
SEGMENT = 64
# Roundings, times the root of the number of terms, that a correlation can be wrong by.
_ROUNDINGS = 16
_EPS = np.finfo(np.float64).eps


@part
def certify(
    x, seen, dictionary, c, error, tops, z, working, size, alpha, positive, peak, residual, exact,
    atoms,
):  # fmt: skip
    """Duality gap in float64; of the atoms outside the working set only those are recomputed that
    ``error``, or rounding, could have hidden from ``peak``. ``seen`` is as `hide` takes it."""
    n_features = len(x)
    l1, used = nonzeros(z, working, size, exact, atoms)
    copy(residual, x)
    subtract_rows(residual, exact, dictionary, atoms, used)
    hide(residual, seen)
    energy, fit, length = 0.0, 0.0, 0.0
    for k in range(n_features):
        energy += residual[k] * residual[k]
        fit += residual[k] * np.float64(x[k])
        length += np.float64(x[k]) * np.float64(x[k])
    doubt = _ROUNDINGS * np.finfo(c.dtype).eps * np.sqrt(n_features + size)
    # The largest may be too high by the error, and the one that it hides too low.
    doubt = doubt * (np.sqrt(length) + l1) + 2 * error
    exact_peak = _exact_peak(dictionary, c, tops, positive, peak - doubt, residual)
    for p in range(size):
        exact[p] = _dot(dictionary[working[p]], residual)
        exact_peak = max(exact_peak, exact[p] if positive else abs(exact[p]))
    scale = max(fit, 0.0) / energy if energy > 0 else 0.0
    limit = dual_limit(alpha, _EPS, n_features + size, length, l1)
    if scale * exact_peak > limit:
        scale = limit / exact_peak
    gap = 0.5 * (1 - scale) ** 2 * energy
    for p in range(size):
        if z[p] != 0:
            slack = limit - scale * (exact[p] if z[p] > 0 else -exact[p])
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
def _dot(atom, residual):
    total = 0.0
    for k in range(len(atom)):
        total += np.float64(atom[k]) * residual[k]
    return total


@leaf
def nonzeros(z, working, size, weights, atoms):
    """The non-zeros of z and their atoms; their L1 norm, and how many they are."""
    l1, used = 0.0, 0
    for p in range(size):
        if z[p] != 0:
            weights[used], atoms[used] = z[p], working[p]
            l1 += abs(np.float64(z[p]))
            used += 1
    return l1, used


@leaf
def dual_limit(alpha, eps, n_terms, energy, l1):
    """Largest correlation of a dual point: alpha, or what cannot be told from 0 where alpha is: no
    scaling would bring a rounding error below 0."""
    if alpha > 0:
        return np.float64(alpha)
    return _ROUNDINGS * eps * np.sqrt(n_terms) * (np.sqrt(energy) + l1)
