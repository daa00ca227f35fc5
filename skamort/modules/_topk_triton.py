"""The largest entries of wide rows on a GPU, in Triton.

A program takes a row. Numbers are compared by their bits, as integers in the same order. First it
divides the columns in groups, as many as fit its registers, and finds the k-th largest of their
maxima, bit by bit: a bound that at least k entries reach, and few more, all in the few groups whose
maxima do. These entries it packs, with their columns, and ranks them by pairs. Where more reach the
bound than there is room for, as where many are equal, it finds the k-th largest entry itself bit by
bit, which looks at the row once a bit.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import _triton

_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
_MOST = 128  # for the ranking compares pairs
# The fastest on an H100 of eleven.
_GROUPS, _MOST_CHUNKS, _WARPS = 1024, 64, 8


@triton.jit
def _load_keys(row, columns, is_there, BITS: tl.constexpr):
    """Return the bits of numbers as integers >= 0 in their order, 0 where none is."""
    numbers = tl.load(row + columns, mask=is_there, other=0.0)
    if BITS == 16:
        bits = numbers.to(tl.int16, bitcast=True).to(tl.int32)
        keys = ((bits ^ ((bits >> 31) & 0x7FFF)) + 0x8000).to(tl.uint32)
    else:
        bits = numbers.to(tl.int32, bitcast=True)
        keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.uint32, bitcast=True) ^ 0x80000000
    return tl.where(is_there, keys, 0)


@triton.jit
def _count(
    row, bound, n_columns, EQUAL: tl.constexpr, BITS: tl.constexpr, GROUPS: tl.constexpr
):  # fmt: skip
    """Return how many keys of a row are above a bound, or equal to it."""
    counts = tl.zeros((GROUPS,), dtype=tl.int32)
    for start in range(0, n_columns, GROUPS):
        columns = start + tl.arange(0, GROUPS)
        keys = _load_keys(row, columns, columns < n_columns, BITS)
        counts += ((keys > bound) | (EQUAL & (keys == bound))).to(tl.int32)
    return tl.sum(counts, 0)


@triton.jit
def _group_maxima(row, n_columns, BITS: tl.constexpr, GROUPS: tl.constexpr):
    """Return the largest key of each group, which is every GROUPS-th column."""
    maxima = tl.zeros((GROUPS,), dtype=tl.uint32)
    for start in range(0, n_columns, GROUPS):
        columns = start + tl.arange(0, GROUPS)
        maxima = tl.maximum(maxima, _load_keys(row, columns, columns < n_columns, BITS))
    return maxima


@triton.jit
def _kth_largest(keys, k, BITS: tl.constexpr):
    bound = tl.full((), 0, tl.uint32)
    for bit in tl.static_range(BITS - 1, -1, -1):
        trial = bound | tl.full((), 1 << bit, tl.uint32)
        bound = tl.where(tl.sum((keys >= trial).to(tl.int32), 0) >= k, trial, bound)
    return bound


@triton.jit
def _pack(values, is_kept, packed, ROOM: tl.constexpr):
    """Write those of some integers that are kept, as many as there is room for; return how many
    they are."""
    places = tl.cumsum(is_kept.to(tl.int32), 0) - 1
    tl.store(packed + places, values.to(tl.int64), mask=is_kept & (places < ROOM))
    tl.debug_barrier()  # for other threads read what each wrote
    return tl.sum(is_kept.to(tl.int32), 0)


@triton.jit
def _pack_entries(
    row, packed, bound, n_groups, n_columns,
    BITS: tl.constexpr, GROUPS: tl.constexpr, ROOM: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Write the keys of packed groups that reach a bound, each before its column from the end,
    behind the groups; return their number."""
    places = tl.arange(0, ROOM)
    groups = tl.load(packed + places, mask=places < n_groups, other=n_columns)
    columns = groups[:, None] + GROUPS * tl.arange(0, CHUNKS)[None, :]
    columns = tl.reshape(columns, [ROOM * CHUNKS])
    keys = _load_keys(row, columns, columns < n_columns, BITS)
    pairs = (keys.to(tl.int64) << 31) | (n_columns - 1 - columns)
    return _pack(pairs, (keys >= bound) & (columns < n_columns), packed + ROOM, ROOM)


