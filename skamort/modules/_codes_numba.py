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
def multiply_rows(Y, matrix, indices, offsets, products):
    """Write the scalar products of each row of Y with some rows of a matrix.

    Parameters
    ----------
    Y : array of shape (n, n_features)
        Rows.
    matrix : array of shape (n_rows, n_features)
        More rows.
    indices : array of shape (n_products,), int64
        Which of them are wanted.
    offsets : array of shape (n + 1,), int64
        Where those for each row of Y begin, and where the last ones end.
    products : array of shape (n_products,)
        Where ``Y[i] @ matrix[indices[t]]`` goes.
    """
    zero = Y.dtype.type(0)
    for i in range(len(Y)):
        row, first, end = Y[i], offsets[i], offsets[i + 1]
        fours = end - (end - first) % 4
        for t in range(first, fours, 4):
            a, b, c, d = (
                matrix[indices[t]],
                matrix[indices[t + 1]],
                matrix[indices[t + 2]],
                matrix[indices[t + 3]],
            )
            p = q = r = s = zero
            for f in range(len(row)):
                p += row[f] * a[f]
                q += row[f] * b[f]
                r += row[f] * c[f]
                s += row[f] * d[f]
            products[t], products[t + 1], products[t + 2], products[t + 3] = p, q, r, s
        for t in range(fours, end):
            a, p = matrix[indices[t]], zero
            for f in range(len(row)):
                p += row[f] * a[f]
            products[t] = p
