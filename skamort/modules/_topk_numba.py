"""The k largest entries of wide rows, compiled: each row is read once, at the speed of memory.

A block is every stride-th column of a row, so that the maxima of all blocks together are
elementwise ones of long vectors. A bound that k of these maxima reach leaves few candidates: the
entries that reach it, which are all in blocks whose maximum does. Among them the k largest are
found by bisection.

Floats > 0 are in the order of their bits, read as integers, and these the compiler vectorizes.
"""

import numpy as np

from .._numba import inner, kernel

_BLOCK = 16


@kernel(fastmath=False, error_model="python")
def select_rows(bits, k, columns):
    """Write the columns of the k largest entries of each row, in no order.

    Parameters
    ----------
    bits : array of shape (n, n_components), signed integers
        The bits of floats; at least ``16 * k`` a row.
    k : int
        Number of entries.
    columns : array of shape (n, k), int64
        Where the result goes.
    """
    n, n_components = bits.shape
    sign = bits.itemsize * 8 - 1
    maxima = np.empty(n_components // _BLOCK, bits.dtype)
    ordered = np.empty(n_components, bits.dtype)
    values = np.empty(n_components, bits.dtype)
    places = np.empty(n_components, np.int64)
    for i in range(n):
        row = bits[i]
        _maximize(row, maxima)
        bound = _bound(maxima, len(maxima), k, k // 4)
        if bound <= 0:  # the k largest are not all > 0: below, the order of the bits is reversed
            for j in range(n_components):
                ordered[j] = row[j] ^ ((row[j] >> sign) & ((1 << sign) - 1))
            row = ordered
            _maximize(row, maxima)
            bound = _bound(maxima, len(maxima), k, k // 4)
        found = _candidates(row, maxima, bound, values, places)
        bound = _bound(values, found, k, 0)
        n_equal = k
        for c in range(found):
            n_equal -= values[c] > bound
        kept = 0
        for c in range(found):
            if values[c] > bound or (values[c] == bound and n_equal > 0):
                n_equal -= values[c] == bound
                columns[i, kept] = places[c]
                kept += 1


@inner(fastmath=False, error_model="python")
def _maximize(row, maxima):
    """Find the maximum of each block."""
    stride = len(maxima)
    for j in range(stride):
        maxima[j] = row[j]
    for start in range(stride, len(row), stride):
        part = row[start : start + stride]
        for j in range(len(part)):
            maxima[j] = max(maxima[j], part[j])


@inner(fastmath=False, error_model="python")
def _bound(values, n, k, slack):
    """Find a bound that k to k + slack of the first n values reach, or more where some are equal.

    Without slack it is the k-th largest value.
    """
    low, high = values[0], values[0]
    for i in range(n):
        low, high = min(low, values[i]), max(high, values[i])
    if k == 1:
        return high
    while low < high:
        middle = (low >> 1) + (high >> 1) + 1  # in the upper half, without overflow
        count = 0
        for i in range(n):
            count += values[i] >= middle
        if count < k:
            high = middle - 1
        else:
            low = middle
            if count <= k + slack:
                break
    return low


@inner(fastmath=False, error_model="python")
def _candidates(row, maxima, bound, values, places):
    """Write the entries that reach a bound, and their columns; return how many there are."""
    found, stride = 0, len(maxima)
    for block in range(stride):
        if maxima[block] >= bound:
            for j in range(block, len(row), stride):
                values[found] = row[j]
                places[found] = j
                found += row[j] >= bound
    return found
