"""Rows of activations, and where in the texts they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, repr=False)
class Activations:
    """Activations of a layer, a row a position.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        What the layer returned; a read-only memory map where they lie on the disk. Estimators take
        it as it is.
    text : ndarray of shape (n_rows,)
        The number of the text of each row, counted over all batches.
    position : ndarray of shape (n_rows,)
        The position of each row in its text; 0 where texts have no positions.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.hooks import Activations
    >>> Activations(np.ones((3, 2)), text=np.array([0, 0, 1]), position=np.array([1, 2, 1]))
    <Activations: 3 rows of 2 features (float64), from 2 texts>
    """

    rows: np.ndarray
    text: np.ndarray
    position: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        n_texts = len(np.unique(self.text))
        return (
            f"<Activations: {len(self):,} rows of {self.rows.shape[1]} features "
            f"({self.rows.dtype}), from {n_texts:,} texts>"
        )
