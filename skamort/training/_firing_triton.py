"""How often latents fire and since when they do not, counted by one launch, in Triton."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .. import _triton

_BLOCK, _WARPS = 256, 4


@triton.jit
def _count(counts, silence, fired, n_rows, length, BLOCK: tl.constexpr):
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_there = places < length
    new = tl.load(fired + places, mask=is_there, other=0).to(tl.int64)
    count = tl.load(counts + places, mask=is_there, other=0)
    silent = tl.load(silence + places, mask=is_there, other=0)
    tl.store(counts + places, count + new, mask=is_there)
    tl.store(silence + places, tl.where(new > 0, 0, silent + n_rows), mask=is_there)


def count_firing(counts: Tensor, silence: Tensor, fired: Tensor, n_rows: int) -> bool:
    """Do what `_rules.count_firing` does to contiguous tensors; return True."""
    size = counts.numel()
    _triton.launch(
        _count, (triton.cdiv(size, _BLOCK),), counts, silence, fired, n_rows, size,
        BLOCK=_BLOCK, num_warps=_WARPS,
    )  # fmt: skip
    return True
