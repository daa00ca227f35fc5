"""A step of linear autoencoders, compiled: for each model, everything from the encoder to the
gradients a block of samples at a time, which stays in the processor's first caches.

A block is a flat array of rows, one for each latent or feature, of `_WIDTH` samples each. As that
is a constant, the compiler knows that rows do not overlap, and vectorizes over the samples.
Products take four rows by four, so that a number is loaded once for four uses; rows and columns of
all matrices are filled up with zeros to multiples of four. Symbols are those of `_net`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..._numba import ANY_ORDER, kernel, leaf
from ..._threads import run_in_threads

_WIDTH = 128
_PARAMETERS = ("encoder.weight", "encoder.bias", "decoder.dictionary", "decoder.intercept")

# NaN must stay NaN: divergence is known by it.
_compiled = leaf(fastmath=ANY_ORDER)


def compiled_step(
    X: Tensor,
    learned: Tensor,
    grad: Tensor,
    layout: dict[str, tuple],
    fixed: dict[str, Tensor],
    settings: dict[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """Compute the losses of a batch and, where there is room for them, the gradients.

    Parameters
    ----------
    X : Tensor of shape (n_models, n_features, n)
        A batch for each model.
    learned : Tensor of shape (n_models, n_parameters)
        All that is learned, a row a model.
    grad : Tensor of shape (n_models, n_parameters) or (n_models, 0)
        Where the gradients go.
    layout, fixed, settings : dict
        Attributes of `BatchedNet`.

    Returns
    -------
    loss : Tensor of shape (n_models,)
        The losses.
    fired : Tensor of shape (n_models, n_components)
        On how many samples each latent is active.
    """
    n_components, n_features = layout["encoder.weight"][2]
    places = tuple(layout.get(name, (0, 0))[:2] for name in _PARAMETERS)
    dictionary = fixed["decoder.dictionary"].flatten(1) if fixed else learned[:, slice(*places[2])]
    alpha = settings["alpha"]
    k = settings.get("k", torch.full_like(alpha, n_components))
    gamma = settings.get("squared_weights", X.new_ones(len(X), n_features))
    loss, fired = torch.zeros_like(alpha), X.new_zeros(len(X), n_components)
    batch = X[:1] if X.stride(0) == 0 else X  # one for all is not copied
    tensors = batch.contiguous(), learned, dictionary.contiguous(), gamma, alpha, k
    arrays = [tensor.numpy() for tensor in (*tensors, loss, fired, grad)]
    n_spare = 5 + int(k.max()) if "k" in settings else 0

    def take(models: slice) -> None:
        memory = _memory(X, n_components, n_features, n_spare)
        _step(models.start, models.stop, places, *arrays, *memory)

    run_in_threads(take, len(X), torch.get_num_threads())
    return loss, fired


def _memory(X: Tensor, n_components: int, n_features: int, n_spare: int) -> tuple:
    """Return zeros for the matrices, the totals and the blocks of a thread.

    Memory of torch begins where a cache line does: vectors across two take twice as long.
    """
    rows, columns = -(-n_components // 4) * 4, -(-n_features // 4) * 4
    matrices = tuple(X.new_zeros(4, rows, columns).numpy())
    totals = X.new_zeros(rows).numpy(), X.new_zeros(columns).numpy()
    heights = columns, columns, rows, rows, n_spare
    blocks = tuple(X.new_zeros(height * _WIDTH).numpy() for height in heights)
    return matrices, totals, blocks


@kernel(fastmath=ANY_ORDER, _nrt=False)
def _step(
    first, last, places, X, learned, dictionary, gamma, alpha, k, loss, fired, grad,
    matrices, totals, blocks,
):  # fmt: skip
    """Take models first to last - 1 through a batch of shape (1 or n_models, n_features, n)."""
    weight, bias, atoms, center = places
    W, dW, D, dD = matrices
    db, dc = totals
    x, r, z, g, spare = blocks
    n_components, n_features, n_samples = fired.shape[1], X.shape[1], X.shape[2]
    share = X.dtype.type(1 / n_samples)
    for m in range(first, last):
        _read(learned[m], weight, W, n_features)
        _read(dictionary[m], (0, dictionary.shape[1]), D, n_features)
        b, c = learned[m, bias[0] : bias[1]], learned[m, center[0] : center[1]]
        dW[:], dD[:], db[:], dc[:] = 0, 0, 0, 0
        for start in range(0, n_samples, _WIDTH):
            n = _load(X[m % len(X)], start, c, x, r)
            _fill(z, b)
            _add_product(z, W, x)
            _rectify(z, n)
            if k[m] < n_components:
                _keep_largest(z, int(k[m]), spare)
            _add_product(r, D.T, z)
            energy = _weigh(r, gamma[m], share, dc)
            loss[m] += energy / 2 + alpha[m] * share * _count(z, fired[m])
            if grad.size:
                _add_outer_product(dD, z, r)
                g[:] = alpha[m] * share
                _add_product(g, D, r)
                _mask(g, z, db)
                _add_outer_product(dW, g, x)
        if grad.size:
            _subtract_product(dc, db, W)
            _write(grad[m], weight, dW, n_features)
            _write(grad[m], bias, db.reshape((1, len(db))), n_components)
            _write(grad[m], atoms, dD, n_features)
            _write(grad[m], center, dc.reshape((1, len(dc))), n_features)


@_compiled
def _read(row, place, matrix, n_columns):
    """Fill a matrix with what is at a place in a row."""
    values = row[place[0] : place[1]]
    for i in range(len(values) // n_columns):
        for j in range(n_columns):
            matrix[i, j] = values[i * n_columns + j]


@_compiled
def _write(row, place, matrix, n_columns):
    """Write a matrix to its place in a row, if it has one."""
    values = row[place[0] : place[1]]
    for i in range(len(values) // n_columns):
        for j in range(n_columns):
            values[i * n_columns + j] = matrix[i, j]


@_compiled
def _subtract_product(out, vector, matrix):
    """out -= vector matrix."""
    for i in range(len(vector)):
        for j in range(len(out)):
            out[j] -= vector[i] * matrix[i, j]


@_compiled
def _load(X, start, center, x, r):
    """X and R = the centered samples from start on, and minus them; return how many there are."""
    n = min(_WIDTH, X.shape[1] - start)
    r[len(X) * _WIDTH :] = 0
    for f in range(len(X)):
        row, negative = x[f * _WIDTH : (f + 1) * _WIDTH], r[f * _WIDTH : (f + 1) * _WIDTH]
        source, c = X[f, start : start + n], center[f] if len(center) else X.dtype.type(0)
        for s in range(n):
            row[s], negative[s] = source[s] - c, c - source[s]
        row[n:] = negative[n:] = 0
    return n


@_compiled
def _fill(block, values):
    """Row i = values[i], zeros where there are none."""
    block[:] = 0
    for i in range(len(values)):
        block[i * _WIDTH : (i + 1) * _WIDTH] = values[i]


@_compiled
def _add_product(out, matrix, block):
    """out += matrix block, four rows by four."""
    for i in range(0, matrix.shape[0], 4):
        o, a, b, c, d = out[i * _WIDTH :], matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(0, matrix.shape[1], 4):
            rows = block[j * _WIDTH :]
            a0, a1, a2, a3 = a[j], a[j + 1], a[j + 2], a[j + 3]
            b0, b1, b2, b3 = b[j], b[j + 1], b[j + 2], b[j + 3]
            c0, c1, c2, c3 = c[j], c[j + 1], c[j + 2], c[j + 3]
            d0, d1, d2, d3 = d[j], d[j + 1], d[j + 2], d[j + 3]
            for s in range(_WIDTH):
                x0, x1, x2, x3 = _four(rows, s)
                o[s] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                o[s + _WIDTH] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                o[s + 2 * _WIDTH] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                o[s + 3 * _WIDTH] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@_compiled
def _add_outer_product(out, left, right):
    """out += left right^T, four rows by four."""
    zero = out.dtype.type(0)
    for i in range(0, out.shape[0], 4):
        upper = left[i * _WIDTH :]
        for j in range(0, out.shape[1], 4):
            lower = right[j * _WIDTH :]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
            c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = zero
            for s in range(_WIDTH):
                a, b, c, d = _four(upper, s)
                x0, x1, x2, x3 = _four(lower, s)
                a0, a1, a2, a3 = a0 + a * x0, a1 + a * x1, a2 + a * x2, a3 + a * x3
                b0, b1, b2, b3 = b0 + b * x0, b1 + b * x1, b2 + b * x2, b3 + b * x3
                c0, c1, c2, c3 = c0 + c * x0, c1 + c * x1, c2 + c * x2, c3 + c * x3
                d0, d1, d2, d3 = d0 + d * x0, d1 + d * x1, d2 + d * x2, d3 + d * x3
            _add_four(out[i], j, a0, a1, a2, a3)
            _add_four(out[i + 1], j, b0, b1, b2, b3)
            _add_four(out[i + 2], j, c0, c1, c2, c3)
            _add_four(out[i + 3], j, d0, d1, d2, d3)


@_compiled
def _four(rows, s):
    """Sample s of four rows."""
    return rows[s], rows[s + _WIDTH], rows[s + 2 * _WIDTH], rows[s + 3 * _WIDTH]


@_compiled
def _add_four(row, j, a, b, c, d):
    row[j] += a
    row[j + 1] += b
    row[j + 2] += c
    row[j + 3] += d


@_compiled
def _rectify(z, n):
    """Keep what is positive of the first n samples; the block's others are none."""
    zero = z.dtype.type(0)
    for i in range(0, len(z), _WIDTH):
        row = z[i : i + _WIDTH]
        for s in range(_WIDTH):
            row[s] = zero if row[s] <= zero else row[s]
        row[n:] = zero


