"""Blocks of samples: few enough that what is computed for them stays in a CPU's cache, and many
enough to fill a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from .._device import blocks_larger_by

# Numbers in the largest matrix of a block.
BLOCK_ELEMENTS = 1 << 20


def row_blocks(X: Tensor, width: int, *, times: float = 1, least: int = 1) -> Iterator[slice]:
    """Cut rows into blocks, the larger the more memory the GPU has where they lie.

    Parameters
    ----------
    X : Tensor of shape (n_rows, ...)
        The rows.
    width : int
        Numbers that a row takes in the largest matrix.
    times : float, default=1
        Size of a block, in `BLOCK_ELEMENTS`.
    least : int, default=1
        Fewest rows of a block.
    """
    step = max(least, int(times * blocks_larger_by(X.device) * BLOCK_ELEMENTS) // width)
    for start in range(0, len(X), step):
        yield slice(start, start + step)
