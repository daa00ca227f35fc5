"""The gradient of dense codes on a GPU, and what the same pass over them finds, in Triton.

A program takes a block of latents through all samples, in order, so that the same numbers give the
same bits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import _triton

# Entries of a block of rows of some latents. Where latents are few a block has few of them, so that
# there are programs for all of a card, each with fewer blocks to take one after the other; but no
# fewer than the 32 bytes that memory gives at once.
_ENTRIES, _WARPS = 4096, 8
_FEWEST_LATENTS, _MOST_LATENTS, _PROGRAMS = 8, 32, 256


@triton.jit
def _mask(
    gradient, codes, gradient_sums, code_sums, counts, n, width, ROWS: tl.constexpr,
    LATENTS: tl.constexpr,
):  # fmt: skip
    latents = tl.program_id(0) * LATENTS + tl.arange(0, LATENTS)
    is_latent = latents < width
    g_total = tl.zeros((ROWS, LATENTS), dtype=gradient.dtype.element_ty)
    z_total = tl.zeros((ROWS, LATENTS), dtype=codes.dtype.element_ty)
    count = tl.zeros((ROWS, LATENTS), dtype=tl.int32)
    for start in range(0, n, ROWS):
        rows = start + tl.arange(0, ROWS)
        is_there = (rows < n)[:, None] & is_latent[None, :]
        places = rows[:, None].to(tl.int64) * width + latents[None, :]
        z = tl.load(codes + places, mask=is_there, other=0.0)
        g = tl.load(gradient + places, mask=is_there, other=0.0)
        g = tl.where(z != 0, g, 0.0)
        tl.store(gradient + places, g, mask=is_there)
        g_total += g
        z_total += z
        count += (z != 0).to(tl.int32)
    tl.store(gradient_sums + latents, tl.sum(g_total, 0), mask=is_latent)
    tl.store(code_sums + latents, tl.sum(z_total, 0), mask=is_latent)
    tl.store(counts + latents, tl.sum(count, 0).to(tl.int64), mask=is_latent)


def mask(gradient: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Set a gradient to 0 where a code is 0, in place.

    Parameters
    ----------
    gradient, codes : Tensor of shape (n, n_components)
        Contiguous, of one dtype.

    Returns
    -------
    gradient_sums, code_sums : Tensor of shape (n_components,)
        The sum of each latent's gradients that are left, and of its codes.
    counts : Tensor of shape (n_components,), int64
        On how many samples each latent is active.
    """
    n, width = codes.shape
    gradient_sums, code_sums = codes.new_empty(width), codes.new_empty(width)
    counts = codes.new_empty(width, dtype=torch.int64)
    latents = _latents_of(triton.next_power_of_2(width))
    _triton.launch(
        _mask, (triton.cdiv(width, latents),), gradient, codes, gradient_sums, code_sums, counts,
        n, width, ROWS=_ENTRIES // latents, LATENTS=latents, num_warps=_WARPS,
    )  # fmt: skip
    return gradient_sums, code_sums, counts


def _latents_of(width: int) -> int:
    """Return how many latents, of `width`, a power of two, a program takes."""
    return min(width, max(_FEWEST_LATENTS, min(_MOST_LATENTS, width // _PROGRAMS)))
