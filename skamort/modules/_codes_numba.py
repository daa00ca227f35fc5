"""Products of sparse codes with matrices, compiled.

Four rows are read at once, which hides how long the memory takes to find each.
"""

from .._numba import ANY_ORDER, kernel


@kernel(fastmath=ANY_ORDER, error_model="python")
def sum_rows(weights, rows, offsets, matrix, sums):
    """Write weighted sums of rows of a matrix.

    Parameters
    ----------
    weights : array of shape (n_terms,)
        Weight of each term.
    rows : array of shape (n_terms,), int64
        Row of each term.
    offsets : array of shape (n_sums + 1,), int64
        Where the terms of each sum begin, and where the last ones end.
    matrix : array of shape (n_rows, n_features)
        The rows.
    sums : array of shape (n_sums, n_features)
        Where the result goes.
    """
    for s in range(len(sums)):
        total, first, end = sums[s], offsets[s], offsets[s + 1]
        total[:] = 0
        fours = end - (end - first) % 4
        for t in range(first, fours, 4):
            w, x, y, z = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
            a, b, c, d = (
                matrix[rows[t]],
                matrix[rows[t + 1]],
                matrix[rows[t + 2]],
                matrix[rows[t + 3]],
            )
            for f in range(len(total)):
                total[f] += w * a[f] + x * b[f] + y * c[f] + z * d[f]
        for t in range(fours, end):
            w, a = weights[t], matrix[rows[t]]
            for f in range(len(total)):
                total[f] += w * a[f]


@kernel(fastmath=ANY_ORDER, error_model="python")
def multiply_rows(Y, matrix, indices, products):
    """Write the scalar products of each row of Y with some rows of a matrix.

    Parameters
    ----------
    Y : array of shape (n, n_features)
        Rows.
    matrix : array of shape (n_rows, n_features)
        More rows.
    indices : array of shape (n, k), int64
        Which of them are wanted.
    products : array of shape (n, k)
        Where ``Y[i] @ matrix[indices[i, j]]`` goes.
    """
    k, zero = indices.shape[1], Y.dtype.type(0)
    for i in range(len(Y)):
        row, chosen, out = Y[i], indices[i], products[i]
        for j in range(0, k - k % 4, 4):
            a, b, c, d = (
                matrix[chosen[j]],
                matrix[chosen[j + 1]],
                matrix[chosen[j + 2]],
                matrix[chosen[j + 3]],
            )
            p = q = r = s = zero
            for f in range(len(row)):
                p += row[f] * a[f]
                q += row[f] * b[f]
                r += row[f] * c[f]
                s += row[f] * d[f]
            out[j], out[j + 1], out[j + 2], out[j + 3] = p, q, r, s
        for j in range(k - k % 4, k):
            a, p = matrix[chosen[j]], zero
            for f in range(len(row)):
                p += row[f] * a[f]
            out[j] = p
