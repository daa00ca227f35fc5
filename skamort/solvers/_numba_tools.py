"""What the compiled kernels share.

Finding a maximum is half of a greedy solver's work. Compilers do not vectorize it for
floating-point numbers, whose maximum depends on the order where NaN is about. The bits of numbers
>= 0, read as integers, are in the same order, and the maximum of integers runs at the speed of
memory.
"""

from __future__ import annotations

import numpy as np
from numba import config, types
from numba.extending import intrinsic

from .._numba import leaf, part

# Unsigned: compilers that must provide for indices < 0 do not vectorize.
_CHUNK = np.uint64(256)


@intrinsic
def _compiled_bits(typingcontext, value):  # noqa: ARG001
    """The bits of a number as an integer of its size."""
    integer = types.Integer.from_bitwidth(value.bitwidth, signed=True)

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        return builder.bitcast(arguments[0], context.get_value_type(integer))

    return integer(value), generate


@intrinsic
def _compiled_number(typingcontext, bits, like):  # noqa: ARG001
    """The number of these bits, of the type of ``like``."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        return builder.bitcast(arguments[0], context.get_value_type(like))

    return like(bits, like), generate


def _plain_bits(value):
    return value.view(f"i{value.itemsize}")


def _plain_number(bits, like):
    return bits.view(like.dtype)


# With NUMBA_DISABLE_JIT=1 kernels run as they are written, and coverage sees them.
_is_plain = config.DISABLE_JIT  # type: ignore[attr-defined]
_bits = _plain_bits if _is_plain else _compiled_bits
_number = _plain_number if _is_plain else _compiled_number


@leaf
def _magnitude(value, positive):
    """Bits of a value, or of its absolute value unless positive."""
    return _bits(value) if positive else _bits(abs(value))


@leaf
def largest(values, start, stop, positive):
    """Largest of values[start:stop], or of their absolute values unless positive; at least 0."""
    zero = values.dtype.type(0)
    top = _bits(zero)
    for j in range(start, stop):
        top = max(top, _magnitude(values[j], positive))
    return _number(top, zero)


@leaf
def segment_maxima(values, positive, length, tops):
    """`largest` of every ``length`` values, into ``tops``."""
    for s in range(len(tops)):
        # Of a slice, indices are known not to be negative, or the loop would not be vectorized.
        segment = values[s * length : (s + 1) * length]
        tops[s] = largest(segment, 0, len(segment), positive)


@leaf
def argmax(values, positive):
    """Index of the largest value, or absolute value unless positive; -1 if none is above 0."""
    n, top, chunk = np.uint64(len(values)), values.dtype.type(0), np.uint64(0)
    for start in range(np.uint64(0), n, _CHUNK):
        best = largest(values, start, min(start + _CHUNK, n), positive)
        if best > top:
            top, chunk = best, start
    if top == 0:
        return -1
    # A search that stops at the first would not be vectorized.
    index, nowhere = len(values), len(values)
    for j in range(chunk, min(chunk + _CHUNK, n)):
        found = _magnitude(values[j], positive) == _bits(top)
        index = min(index, np.int64(j) if found else nowhere)
    return index


@part
def aligned_rows(n_rows, n_columns, dtype):
    """Zeros in rows that start where a cache line does: vectors across two lines take twice as
    long.

    Rows are an odd number of lines apart, so that the same columns of many rows fit in a cache.
    """
    itemsize = np.empty(1, dtype).itemsize
    line = 64 // itemsize
    width = (-(-n_columns // line) | 1) * line
    buffer = np.zeros(n_rows * width + line, dtype)
    start = -(buffer.ctypes.data // itemsize) % line
    return buffer[start : start + n_rows * width].reshape((n_rows, width))


@leaf
def copy(out, values):
    """out = values. Assigned as a slice, what numba would say of shapes that differ were compiled
    too, for over a second."""
    for k in range(len(out)):
        out[k] = values[k]


@leaf
def are_positive(values, n):
    """Whether the first n are."""
    least = values.dtype.type(1)
    for k in range(n):
        least = min(least, values[k])
    return least > 0


@leaf
def subtract_rows(out, weights, matrix, indices, k):
    """out -= sum of weights[i] matrix[indices[i]] over i < k, four rows at a time."""
    n = len(out)
    i = 0
    while i + 4 <= k:
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        w, x = matrix[indices[i]], matrix[indices[i + 1]]
        y, z = matrix[indices[i + 2]], matrix[indices[i + 3]]
        for j in range(n):
            out[j] -= a * w[j] + b * x[j] + c * y[j] + d * z[j]
        i += 4
    while i < k:
        a, w = weights[i], matrix[indices[i]]
        for j in range(n):
            out[j] -= a * w[j]
        i += 1


@leaf
def hide(values, seen):
    """Multiply by what is 1 where a sample is observed, else 0; empty where it is complete."""
    for k in range(len(seen)):
        values[k] *= seen[k]


@leaf
def squared_norm(x):
    """||x||^2 in float64."""
    total = 0.0
    for k in range(len(x)):
        total += np.float64(x[k]) * np.float64(x[k])
    return total


@leaf
def product(a, b):
    """<a, b> in their dtype."""
    total = a.dtype.type(0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total
