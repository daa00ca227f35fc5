"""A step of Adam on the unit sphere for the rows of a matrix, in Triton.

A program takes a row through all of it: what lies along the atom leaves its gradient, the moments
follow, the atom takes its step and gets its length back. All is read once and written once.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl
from torch import Tensor

from .. import _triton

_WARPS = 4


@triton.jit
def _step_rows(
    atoms, gradient, mean, square, count, rate, eps, share1, share2, log1, log2, width,
    RATE_LIES_THERE: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    columns = tl.arange(0, F)
    is_there = columns < width
    places = tl.program_id(0).to(tl.int64) * width + columns
    d = tl.load(atoms + places, mask=is_there, other=0.0)
    g = tl.load(gradient + places, mask=is_there, other=0.0)
    g -= tl.sum(g * d, 0) * d
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
    d -= rate / bias1 * m / (tl.sqrt(v) / tl.sqrt(bias2) + eps)
    d /= tl.sqrt(tl.sum(d * d, 0))
    tl.store(atoms + places, d, mask=is_there)


def step_rows(
    atoms: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    count: Tensor,
    rate: float | Tensor,
    betas: tuple[float, float],
    eps: float,
) -> bool:
    """Take a step; return True.

    Parameters
    ----------
    atoms, gradient, mean, square : Tensor of shape (n_components, n_features), float32
        The atoms, of unit norm, their gradient, and Adam's moments of it.
    count : Tensor of shape ()
        Steps taken, this one among them.
    rate : float or Tensor of shape ()
        Step size.
    betas : tuple of float
        Adam's, of the two moments.
    eps : float
        Adam's.
    """
    width, shares, logs = atoms.shape[1], [1 - b for b in betas], [math.log(b) for b in betas]
    numbers = count, rate, eps, *shares, *logs, width
    _triton.launch(
        _step_rows, (len(atoms),), atoms.detach(), gradient, mean, square, *numbers,
        RATE_LIES_THERE=isinstance(rate, Tensor), F=triton.next_power_of_2(width), num_warps=_WARPS,
    )  # fmt: skip
    return True