@_compiled
def _keep_largest(z, k, spare):
    """Keep the k largest codes of each sample; of equal ones the first.

    The k largest so far are held in order. Each code moves along them, four at a time: wherever it
    is larger it takes the place, and what was there moves on.
    """
    zero, one = z.dtype.type(0), z.dtype.type(1)
    tops, moving, room = spare[: k * _WIDTH], spare[k * _WIDTH :], spare[(k + 4) * _WIDTH :]
    tops[:] = zero
    for i in range(0, len(z), 4 * _WIDTH):
        rows = z[i : i + 4 * _WIDTH]
        for s in range(4 * _WIDTH):
            moving[s] = rows[s]
        for j in range(0, k * _WIDTH, _WIDTH):
            top = tops[j : j + _WIDTH]
            for s in range(_WIDTH):
                a, b, c, d = _four(moving, s)
                t, moving[s] = _in_order(top[s], a)
                t, moving[s + _WIDTH] = _in_order(t, b)
                t, moving[s + 2 * _WIDTH] = _in_order(t, c)
                top[s], moving[s + 3 * _WIDTH] = _in_order(t, d)
    least = tops[(k - 1) * _WIDTH :]
    room[:_WIDTH] = zero  # for how many that equal the least there is room
    for j in range(0, k * _WIDTH, _WIDTH):
        top = tops[j : j + _WIDTH]
        for s in range(_WIDTH):
            room[s] += one if top[s] == least[s] else zero
    for i in range(0, len(z), _WIDTH):
        row = z[i : i + _WIDTH]
        for s in range(_WIDTH):
            equal = row[s] == least[s]
            row[s] = zero if (row[s] < least[s]) | (equal & (room[s] <= zero)) else row[s]
            room[s] -= one if equal else zero


