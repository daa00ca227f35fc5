"""How rows are shown: as a user's callable says, or as their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._numbers import column_names, is_frame
from ._coded_rows import CodedRows
from ._shown import shown_by
from ._token_contexts import TokenContexts

# Numbers of a row that are shown where nothing else is said, those of largest size.
_N_VALUES = 8


class _Called:
    """What a callable row -> text, image or HTML returns."""

    def __init__(self, show: Callable[[Any], Any]):
        self._show = show

    def _rows_shown(self, _: CodedRows, __: np.ndarray, rows: np.ndarray) -> Iterator[dict]:
        """Yield what is shown of each row."""
        return (shown_by(self._show, row, f"show({row})") for row in rows.tolist())


class _Values:
    """The largest numbers of a row, by name."""

    def __init__(self, X: Any):
        self._names = column_names(X) if is_frame(X) else None

    def _rows_shown(self, coded: CodedRows, _: np.ndarray, rows: np.ndarray) -> Iterator[dict]:
        """Yield what is shown of each row."""
        names = self._names or [f"x{i}" for i in range(coded.rows.shape[1])]
        for row in rows:
            values = coded.rows[row : row + 1].numpy()[0]
            places = np.sort(np.argsort(-np.abs(values), kind="stable")[:_N_VALUES])
            yield {"text": ", ".join(f"{names[i]} = {values[i]:.4g}" for i in places)}


def view_of(show: Any, X: Any, n_rows: int) -> TokenContexts | _Called | _Values:
    """Return what shows the rows of X.

    Raises
    ------
    TypeError
        If `show` is neither None, a callable nor TokenContexts.
    ValueError
        If TokenContexts are of other rows.
    """
    if show is None:
        return _Values(X)
    if isinstance(show, TokenContexts):
        if len(show) != n_rows:
            raise ValueError(
                f"FeatureReport: show has {len(show)} rows, X has {n_rows}; pass the activations "
                "that X is of."
            )
        return show
    if not callable(show):
        raise TypeError(
            f"FeatureReport: show must be a callable row -> text, image or SafeHTML, or "
            f"TokenContexts, got a {type(show).__name__}."
        )
    return _Called(show)
