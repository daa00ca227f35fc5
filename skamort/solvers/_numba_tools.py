"""What the compiled kernels share.

Finding a maximum is half of a greedy solver's work. Compilers do not vectorize it for
floating-point numbers, whose maximum depends on the order where NaN is about. The bits of numbers
>= 0, read as integers, are in the same order, and the maximum of integers runs at the speed of
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

# Kernels of other modules contain those of the modules they import.
_SHARED = ("_numba_tools.py", "_cd_numba.py")
_VERSION = sha256(b"".join((Path(__file__).parent / name).read_bytes() for name in _SHARED))


def kernel(function: Callable) -> Any:
    """Compile a function, cached on disk.

    Numba's cache notices edits of the module that a kernel is in, but not of those it imports from;
    a fingerprint of them in the kernel's name keeps machine code of another version from being
    used.
    """
    function.__qualname__ += f"_{_VERSION.hexdigest()[:8]}"
    # Sums may be reordered and fused. Kernels get finite numbers only; infinity may arise, NaN may
    # not.
    fastmath = {"reassoc", "contract", "nsz", "nnan"}
    return njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath)(function)


def _bits(values):
    raise NotImplementedError


def _number(values, bits):
    raise NotImplementedError


def _mask(values, positive):
    raise NotImplementedError


def _integer(values):
    return np.int32 if values.dtype.bitwidth == 32 else np.int64


@overload(_bits)
def _compile_bits(values):
    integer = _integer(values)
    return lambda values: values.view(integer)


@overload(_number)
def _compile_number(values, bits):  # noqa: ARG001
    integer = _integer(values)
    real = np.float32 if values.dtype.bitwidth == 32 else np.float64
    return lambda values, bits: integer(bits).view(real)  # noqa: ARG005


@overload(_mask)
def _compile_mask(values, positive):  # noqa: ARG001
    everything = _integer(values)(-1)
    without_sign = _integer(values)(np.iinfo(_integer(values)).max)
    return lambda values, positive: everything if positive else without_sign  # noqa: ARG005


@kernel
def largest(values, start, stop, positive):
    """Largest of values[start:stop], or of their absolute values unless positive; at least 0."""
    bits, mask = _bits(values), _mask(values, positive)
    top = mask & 0
    for j in range(start, stop):
        top = max(top, bits[j] & mask)
    return _number(values, top)


@kernel
def argmax(values, positive):
    """Index of the largest value, or absolute value unless positive; -1 if none is above 0."""
    top = largest(values, 0, len(values), positive)
    if top > 0:
        for j in range(len(values)):
            if values[j] == top or (values[j] == -top and not positive):
                return j
    return -1


@kernel
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
