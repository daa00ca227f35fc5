"""A step of linear autoencoders, compiled: for each model, everything from the encoder to the
gradients a block of samples at a time, which stays in the processor's first caches.

A block is a flat array of rows, one for each latent or feature, of `_WIDTH` samples each. As that
is a constant, the compiler knows that rows do not overlap, and vectorizes over the samples.
Products take four rows by four, so that a number is loaded once for four uses; rows and columns of
all matrices are filled up with zeros to multiples of four. Symbols are those of `_stack`.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from .._threads import run_in_threads

_WIDTH = 128
_PARAMETERS = ("encoder.weight", "encoder.bias", "decoder.dictionary", "decoder.intercept")

# Sums may be reordered and fused, but NaN must stay NaN: divergence is known by it.
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}
_OPTIONS["fastmath"] = {"reassoc", "contract", "nsz"}
_kernel = njit(**_OPTIONS)
_leaf = njit(**_OPTIONS, _nrt=False)  # allocates nothing, and counts no references to its arrays


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
        Attributes of `NetStack`.

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
    tensors = batch, learned, dictionary.contiguous(), gamma, alpha, k, loss, fired, grad
    arrays = [tensor.numpy() for tensor in tensors]
    run_in_threads(
        lambda models: _step(models.start, models.stop, places, *arrays),
        len(X),
        torch.get_num_threads(),
    )
    return loss, fired


@_kernel
def _step(first, last, places, X, learned, dictionary, gamma, alpha, k, loss, fired, grad):
    """Take models first to last - 1 through a batch of shape (1 or n_models, n_features, n)."""
    weight, bias, atoms, center = places
    shape, share = (fired.shape[1], X.shape[1]), X.dtype.type(1 / X.shape[2])
    x, r = _block(shape[1], X.dtype), _block(shape[1], X.dtype)
    z, g = _block(shape[0], X.dtype), _block(shape[0], X.dtype)
    spare = _block(int(k.max()) + 5, X.dtype)
    for m in range(first, last):
        W = _in_fours(learned[m], weight, shape)
        D = _in_fours(dictionary[m], (0, shape[0] * shape[1]), shape)
        b = _in_fours(learned[m], bias, (1, shape[0]))[0]
        c = _in_fours(learned[m], center, (1, shape[1]))[0]
        D_T = D.T.copy()
        dW, dD, db, dc = np.zeros_like(W), np.zeros_like(D), np.zeros_like(b), np.zeros_like(c)
        for start in range(0, X.shape[2], _WIDTH):
            n = _load(X[m % len(X)], start, c, x, r)
            _fill(z, b)
            _add_product(z, W, x)
            _rectify(z, n)
            if k[m] < shape[0]:
                _keep_largest(z, int(k[m]), spare)
            _add_product(r, D_T, z)
            energy = _weigh(r, gamma[m], share, dc)
            loss[m] += energy / 2 + alpha[m] * share * _count(z, fired[m])
            if grad.size:
                _add_outer_product(dD, z, r)
                g[:] = alpha[m] * share
                _add_product(g, D, r)
                _mask(g, z, db)
                _add_outer_product(dW, g, x)
        dc -= (db.reshape(-1, 1) * W).sum(0)
        _write(grad[m], weight, dW[: shape[0], : shape[1]])
        _write(grad[m], bias, db[: shape[0]])
        _write(grad[m], atoms, dD[: shape[0], : shape[1]])
        _write(grad[m], center, dc[: shape[1]])


@_kernel
def _in_fours(row, place, shape):
    """Matrix of this shape from a row, or zeros, with sides filled up to multiples of four."""
    matrix = np.zeros((-(-shape[0] // 4) * 4, -(-shape[1] // 4) * 4), row.dtype)
    values = row[place[0] : place[1]]
    if len(values):
        matrix[: shape[0], : shape[1]] = values.reshape(shape)
    return matrix


@_kernel
def _write(row, place, values):
    """Write values to their place in a row, if there is one."""
    out = row[place[0] : place[1]]
    if len(out):
        out[:] = values.ravel()


@_kernel
def _block(n_rows, dtype):
    """Rows that start where a cache line does: vectors across two lines take twice as long."""
    itemsize, size = np.empty(1, dtype).itemsize, -(-n_rows // 4) * 4 * _WIDTH
    buffer = np.zeros(size + 64 // itemsize, dtype)
    start = -(buffer.ctypes.data // itemsize) % (64 // itemsize)
    return buffer[start : start + size]


@_leaf
def _load(X, start, center, x, r):
    """X and R = the centered samples from start on, and minus them; return how many there are."""
    n = min(_WIDTH, X.shape[1] - start)
    r[len(X) * _WIDTH :] = 0
    for f in range(len(X)):
        row, negative = x[f * _WIDTH : (f + 1) * _WIDTH], r[f * _WIDTH : (f + 1) * _WIDTH]
        source, c = X[f, start : start + n], center[f]
        for s in range(n):
            row[s], negative[s] = source[s] - c, c - source[s]
        row[n:] = negative[n:] = 0
    return n


@_leaf
def _fill(block, values):
    """Row i = values[i]."""
    for i in range(len(values)):
        block[i * _WIDTH : (i + 1) * _WIDTH] = values[i]


@_leaf
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


@_leaf
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


@_leaf
def _four(rows, s):
    """Sample s of four rows."""
    return rows[s], rows[s + _WIDTH], rows[s + 2 * _WIDTH], rows[s + 3 * _WIDTH]


@_leaf
def _add_four(row, j, a, b, c, d):
    row[j] += a
    row[j + 1] += b
    row[j + 2] += c
    row[j + 3] += d


@_leaf
def _rectify(z, n):
    """Keep what is positive of the first n samples; the block's others are none."""
    zero = z.dtype.type(0)
    for i in range(0, len(z), _WIDTH):
        row = z[i : i + _WIDTH]
        for s in range(_WIDTH):
            row[s] = zero if row[s] <= zero else row[s]
        row[n:] = zero


@_leaf
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


@_leaf
def _in_order(a, b):
    return (a, b) if a > b else (b, a)


@_leaf
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


@_leaf
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


@_leaf
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
