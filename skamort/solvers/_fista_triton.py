"""FISTA's step in two kernels for a GPU, in Triton: a program takes a sample.

In operators of torch a step reads and writes the codes of all samples some twenty times; by these
kernels, around the products with the dictionary, seven times.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import _triton

# Columns that a program takes at a time, and the warps that share them.
_MOST_COLUMNS, _WARPS = 2048, 8


@triton.jit
def soft_threshold(values, threshold, POSITIVE: tl.constexpr):
    """Proximal operator of the L1 norm, as that of `_fista`."""
    if POSITIVE:
        shrunk = tl.maximum(values - threshold, 0.0)
    else:
        shrunk = values - tl.minimum(tl.maximum(values, -threshold), threshold)
    return shrunk


@triton.jit
def accelerate(
    length, uphill, size, curvature, lipschitz, momentum, noise, SHORTEN: tl.constexpr
):  # fmt: skip
    """Return whether a step is rejected, the push, the momentum and the curvature of the next.

    ``curvature`` is not yet divided by ``length``, the squared length of the step.
    """
    curvature = curvature / tl.where(length > 0, length, 1.0)
    rejected = (length > noise * size) & (curvature > lipschitz * 1.001)
    restart = rejected | (uphill < 0)
    grown = 0.5 + tl.sqrt(0.25 + momentum * momentum)
    push = tl.where(restart, 0.0, (momentum - 1) / grown)
    momentum = tl.where(restart, 1.0, grown)
    return rejected, push, momentum, tl.where(rejected, SHORTEN * curvature, lipschitz)


@triton.jit
def _propose(
    y, correlations, z, lipschitz, alpha, fresh, sums, width,
    POSITIVE: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    number = fresh.dtype.element_ty
    curvature = tl.load(lipschitz + row)
    threshold = tl.load(alpha + row) / curvature
    length, uphill, size = tl.zeros((F,), number), tl.zeros((F,), number), tl.zeros((F,), number)
    for first in range(0, width, F):
        columns = first + tl.arange(0, F)
        is_there = columns < width
        places = row * width + columns
        start = tl.load(y + places, mask=is_there, other=0.0)
        slope = tl.load(correlations + places, mask=is_there, other=0.0)
        before = tl.load(z + places, mask=is_there, other=0.0)
        after = soft_threshold(start + slope / curvature, threshold, POSITIVE)
        tl.store(fresh + places, after, mask=is_there)
        change = after - start
        length += change * change
        uphill += change * (after - before)
        size += after * after
    tl.store(sums + 3 * row, tl.sum(length, 0))
    tl.store(sums + 3 * row + 1, tl.sum(uphill, 0))
    tl.store(sums + 3 * row + 2, tl.sum(size, 0))


@triton.jit
def _bend(image, image_y, fresh, y, row, width, GRAM: tl.constexpr, F: tl.constexpr):
    """Return the curvature along the step times its squared length."""
    bend = tl.zeros((F,), image.dtype.element_ty)
    for first in range(0, width, F):
        columns = first + tl.arange(0, F)
        is_there = columns < width
        places = row * width + columns
        change = tl.load(image + places, mask=is_there, other=0.0)
        change -= tl.load(image_y + places, mask=is_there, other=0.0)
        step = change
        if GRAM:
            step = tl.load(fresh + places, mask=is_there, other=0.0)
            step -= tl.load(y + places, mask=is_there, other=0.0)
        bend += change * step
    return tl.sum(bend, 0)


@triton.jit
def _move(fresh, old, pushed, row, width, rejected, push, F: tl.constexpr):
    """Keep the old values where the step is rejected, and push on from what is kept."""
    for first in range(0, width, F):
        columns = first + tl.arange(0, F)
        is_there = columns < width
        places = row * width + columns
        before = tl.load(old + places, mask=is_there, other=0.0)
        after = tl.load(fresh + places, mask=is_there, other=0.0)
        kept = tl.where(rejected, before, after)
        tl.store(pushed + places, kept + push * (after - before), mask=is_there)
        tl.store(fresh + places, kept, mask=is_there)


@triton.jit
def _advance(
    fresh, z, y, image, image_z, image_y, lipschitz, momentum, sums, width, image_width, noise,
    GRAM: tl.constexpr, SHORTEN: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    bend = _bend(image, image_y, fresh, y, row, image_width, GRAM, F)
    length, uphill = tl.load(sums + 3 * row), tl.load(sums + 3 * row + 1)
    size, curvature = tl.load(sums + 3 * row + 2), tl.load(lipschitz + row)
    rejected, push, grown, curvature = accelerate(
        length, uphill, size, bend, curvature, tl.load(momentum + row), noise, SHORTEN
    )
    tl.store(lipschitz + row, curvature)
    tl.store(momentum + row, grown)
    _move(fresh, z, y, row, width, rejected, push, F)
    _move(image, image_z, image_y, row, image_width, rejected, push, F)


def propose(
    y: Tensor, correlations: Tensor, z: Tensor, lipschitz: Tensor, alpha: Tensor, positive: bool
) -> tuple[Tensor, Tensor]:
    """Return the codes after a proximal step from ``y``, and of every sample the squared length of
    the step, its product with the move from ``z``, and the squared norm of the codes."""
    (n_samples, width), fresh = y.shape, torch.empty_like(y)
    sums = y.new_empty(n_samples, 3)
    _triton.launch(
        _propose, (n_samples,), y, correlations, z, lipschitz, alpha, fresh, sums, width,
        POSITIVE=positive, **_columns(width),
    )  # fmt: skip
    return fresh, sums


def advance(
    fresh: Tensor,
    z: Tensor,
    y: Tensor,
    image: Tensor,
    image_z: Tensor,
    image_y: Tensor,
    lipschitz: Tensor,
    momentum: Tensor,
    sums: Tensor,
    noise: float,
    shorten: float,
    by_gram: bool,
) -> None:
    """Judge the step to ``fresh``, and go on, in place: ``fresh`` and ``image`` become the codes
    and their image, ``y`` and ``image_y`` what the next step starts from."""
    (n_samples, width), image_width = fresh.shape, image.shape[1]
    _triton.launch(
        _advance, (n_samples,), fresh, z, y, image, image_z, image_y, lipschitz, momentum, sums,
        width, image_width, noise, GRAM=by_gram, SHORTEN=shorten, **_columns(width),
    )  # fmt: skip


def _columns(width: int) -> dict[str, int]:
    return {"F": min(_MOST_COLUMNS, max(16, triton.next_power_of_2(width))), "num_warps": _WARPS}
