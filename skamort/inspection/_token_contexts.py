"""Rows that are tokens, each within its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._given import check_given
from .._validation import check_integer
from ._coded_rows import CodedRows
from ._places import Places
from ._shown import short


class TokenContexts:
    """Tokens around each row, for a :class:`FeatureReport` that shades them by activation.

    Parameters
    ----------
    tokens : sequence of sequences of str
        The tokens of each text as a reader should see them, such as
        ``[tokenizer.decode(t) for t in ids]``, one for each position.
    activations : object with ``text`` and ``position``
        The text and the position of each row, arrays of shape (n_rows,), as
        :func:`skamort.hooks.collect_activations` returns them.
    window : int, default=12
        How many tokens to show before and after.

    Raises
    ------
    ValueError
        If a row has no token.
    TypeError
        If a text was not cut into tokens.

    See Also
    --------
    FeatureReport : Shows them.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.hooks import Activations
    >>> from skamort.inspection import TokenContexts
    >>> activations = Activations(np.eye(3), text=np.zeros(3, int), position=np.arange(1, 4))
    >>> TokenContexts([["<s>", "In", " the", " beginning"]], activations)
    <TokenContexts: 3 rows in 1 texts>
    """

    def __init__(
        self, tokens: Sequence[Sequence[str]], activations: Any, *, window: int = 12
    ) -> None:
        is_placed = hasattr(activations, "text") and hasattr(activations, "position")
        what = "what skamort.hooks.collect_activations returns"
        check_given(is_placed, activations, "TokenContexts: activations", what)
        self._window = check_integer(window, "window", 0)
        self._places = Places(tokens, activations.text, activations.position, "TokenContexts")

    def __len__(self) -> int:
        return len(self._places.text)

    def __repr__(self) -> str:
        return f"<TokenContexts: {len(self):,} rows in {len(self._places.tokens):,} texts>"

    def _rows_shown(
        self, coded: CodedRows, latents: np.ndarray, rows: np.ndarray
    ) -> Iterator[dict]:
        """Yield what is shown of each row, its surroundings shaded by a latent."""
        codes = self._codes_around(coded, latents, rows)
        yield from map(self._shown, rows.tolist(), codes)

    def _shown(self, row: int, codes: np.ndarray) -> dict[str, Any]:
        tokens, at = self._places.tokens_around(row, self._window, self._window)
        around = codes[self._window - at :][: len(tokens)]
        return {
            "tokens": list(map(str, tokens)),
            "codes": list(map(short, around)),
            "at": at,
            "place": f"text {self._places.text[row]}, position {self._places.position[row]}",
        }

    def _codes_around(self, coded: CodedRows, latents: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return codes (n, 2 window + 1), each row coded once; 0 where there is no row."""
        around = self._places.rows_around(rows, self._window, self._window)
        codes, there = np.zeros(around.shape, dtype=np.float32), around >= 0
        of = np.broadcast_to(latents[:, None], around.shape)
        codes[there] = coded.at(around[there], of[there])
        return codes
