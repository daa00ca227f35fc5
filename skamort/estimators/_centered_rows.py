"""Rows less their center, computed as they are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._rows import Rows


class CenteredRows:
    """The rows of several matrices, one after the other, less a center: what slicing reads.

    Parameters
    ----------
    parts : sequence of Rows of the same width and type
        The matrices.
    center : ndarray of shape (n_features,) or None
        What is taken off each row.

    Attributes
    ----------
    shape : tuple of int
        (n_samples, n_features) of all together.
    chunks : tuple of int
        How the rows of the first are stored.
    """

    def __init__(self, parts: Sequence[Rows], center: np.ndarray | None):
        self._parts, self._center = parts, center
        self.shape = (sum(map(len, parts)), parts[0].shape[1])
        self.chunks = (parts[0].chunk_rows, self.shape[1])

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Read a slice of consecutive rows."""
        start, stop, _ = rows.indices(self.shape[0])
        blocks = []
        for part in self._parts:
            if start < min(stop, len(part)):
                blocks.append(part[start:stop].numpy())
            start, stop = max(0, start - len(part)), stop - len(part)
        values = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return values if self._center is None else values - self._center
