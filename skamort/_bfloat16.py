"""Products with the rows of a matrix in bfloat16, and a bound on their error.

CPUs with instructions for it multiply bfloat16 several times as fast as float32. Its eight bits are
enough to find the few rows that matter, for the error of a product is bounded. Rounded x and w give

    |<x~, w~> - <x, w>| <= ||x~ - x|| ||w|| + ||x~|| ||w~ - w||,     ||w~ - w|| <= 2^-8 ||w||,

and the sum of n products in float32, in any order, adds n 2^-23 ||x~|| ||w~||. The product that is
returned is that sum rounded again.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# Largest relative error of a number rounded to bfloat16, of which it holds eight bits.
ROUNDING = 2.0**-8
# Of a sum of two numbers in float32, rounded to either side.
_SUM_ROUNDING = 2.0**-23
# Lengths are computed in float32, where squares below 2^-126 may vanish, as products do in
# bfloat16. A length of sqrt(n) times this more makes up for all of them.
_LOST = 2.0**-58
# And for what rounding takes from the bound itself.
SLACK = 1.01
# With fewer rows the conversion of the matrix takes longer than the product saves.
FEWEST_ROWS = 32


def round_rows(X: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of X (n, n_features) in bfloat16, and a slope for each, (n,).

    With P the product in bfloat16 of these rows and those of a matrix, rounded likewise,

        |P[i, j] - x_i @ w_j| <= slopes[i] * lengths_of(W)[j] + ROUNDING * |P[i, j]|

    wherever the right side is finite.
    """
    rounded = X.bfloat16()
    lost = lengths_of(rounded.float() - X)
    share = ROUNDING + (1 + ROUNDING) * sum_rounding(X)
    return rounded, SLACK * (lost + share * (lengths_of(X) + lost))


def lengths_of(A: Tensor) -> Tensor:
    """Return no less than the norms of the rows of a matrix, hardly more."""
    lost = _LOST * A.shape[1] ** 0.5
    return torch.linalg.vector_norm(A, dim=1).mul_(1 + sum_rounding(A)).add_(lost)


def sum_rounding(A: Tensor) -> float:
    """Return the error of <x, w> in float32, by any order of its sum, relative to ||x|| ||w||."""
    return A.shape[1] * _SUM_ROUNDING


@cache
def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products of bfloat16 that torch uses."""
    from llvmlite.binding import get_host_cpu_features

    features = get_host_cpu_features()
    has = features.get("avx512bf16") or features.get("amx-bf16")
    return bool(has) and torch.backends.mkldnn.is_available()
