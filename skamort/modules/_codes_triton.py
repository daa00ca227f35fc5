"""Products of sparse codes with matrices on a GPU, in Triton.

A program takes a block of columns of one sum of rows; which rows, it reads from lists. Nothing is
added atomically, so that the same numbers give the same bits.

Sums of samples by latent are the uneven ones: a latent that fires everywhere has thousands of
terms, most have a few. The codes, sorted by latent, are therefore cut in equal chunks as well. A
latent with more terms than a chunk has is summed chunk by chunk first, and its program of the
second pass adds the sums of the chunks, in order; one with fewer adds its terms.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import _triton

# Terms of a chunk.
_CHUNK = 128
# Columns and terms of a block, and the warps that share it: the fastest on an H100 of nine.
_MOST_COLUMNS, _TERMS, _WARPS = 256, 4, 2


@triton.jit
def _weighted_rows(
    weights, order, rows, begin, end, matrix, columns, width, SORTED: tl.constexpr, T: tl.constexpr
):
    """Return a block of the sum of weights[t] * matrix[rows[t]] for t from begin to end; of sorted
    terms the weights lie where `order` says."""
    number = weights.dtype.element_ty
    total = tl.zeros((T, columns.shape[0]), dtype=number)
    for t in range(begin, end, T):
        terms = t + tl.arange(0, T)
        is_term = terms < end
        places = terms
        if SORTED:
            places = tl.load(order + terms, mask=is_term, other=0)
        w = tl.load(weights + places, mask=is_term, other=0.0)
        r = tl.load(rows + terms, mask=is_term, other=0).to(tl.int64)
        block = matrix + r[:, None] * width + columns[None, :]
        is_there = is_term[:, None] & (columns < width)[None, :]
        total += w[:, None] * tl.load(block, mask=is_there, other=0.0).to(number)
    return tl.sum(total, 0)


@triton.jit
def _sum_rows(
    weights, rows, offsets, matrix, minus, sums, width, scale,
    SUBTRACT: tl.constexpr, T: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    s = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * F + tl.arange(0, F)
    begin, end = tl.load(offsets + s), tl.load(offsets + s + 1)
    total = _weighted_rows(weights, rows, rows, begin, end, matrix, columns, width, False, T)
    places = s * width + columns
    if SUBTRACT:
        total -= tl.load(minus + places, mask=columns < width, other=0.0)
    tl.store(sums + places, scale * total, mask=columns < width)


@triton.jit
def _multiply_rows(
    Y, matrix, indices, offsets, bias, kept, products, width,
    BIAS: tl.constexpr, MASK: tl.constexpr, T: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    number = products.dtype.element_ty
    s = tl.program_id(0).to(tl.int64)
    end = tl.load(offsets + s + 1)
    for t in range(tl.load(offsets + s), end, T):
        terms = t + tl.arange(0, T)
        is_term = terms < end
        r = tl.load(indices + terms, mask=is_term, other=0).to(tl.int64)
        total = tl.zeros((T, F), dtype=number)
        for f in range(0, width, F):
            columns = f + tl.arange(0, F)
            is_column = columns < width
            y = tl.load(Y + s * width + columns, mask=is_column, other=0.0).to(number)
            block = matrix + r[:, None] * width + columns[None, :]
            is_there = is_term[:, None] & is_column[None, :]
            total += tl.load(block, mask=is_there, other=0.0).to(number) * y[None, :]
        product = tl.sum(total, 1)
        if BIAS:
            product += tl.load(bias + r, mask=is_term, other=0.0)
        if MASK:
            is_kept = tl.load(kept + terms, mask=is_term, other=0.0) != 0
            product = tl.where(is_kept, product, 0.0)
        tl.store(products + terms, product, mask=is_term)


@triton.jit
def _sum_chunks(
    weights, order, samples, latents, offsets, matrix, partial, n_terms, width,
    CHUNK: tl.constexpr, T: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """Sum the terms of a chunk that are of latents with more terms than a chunk has: there are two
    of these at most, for each goes on before or after it."""
    c = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * F + tl.arange(0, F)
    begin = c * CHUNK
    end = tl.minimum(begin + CHUNK, n_terms)
    for side in tl.static_range(2):
        latent = tl.load(latents + (begin if side == 0 else end - 1))
        first, last = tl.load(offsets + latent), tl.load(offsets + latent + 1)
        # One that fills the chunk is the left one.
        if (last - first > CHUNK) & ((first > begin) if side == 1 else (first <= begin)):
            start, stop = tl.maximum(first, begin), tl.minimum(last, end)
            total = _weighted_rows(
                weights, order, samples, start, stop, matrix, columns, width, True, T
            )
            tl.store(partial + (2 * c + side) * width + columns, total, mask=columns < width)


@triton.jit
def _sum_latents(
    weights, order, samples, offsets, matrix, partial, sums, weight_sums, counts, width,
    CHUNK: tl.constexpr, T: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    latent = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * F + tl.arange(0, F)
    begin, end = tl.load(offsets + latent), tl.load(offsets + latent + 1)
    if end - begin <= CHUNK:
        total = _weighted_rows(weights, order, samples, begin, end, matrix, columns, width, True, T)
    else:
        total = _chunk_rows(begin, end, partial, columns, width, CHUNK, T)
    tl.store(sums + latent * width + columns, total, mask=columns < width)
    if tl.program_id(1) == 0:
        _sum_weights(weights, order, begin, end, latent, weight_sums, counts, CHUNK)


@triton.jit
def _chunk_rows(begin, end, partial, columns, width, CHUNK: tl.constexpr, T: tl.constexpr):
    """Return a block of the sum of the chunks' sums of one latent."""
    total = tl.zeros((T, columns.shape[0]), dtype=partial.dtype.element_ty)
    stop = (end - 1) // CHUNK + 1
    for c in range(begin // CHUNK, stop, T):
        chunks = c + tl.arange(0, T)
        rows = 2 * chunks + (chunks * CHUNK < begin).to(tl.int64)
        is_there = (chunks < stop)[:, None] & (columns < width)[None, :]
        total += tl.load(partial + rows[:, None] * width + columns, mask=is_there, other=0.0)
    return tl.sum(total, 0)


@triton.jit
def _sum_weights(weights, order, begin, end, latent, weight_sums, counts, CHUNK: tl.constexpr):
    total = tl.zeros((CHUNK,), dtype=weights.dtype.element_ty)
    count = tl.zeros((CHUNK,), dtype=tl.int64)
    for t in range(begin, end, CHUNK):
        terms = t + tl.arange(0, CHUNK)
        is_term = terms < end
        places = tl.load(order + terms, mask=is_term, other=0)
        w = tl.load(weights + places, mask=is_term, other=0.0)
        total += w
        count += (w != 0).to(tl.int64)
    tl.store(weight_sums + latent, tl.sum(total, 0))
    tl.store(counts + latent, tl.sum(count, 0))


def sum_rows(
    weights: Tensor,
    rows: Tensor,
    offsets: Tensor,
    matrix: Tensor,
    minus: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """Return weighted sums of rows of a matrix, less a matrix of their shape, times a number; see
    `_sparse_products.weighted_sums`."""
    n_sums, width = len(offsets) - 1, matrix.shape[1]
    sums, subtract = weights.new_empty(n_sums, width), minus is not None
    arguments = weights, rows, offsets, matrix, minus if subtract else sums, sums, width, scale
    F, settings = _block(width)
    _triton.launch(
        _sum_rows, (n_sums, triton.cdiv(width, F)), *arguments, SUBTRACT=subtract, **settings
    )
    return sums


def multiply_rows(
    Y: Tensor,
    matrix: Tensor,
    indices: Tensor,
    offsets: Tensor,
    bias: Tensor | None = None,
    kept: Tensor | None = None,
) -> Tensor:
    """Return scalar products of rows of Y with some rows of a matrix.

    Parameters
    ----------
    Y : Tensor of shape (n, n_features)
        Rows.
    matrix : Tensor of shape (n_rows, n_features)
        More rows.
    indices : Tensor of shape (n_products,), int
        Which of them are wanted.
    offsets : Tensor of shape (n + 1,), int64
        Where those for each row of Y begin, and where the last ones end.
    bias : Tensor of shape (n_rows,), optional
        What is added to each product with a row of the matrix.
    kept : Tensor of shape (n_products,), optional
        Products where it is 0 become 0.

    Returns
    -------
    Tensor of shape (n_products,)
        The products.
    """
    products = Y.new_empty(len(indices))
    given = [products if t is None else t for t in (bias, kept)]
    _, settings = _block(Y.shape[1])
    _triton.launch(
        _multiply_rows, (len(Y),), Y, matrix, indices, offsets, *given, products,
        Y.shape[1], BIAS=bias is not None, MASK=kept is not None, **settings,
    )  # fmt: skip
    return products


def sum_by_latent(
    weights: Tensor,
    order: Tensor,
    samples: Tensor,
    latents: Tensor,
    offsets: Tensor,
    matrix: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return weighted sums of the rows of a matrix by latent, the sums of the weights, and the
    numbers of those that are not 0.

    Parameters
    ----------
    weights : Tensor of shape (n_terms,)
        Weight of each term.
    order : Tensor of shape (n_terms,), int64
        Where in `weights` that of each term is, the terms being sorted by latent.
    samples, latents : Tensor of shape (n_terms,), int
        Row of each term, and its latent, sorted.
    offsets : Tensor of shape (n_components + 1,), int64
        Where the terms of each latent begin, and where the last ones end.
    matrix : Tensor of shape (n_rows, n_features)
        The rows.

    Returns
    -------
    sums : Tensor of shape (n_components, n_features)
        The sums of rows.
    weight_sums : Tensor of shape (n_components,)
        Those of the weights.
    counts : Tensor of shape (n_components,), int64
        How many weights are not 0.
    """
    n_components, n_terms, width = len(offsets) - 1, len(order), matrix.shape[1]
    n_chunks, (F, settings) = triton.cdiv(n_terms, _CHUNK), _block(width)
    n_blocks, settings = triton.cdiv(width, F), {"CHUNK": _CHUNK, **settings}
    sums, partial = (weights.new_empty(n, width) for n in (n_components, 2 * n_chunks))
    weight_sums = weights.new_empty(n_components)
    counts = weights.new_empty(n_components, dtype=torch.int64)
    _triton.launch(
        _sum_chunks, (n_chunks, n_blocks), weights, order, samples, latents, offsets, matrix,
        partial, n_terms, width, **settings,
    )  # fmt: skip
    _triton.launch(
        _sum_latents, (n_components, n_blocks), weights, order, samples, offsets, matrix, partial,
        sums, weight_sums, counts, width, **settings,
    )  # fmt: skip
    return sums, weight_sums, counts


def _block(width: int) -> tuple[int, dict[str, int]]:
    """Return the columns of a block of a matrix so wide, and all its settings."""
    F = min(_MOST_COLUMNS, max(16, triton.next_power_of_2(width)))
    return F, {"T": _TERMS, "F": F, "num_warps": _WARPS}