@triton.jit
def _find_among_many(row, values, indices, n_columns, k, BITS: tl.constexpr, GROUPS: tl.constexpr):
    """Write the k largest entries of a row, of equal ones the first."""
    least = tl.full((), 0, tl.uint32)
    for bit in range(BITS - 1, -1, -1):
        trial = least | (tl.full((), 1, tl.uint32) << bit)
        least = tl.where(_count(row, trial, n_columns, True, BITS, GROUPS) >= k, trial, least)
    n_above = _count(row, least, n_columns, False, BITS, GROUPS)
    above, equal = tl.full((), 0, tl.int32), n_above
    for start in range(0, n_columns, GROUPS):
        columns = start + tl.arange(0, GROUPS)
        keys = _load_keys(row, columns, columns < n_columns, BITS)
        is_above = (keys > least).to(tl.int32)
        is_equal = ((keys == least) & (columns < n_columns)).to(tl.int32)
        places = tl.where(
            is_above > 0, above + tl.cumsum(is_above, 0) - 1, equal + tl.cumsum(is_equal, 0) - 1
        )
        found = ((is_above | is_equal) > 0) & (places < k)
        tl.store(indices + places, columns.to(tl.int64), mask=found)
        tl.store(values + places, tl.load(row + columns, mask=found, other=0.0), mask=found)
        above += tl.sum(is_above, 0)
        equal += tl.sum(is_equal, 0)


@triton.jit
def _select_rows(
    A, packed, values, indices, n_columns, k,
    BITS: tl.constexpr, GROUPS: tl.constexpr, ROOM: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    s = tl.program_id(0).to(tl.int64)
    row, packed = A + s * n_columns, packed + s * 2 * ROOM
    values, indices = values + s * k, indices + s * k
    groups, places = tl.arange(0, GROUPS), tl.arange(0, ROOM)
    maxima = _group_maxima(row, n_columns, BITS, GROUPS)
    bound = _kth_largest(maxima, k, BITS)
    n_groups = _pack(groups, (maxima >= bound) & (groups < n_columns), packed, ROOM)
    count = _pack_entries(row, packed, bound, n_groups, n_columns, BITS, GROUPS, ROOM, CHUNKS)
    if (n_groups > ROOM) | (count > ROOM):
        _find_among_many(row, values, indices, n_columns, k, BITS, GROUPS)
    else:
        pairs = tl.load(packed + ROOM + places, mask=places < count, other=-1)
        ranks = tl.sum((pairs[None, :] > pairs[:, None]).to(tl.int32), 1)
        columns = n_columns - 1 - (pairs & 0x7FFFFFFF)
        kept = (places < count) & (ranks < k)
        tl.store(indices + ranks, columns, mask=kept)
        tl.store(values + ranks, tl.load(row + columns, mask=kept, other=0.0), mask=kept)


def takes(A: Tensor, k: int) -> bool:
    """Tell whether `select_rows` knows the numbers, and how to rank so many."""
    return A.dtype in _DTYPES and k <= _MOST


def select_rows(A: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest values of each row and their columns, int64; of equal ones the first.

    Parameters
    ----------
    A : Tensor of shape (n, n_columns)
        Contiguous rows, of numbers that it `takes`.
    k : int
        How many; at most n_columns.
    """
    n, n_columns = A.shape
    room = triton.next_power_of_2(2 * k)
    groups = max(_GROUPS, room, triton.next_power_of_2(n_columns) // _MOST_CHUNKS)
    chunks = triton.next_power_of_2(triton.cdiv(n_columns, groups))
    packed = A.new_empty(n, 2 * room, dtype=torch.int64)
    values, indices = A.new_empty(n, k), A.new_empty(n, k, dtype=torch.int64)
    _triton.launch(
        _select_rows, (n,), A, packed, values, indices, n_columns, k,
        BITS=8 * A.itemsize, GROUPS=groups, ROOM=room, CHUNKS=chunks, num_warps=_WARPS,
    )  # fmt: skip
    return values, indices
