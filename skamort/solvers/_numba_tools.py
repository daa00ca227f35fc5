"""What the compiled kernels share.

Finding a maximum is half of a greedy solver's work. Compilers do not vectorize it for
floating-point numbers, whose maximum depends on the order where NaN is about; eight independent
maxima run at the speed of memory.
"""

from __future__ import annotations

from numba import njit

# Sums may be reordered and fused. Kernels get finite numbers only; infinity may arise, NaN may not.
kernel = njit(
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath={"reassoc", "contract", "nsz", "nnan"},
)
_LANES = 8
_CHUNK = 64


@kernel
def largest(values, start, stop, positive):
    """Largest of values[start:stop], or of their absolute values unless positive; at least 0."""
    zero = values.dtype.type(0)
    a = b = c = d = e = f = g = h = zero
    whole = start + (stop - start) // _LANES * _LANES
    if positive:
        for j in range(start, whole, _LANES):
            a, b = max(a, values[j]), max(b, values[j + 1])
            c, d = max(c, values[j + 2]), max(d, values[j + 3])
            e, f = max(e, values[j + 4]), max(f, values[j + 5])
            g, h = max(g, values[j + 6]), max(h, values[j + 7])
        for j in range(whole, stop):
            a = max(a, values[j])
    else:
        for j in range(start, whole, _LANES):
            a, b = max(a, abs(values[j])), max(b, abs(values[j + 1]))
            c, d = max(c, abs(values[j + 2])), max(d, abs(values[j + 3]))
            e, f = max(e, abs(values[j + 4])), max(f, abs(values[j + 5]))
            g, h = max(g, abs(values[j + 6])), max(h, abs(values[j + 7]))
        for j in range(whole, stop):
            a = max(a, abs(values[j]))
    return max(max(max(a, b), max(c, d)), max(max(e, f), max(g, h)))


@kernel
def argmax(values):
    """Index of the largest of values that are >= 0; -1 if all are 0."""
    best, chunk = values.dtype.type(0), -1
    for start in range(0, len(values), _CHUNK):
        top = largest(values, start, min(start + _CHUNK, len(values)), True)
        if top > best:
            best, chunk = top, start
    if chunk >= 0:
        for j in range(chunk, min(chunk + _CHUNK, len(values))):
            if values[j] == best:
                return j
    return -1
