"""The largest products of a row with the rows of a matrix, among those that a screen leaves.

Of upper bounds on all products of a row the largest choose some k. No product of the k largest is
below the least of theirs, so that only rows of the matrix whose bound reaches it need one too. Of
products above a given bound the upper bounds are too. All products come from `_multiply`: which
are kept, and their bits, do not depend on the screen.
"""

import numpy as np

from .._numba import ANY_ORDER, inner, kernel
from ._topk_numba import _BLOCK, _bound, _maximize

_LARGEST = np.int32(np.iinfo(np.int32).max)
_AT_ONCE = 4
_RUN = 64


@kernel(fastmath=False, error_model="python")
def select_products(
    screen, slopes, rounding, X, lengths, matrix, bias, k, signed, most, values, columns, done
):
    """Write the k largest of X @ matrix.T + bias in each row, with 0 for those that are not > 0.

    Parameters
    ----------
    screen : array of shape (n, n_rows), float32
        ``X @ matrix.T``, but for errors of less than ``slopes[i] * lengths[j] + rounding *
        |screen[i, j]|``, those of `_multiply` included.
    slopes : array of shape (n,), float32
        See `screen`.
    rounding : float32
        See `screen`.
    X : array of shape (n, n_features), float32
        Rows.
    lengths : array of shape (n_rows,), float32
        See `screen`.
    matrix : array of shape (n_rows, n_features), float32
        More rows, at least ``16 * k``.
    bias : array of shape (n_rows,), float32
        What is added to the products.
    k : int
        How many are kept, of equal ones the first.
    signed : bool
        Whether the largest in magnitude are kept, with their sign.
    most : int
        Products to compute for a row; one that needs more is left undone.
    values : array of shape (n, k), float32
        Where the result goes.
    columns : array of shape (n, k), int64
        Where the rows of the matrix that are kept go, all different and in order.
    done : array of shape (n,), bool
        Where the result says which rows are done.
    """
    n, n_rows = screen.shape
    uppers = np.empty(n_rows, np.float32)
    bits = uppers.view(np.int32)  # in the order of the floats that are > 0
    maxima = np.empty(n_rows // _BLOCK, np.int32)
    places = np.empty(n_rows + _AT_ONCE, np.int64)
    products = np.empty(n_rows + _AT_ONCE, np.float32)
    sizes = np.empty(n_rows + _AT_ONCE, np.float32)
    size_bits = sizes.view(np.int32)
    start = np.int64(0)  # for a number that it knows numba would compile once more
    for i in range(n):
        _bound_above(screen[i], slopes[i], rounding, lengths, bias, uppers)
        if signed:
            _bound_magnitudes(screen[i], slopes[i], rounding, lengths, bias, uppers)
        _maximize(bits, maxima)
        bound = max(np.int32(1), _bound(maxima, len(maxima), k, k // 4))
        first = _collect(bits, maxima, bound, _LARGEST, places, start)
        found = first
        if first <= most:
            _multiply(X[i], matrix, places, start, first, products)
            _activate(products, bias, places, start, first, signed, sizes)
            least = _least(size_bits, first, k)
            found = _collect(bits, maxima, least, bound - 1, places, first)
        done[i] = found <= most
        if done[i]:
            _multiply(X[i], matrix, places, first, found, products)
            _activate(products, bias, places, first, found, signed, sizes)
            least = _least(size_bits, found, k)
            _keep(products, size_bits, places, found, least, values[i], columns[i])


@kernel(fastmath=False, error_model="python")
def collect_products(
    screen, slopes, rounding, X, lengths, matrix, bias, bound, most, values, columns, counts
):
    """Write the entries of X @ matrix.T + bias above a bound >= 0, row after row and in order of
    columns, and return how many there are.

    Parameters
    ----------
    screen, slopes, rounding, X, lengths, matrix, bias : array or float32
        As in `select_products`.
    bound : float32
        The bound.
    most : int
        Products to compute for a row; one that needs more is left out.
    values : array of shape (n * most,), float32
        Where the entries go.
    columns : array of shape (n * most,), int64
        Where their columns go.
    counts : array of shape (n,), int64
        Where their number goes, -1 for a row that is left out.
    """
    n, n_rows = screen.shape
    uppers = np.empty(n_rows, np.float32)
    places = np.empty(n_rows + _AT_ONCE, np.int64)
    products = np.empty(n_rows + _AT_ONCE, np.float32)
    total = 0
    for i in range(n):
        _bound_above(screen[i], slopes[i], rounding, lengths, bias, uppers)
        found = _collect_in_order(uppers, bound, places)
        counts[i] = -1
        if found <= most:
            _multiply(X[i], matrix, places, np.int64(0), found, products)
            start = total
            for c in range(found):
                values[total], columns[total] = products[c] + bias[places[c]], places[c]
                total += values[total] > bound
            counts[i] = total - start
    return total


@inner(fastmath=False, error_model="python")
def _bound_above(row, slope, rounding, lengths, bias, uppers):
    """Write upper bounds on a row's entries; the bias comes last, for to add it is monotone."""
    for j in range(len(row)):
        uppers[j] = (row[j] + (slope * lengths[j] + rounding * abs(row[j]))) + bias[j]


@inner(fastmath=False, error_model="python")
def _bound_magnitudes(row, slope, rounding, lengths, bias, uppers):
    """Let upper bounds on a row's entries be those on their magnitudes."""
    for j in range(len(row)):
        lower = (row[j] - (slope * lengths[j] + rounding * abs(row[j]))) + bias[j]
        uppers[j] = max(uppers[j], -lower)


@inner(fastmath=False, error_model="python")
def _collect_in_order(uppers, bound, places):
    """Write the places of all numbers above a bound; return how many there are."""
    found = 0
    for start in range(0, len(uppers), _RUN):
        run = uppers[start : start + _RUN]
        above = 0
        for j in range(len(run)):
            above += run[j] > bound
        if above:
            for j in range(len(run)):
                places[found] = start + j
                found += run[j] > bound
    return found


@inner(fastmath=False, error_model="python")
def _least(size_bits, found, k):
    """Return the bits of the k-th largest size, or of the least number > 0."""
    return max(np.int32(1), _bound(size_bits, found, k, 0)) if found >= k else np.int32(1)


@inner(fastmath=False, error_model="python")
def _collect(bits, maxima, low, high, places, found):
    """Append the places of all bits from low to high; return how many there are now."""
    stride = len(maxima)
    for block in range(stride):
        if maxima[block] >= low:
            for j in range(block, len(bits), stride):
                places[found] = j
                found += low <= bits[j] <= high
    return found


@kernel(fastmath=ANY_ORDER, error_model="python")
def _multiply(x, matrix, places, first, found, products):
    """Write the products of x with some rows of a matrix, several at once, which hides how long the
    memory takes to find each."""
    places[found : found + _AT_ONCE] = 0
    for c in range(first, found, _AT_ONCE):
        v, w = matrix[places[c]], matrix[places[c + 1]]
        y, z = matrix[places[c + 2]], matrix[places[c + 3]]
        p = q = r = s = np.float32(0)
        for f in range(len(x)):
            p += x[f] * v[f]
            q += x[f] * w[f]
            r += x[f] * y[f]
            s += x[f] * z[f]
        products[c], products[c + 1], products[c + 2], products[c + 3] = p, q, r, s


@inner(fastmath=False, error_model="python")
def _activate(products, bias, places, first, found, signed, sizes):
    """Add the bias, and write the sizes of the sums: 0 where they are not > 0, if not signed."""
    for c in range(first, found):
        products[c] += bias[places[c]]
        size = abs(products[c]) if signed else products[c]
        sizes[c] = size if size > 0 else np.float32(0)


@inner(fastmath=False, error_model="python")
def _keep(products, size_bits, places, found, least, values, columns):
    """Write the k largest products, of equal ones the first, and 0 for none, in order of places."""
    k, kept = len(values), 0
    for c in range(found):
        if size_bits[c] > least:
            values[kept], columns[kept] = products[c], places[c]
            kept += 1
    last = -1
    while kept < k:
        place, equal = len(places), -1
        for c in range(found):
            if size_bits[c] == least and last < places[c] < place:
                place, equal = places[c], c
        if equal < 0:
            break
        values[kept], columns[kept], last = products[equal], place, place
        kept += 1
    place = 0
    while kept < k:
        if not (columns[:kept] == place).any():
            values[kept], columns[kept] = 0, place
            kept += 1
        place += 1
    _sort(columns, values)


@inner(fastmath=False, error_model="python")
def _sort(columns, values):
    """Sort a few columns, and their values with them."""
    for end in range(1, len(columns)):
        column, value, c = columns[end], values[end], end
        while c > 0 and columns[c - 1] > column:
            columns[c], values[c] = columns[c - 1], values[c - 1]
            c -= 1
        columns[c], values[c] = column, value
