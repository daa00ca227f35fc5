"""Blocks of samples: few enough that what is computed for them stays in a CPU's cache."""

from __future__ import annotations

from collections.abc import Iterator

# Numbers in the largest matrix of a block.
BLOCK_ELEMENTS = 1 << 20


def row_blocks(n_rows: int, width: int, *, times: float = 1, least: int = 1) -> Iterator[slice]:
    """Cut rows into blocks.

    Parameters
    ----------
    n_rows : int
        How many.
    width : int
        Numbers that a row takes in the largest matrix.
    times : float, default=1
        Size of a block, in `BLOCK_ELEMENTS`.
    least : int, default=1
        Fewest rows of a block.
    """
    step = max(least, int(times * BLOCK_ELEMENTS) // width)
    for start in range(0, n_rows, step):
        yield slice(start, start + step)
