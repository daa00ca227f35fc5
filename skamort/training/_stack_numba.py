"""A step of linear autoencoders, compiled: for each model, everything from the encoder to the
gradients a block of samples at a time, which stays in the processor's first caches.

A block is a flat array of rows, one for each latent or feature, of `_WIDTH` samples each. As that
is a constant, the compiler knows that rows do not overlap, and vectorizes over the samples.
Products take four rows by four, so that a number is loaded once for four uses; rows and columns of
all matrices are filled up with zeros to multiples of four. Symbols are those of `_stack`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn.functional import pad

from .._threads import run_in_threads

_WIDTH = 128

# Sums may be reordered and fused, but NaN must stay NaN: divergence is known by it.
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}
_OPTIONS["fastmath"] = {"reassoc", "contract", "nsz"}
_kernel = njit(**_OPTIONS)
_leaf = njit(**_OPTIONS, _nrt=False)  # allocates nothing, and counts no references to its arrays


class Models(NamedTuple):
    """Parameters and settings; the first axis is that of the models."""

    weight: np.ndarray  # W
    bias: np.ndarray  # b
    center: np.ndarray
    atoms: np.ndarray  # D
    decoder: np.ndarray  # D^T
    gamma: np.ndarray  # squared weights of the features
    alpha: np.ndarray
    k: np.ndarray


class Outcome(NamedTuple):
    """What a step adds to; the first axis is that of the models."""

    loss: np.ndarray
    fired: np.ndarray  # on how many samples each latent is active
    weight: np.ndarray  # dL/dW
    bias: np.ndarray  # dL/db
    residual: np.ndarray  # dL/dR, summed over the samples
    atoms: np.ndarray  # dL/dD


def compiled_step(
    X: Tensor, values: dict[str, Tensor], settings: dict[str, Tensor], grads: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Compute the losses of a batch, and the gradients of what there is to learn.

    Parameters
    ----------
    X : Tensor of shape (n_models, n_features, n)
        A batch for each model.
    values : dict of str to Tensor
        All parameters by their names in the module, the models along the first axis.
    settings : dict of str to Tensor
        Likewise ``alpha``, a number a model, and, where they have them, the number ``k`` and the
        row ``squared_weights``.
    grads : dict of str to Tensor
        Where the gradients go, by the names of the parameters; empty where none are wanted.

    Returns
    -------
    loss : Tensor of shape (n_models,)
        The losses.
    fired : Tensor of shape (n_models, n_components)
        On how many samples each latent is active.
    """
    weight, atoms = values["encoder.weight"], values["decoder.dictionary"]
    alpha, n_components = settings["alpha"], weight.shape[1]
    bias = values.get("encoder.bias", torch.zeros_like(weight[:, :, 0]))
    center = values.get("decoder.intercept", torch.zeros_like(weight[:, 0]))
    gamma = settings.get("squared_weights", torch.ones_like(center))
    k = settings.get("k", torch.full_like(alpha, n_components))
    models = Models(*map(_in_fours, (weight, bias, center, atoms, atoms.mT, gamma, alpha, k)))
    like = models.alpha, models.bias, models.weight, models.bias, models.center, models.atoms
    outcome = Outcome(*map(np.zeros_like, like))
    own = (X[:1] if X.stride(0) == 0 else X).numpy()  # one batch for all is not copied
    run_in_threads(
        lambda part: _step(part.start, part.stop, own, n_components, models, outcome, bool(grads)),
        len(X),
        torch.get_num_threads(),
    )
    found = Outcome(*map(torch.from_numpy, outcome))
    whole_grads = {
        "encoder.weight": found.weight,
        "encoder.bias": found.bias,
        "decoder.intercept": found.residual,
        "decoder.dictionary": found.atoms,
    }
    for name, grad in grads.items():
        grad.copy_(whole_grads[name][tuple(map(slice, grad.shape))])
    if "decoder.intercept" in grads:  # that through the encoder
        bias_grad = found.bias[:, :n_components].unsqueeze(1)
        grads["decoder.intercept"].sub_(torch.bmm(bias_grad, weight).squeeze(1))
    return found.loss, found.fired[:, :n_components]


def _in_fours(values: Tensor) -> np.ndarray:
    """Return a copy with zeros appended, but for the first axis, to multiples of four."""
    missing = [width for size in reversed(values.shape[1:]) for width in (0, -size % 4)]
    return pad(values, missing).contiguous().numpy()


@_kernel
def _step(first, last, X, n_components, models, outcome, with_grads):
    """Take models first to last - 1 through a batch (1 or n_models, n_features, n)."""
    rows, columns = models.weight.shape[1:]
    x, r = _block(columns, X.dtype), _block(columns, X.dtype)
    z, g = _block(rows, X.dtype), _block(rows, X.dtype)
    spare = _block(int(models.k.max()) + 5, X.dtype)
    share = X.dtype.type(1 / X.shape[2])
    for m in range(first, last):
        k, alpha = int(models.k[m]), models.alpha[m]
        for start in range(0, X.shape[2], _WIDTH):
            n = _load(X[m % len(X)], start, models.center[m], x)
            _fill(z, models.bias[m])
            _add_product(z, models.weight[m], x)
            _rectify(z, n)
            if k < n_components:
                _keep_largest(z, k, spare)
            for i in range(len(x)):
                r[i] = -x[i]
            _add_product(r, models.decoder[m], z)
            energy = _weigh(r, models.gamma[m], share, outcome.residual[m])
            penalty = alpha * _count(z, outcome.fired[m])
            outcome.loss[m] += energy / 2 + penalty * share
            if with_grads:
                _add_outer_product(outcome.atoms[m], z, r)
                g[:] = alpha * share
                _add_product(g, models.atoms[m], r)
                _mask(g, z, outcome.bias[m])
                _add_outer_product(outcome.weight[m], g, x)


@_kernel
def _block(n_rows, dtype):
    """Rows that start where a cache line does: vectors across two lines take twice as long."""
    line = 64 // np.empty(1, dtype).itemsize
    buffer = np.zeros(n_rows * _WIDTH + line, dtype)
    start = -(buffer.ctypes.data // buffer.itemsize) % line
    return buffer[start : start + n_rows * _WIDTH]


@_leaf
def _load(X, start, center, x):
    """x = the centered samples from start on, zeros after the last; return how many there are."""
    n = min(_WIDTH, X.shape[1] - start)
    for f in range(len(X)):
        row, source, c = x[f * _WIDTH : (f + 1) * _WIDTH], X[f, start : start + n], center[f]
        for s in range(n):
            row[s] = source[s] - c
        row[n:] = 0
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
        for s in range(4 * _WIDTH):
            moving[s] = z[i + s]
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
