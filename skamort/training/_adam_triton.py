"""A step of Adam for all parameters at once, in Triton.

A program takes a piece of a parameter through all of it. Of one whose rows are on the unit sphere a
piece is a row: what lies along it leaves its gradient, the moments follow, it takes its step and
gets its length back. All is read once and written once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from .. import _triton

# Warps that share a piece: so many more where rows are wide that none needs more registers than it
# gets. And the numbers of a piece that is no row, to a warp.
_FEWEST_WARPS, _MOST_WARPS, _NUMBERS = 4, 16, 256


@triton.jit
def _step_piece(
    part, begin, end, share1, share2, log1, log2,
    ON_SPHERE: tl.constexpr, RATE_LIES_THERE: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    parameter, gradient, mean, square, count, rate, eps, _ = part
    places = begin + tl.arange(0, SIZE)
    is_there = places < end
    p = tl.load(parameter + places, mask=is_there, other=0.0)
    g = tl.load(gradient + places, mask=is_there, other=0.0)
    if ON_SPHERE:
        g -= tl.sum(g * p, 0) * p
    m = tl.load(mean + places, mask=is_there, other=0.0)
    v = tl.load(square + places, mask=is_there, other=0.0)
    m += share1 * (g - m)
    v += share2 * (g * g - v)
    tl.store(mean + places, m, mask=is_there)
    tl.store(square + places, v, mask=is_there)
    steps = tl.load(count).to(tl.float64)  # 1 - 0.999 would leave half the digits of float32
    bias1 = (1.0 - tl.exp(steps * log1)).to(tl.float32)
    bias2 = (1.0 - tl.exp(steps * log2)).to(tl.float32)
    if RATE_LIES_THERE:
        rate = tl.load(rate).to(tl.float32)
    p -= rate / bias1 * m / (tl.sqrt(v) / tl.sqrt(bias2) + eps)
    if ON_SPHERE:
        p /= tl.sqrt(tl.sum(p * p, 0))
    tl.store(parameter + places, p, mask=is_there)


@triton.jit
def _step(
    parts, width, share1, share2, log1, log2,
    SPHERE: tl.constexpr, RATE_LIES_THERE: tl.constexpr, PIECE: tl.constexpr, ROW: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64)  # among the pieces of the parts that are left
    for i in tl.static_range(len(parts)):
        part = parts[i]
        length = part[len(part) - 1]
        if i == SPHERE:
            n_pieces = length // width
            if (place >= 0) & (place < n_pieces):
                begin = place * width
                _step_piece(
                    part, begin, begin + width, share1, share2, log1, log2,
                    True, RATE_LIES_THERE, ROW,
                )  # fmt: skip
        else:
            n_pieces = tl.cdiv(length, PIECE)
            if (place >= 0) & (place < n_pieces):
                _step_piece(
                    part, place * PIECE, length, share1, share2, log1, log2,
                    False, RATE_LIES_THERE, PIECE,
                )  # fmt: skip
        place -= n_pieces


def step(
    parts: Sequence[tuple[Any, ...]], on_sphere: Tensor | None, betas: tuple[float, float]
) -> bool:
    """Take a step; return True.

    Parameters
    ----------
    parts : sequence of tuple
        Of each parameter: itself, its gradient and Adam's moments of it, contiguous tensors of
        float32; how many steps it has taken, this one among them, a tensor of shape (); its step
        size, a number or such a tensor, and its eps.
    on_sphere : Tensor of shape (n_components, n_features), optional
        A parameter whose rows have unit norm and keep it.
    betas : tuple of float
        Adam's, of the two moments.
    """
    shares, logs = [1 - b for b in betas], [math.log(b) for b in betas]
    sphere = next((i for i, part in enumerate(parts) if part[0] is on_sphere), -1)
    width = 1 if on_sphere is None else on_sphere.shape[1]
    sizes, row = [part[0].numel() for part in parts], triton.next_power_of_2(width)
    warps = min(_MOST_WARPS, max(_FEWEST_WARPS, row // (2 * _NUMBERS)))
    piece = _NUMBERS * warps
    n_pieces = [
        size // width if i == sphere else triton.cdiv(size, piece) for i, size in enumerate(sizes)
    ]
    _triton.launch(
        _step, (sum(n_pieces),),
        tuple((p.detach(), *rest, size) for (p, *rest), size in zip(parts, sizes, strict=True)),
        width, *shares, *logs, SPHERE=sphere, RATE_LIES_THERE=isinstance(parts[0][-2], Tensor),
        PIECE=piece, ROW=row, num_warps=warps,
    )  # fmt: skip
    return True