@_compiled
def _in_order(a, b):
    return (a, b) if a > b else (b, a)


@_compiled
def _weigh(r, gamma, share, totals):
    """R *= gamma share, its sums over the samples are added to totals; return its energy before."""
    energy = r.dtype.type(0)
    for f in range(len(gamma)):
        row, weight = r[f * _WIDTH : (f + 1) * _WIDTH], gamma[f] * share
        total = part = r.dtype.type(0)
        for s in range(_WIDTH):
            weighted = weight * row[s]
            part += weighted * row[s]
            total += weighted
            row[s] = weighted
        energy += part
        totals[f] += total
    return energy


@_compiled
def _count(z, fired):
    """Add to fired on how many samples each latent is active; return the sum of all codes."""
    zero, one = z.dtype.type(0), z.dtype.type(1)
    norm = zero
    for i in range(len(fired)):
        row = z[i * _WIDTH : (i + 1) * _WIDTH]
        total = count = zero
        for s in range(_WIDTH):
            total += row[s]
            count += one if row[s] > zero else zero
        norm += total
        fired[i] += count
    return norm


@_compiled
def _mask(g, z, totals):
    """Clear the gradients of codes that are not active; add their sums over samples to totals."""
    zero = z.dtype.type(0)
    for i in range(len(totals)):
        row, codes = g[i * _WIDTH : (i + 1) * _WIDTH], z[i * _WIDTH : (i + 1) * _WIDTH]
        total = zero
        for s in range(_WIDTH):
            row[s] = row[s] if codes[s] > zero else zero
            total += row[s]
        totals[i] += total
