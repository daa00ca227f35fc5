"""The small problems of working sets on a GPU, in Triton: a program solves one to its end.

Each has a Gram matrix of its own, which stays in the registers of its program, or, where they are
too few, in the cache beside it. It takes the steps of `FISTA` until its own gap is small enough. In
operators of torch all samples would take as many steps as the slowest, some thirty launches each.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .. import _triton
from ._fista_triton import accelerate, soft_threshold

# Most atoms; bytes of a Gram matrix that registers hold, and numbers of it that are read at a time
# where they do not.
_MOST_ATOMS, _HELD_BYTES, _TILE = 512, 1 << 17, 1 << 13


def fits(width: int) -> bool:
    """Whether problems of so many atoms are small enough."""
    return width <= _MOST_ATOMS


@triton.jit
def _gap(z, cov, image, alpha, energy, POSITIVE: tl.constexpr):
    """The duality gap, as `gap_from_gram`."""
    correlations = cov - image
    residual = energy - tl.sum(z * (cov + correlations), 0)
    fit = tl.maximum(residual + tl.sum(z * correlations, 0), 0.0)
    residual = tl.maximum(residual, 0.0)
    peak = tl.max(correlations if POSITIVE else tl.abs(correlations), 0)
    scale = tl.where(residual > 0, fit / tl.where(residual > 0, residual, 1.0), 0.0)
    scale = tl.where(scale * peak > alpha, alpha / tl.where(peak > 0, peak, 1.0), scale)
    signed = tl.where(z > 0, correlations, tl.where(z < 0, -correlations, 0.0))
    slack = tl.maximum(alpha - scale * signed, 0.0)
    return 0.5 * (1 - scale) * (1 - scale) * residual + tl.sum(tl.abs(z) * slack, 0)


@triton.jit
def _product(grams, values, row, width, W: tl.constexpr, T: tl.constexpr):
    """The Gram matrix of a sample times what lies in its row of ``values``."""
    columns = tl.arange(0, W)
    product = tl.zeros((W,), values.dtype.element_ty)
    for first in range(0, width, T):
        terms = first + tl.arange(0, T)
        factors = tl.load(values + row * width + terms, mask=terms < width, other=0.0)
        block = grams + (row * width + terms[:, None]) * width + columns[None, :]
        is_there = (terms < width)[:, None] & (columns < width)[None, :]
        product += tl.sum(tl.load(block, mask=is_there, other=0.0) * factors[:, None], 0)
    return product


@triton.jit
def _minimize(
    grams, covs, codes, alphas, energies, targets, curvatures, width, most, every, noise,
    SHORTEN: tl.constexpr, POSITIVE: tl.constexpr, HELD: tl.constexpr, W: tl.constexpr,
    T: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, W)
    is_there = columns < width
    places = row * width + columns
    cov = tl.load(covs + places, mask=is_there, other=0.0)
    z = tl.load(codes + places, mask=is_there, other=0.0)
    alpha, energy = tl.load(alphas + row), tl.load(energies + row)
    target, curvature = tl.load(targets + row), tl.load(curvatures + row)
    if HELD:
        block = grams + row * width * width + columns[:, None] * width + columns[None, :]
        gram = tl.load(block, mask=is_there[:, None] & is_there[None, :], other=0.0)
        image = tl.sum(gram * z[:, None], 0)
    else:
        image = _product(grams, codes, row, width, W, T)
    y, image_y, momentum, step = z, image, 1.0 + 0.0 * curvature, 0
    gap = _gap(z, cov, image, alpha, energy, POSITIVE)
    while (step < most) & (gap > target):
        fresh = soft_threshold(y + (cov - image_y) / curvature, alpha / curvature, POSITIVE)
        fresh = tl.where(is_there, fresh, 0.0)
        if HELD:
            image_fresh = tl.sum(gram * fresh[:, None], 0)
        else:  # through memory, for no thread has the numbers of others
            tl.debug_barrier()
            tl.store(codes + places, fresh, mask=is_there)
            tl.debug_barrier()
            image_fresh = _product(grams, codes, row, width, W, T)
        change, move, image_move = fresh - y, fresh - z, image_fresh - image
        length, uphill = tl.sum(change * change, 0), tl.sum(change * move, 0)
        size, bend = tl.sum(fresh * fresh, 0), tl.sum(change * (image_fresh - image_y), 0)
        rejected, push, momentum, curvature = accelerate(
            length, uphill, size, bend, curvature, momentum, noise, SHORTEN
        )
        z = tl.where(rejected, z, fresh)
        image = tl.where(rejected, image, image_fresh)
        y, image_y = z + push * move, image + push * image_move
        step += 1
        if step % every == 0:
            gap = _gap(z, cov, image, alpha, energy, POSITIVE)
    if not HELD:
        tl.debug_barrier()
    tl.store(codes + places, z, mask=is_there)


def minimize(
    grams: Tensor,
    covs: Tensor,
    codes: Tensor,
    alphas: Tensor,
    energies: Tensor,
    targets: Tensor,
    curvatures: Tensor,
    positive: bool,
    most: int,
    every: int,
    noise: float,
    shorten: float,
) -> None:
    """Solve small problems in place, in ``codes`` of shape (n_samples, width).

    Parameters are those of `_fista.WithGram` and `_fista.Iterates`, one row for each sample, with
    the gap that each is to reach, the ``most`` steps, and the steps between two looks.
    """
    n_samples, width = codes.shape
    W = max(16, triton.next_power_of_2(width))
    held = W * W * codes.element_size() <= _HELD_BYTES
    _triton.launch(
        _minimize, (n_samples,), grams, covs, codes, alphas, energies, targets, curvatures, width,
        most, every, noise, SHORTEN=shorten, POSITIVE=positive, HELD=held, W=W,
        T=max(1, _TILE // W), num_warps=4 if W < 128 else 8,
    )  # fmt: skip
