"""Rows by the text and the position that they are of."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np

from .._given import check_given
from .._numbers import as_array


class Places:
    """Which token of which text each row is of.

    Parameters
    ----------
    tokens : sequence of sequences of str
        The tokens of every text.
    text, position : array-like of int of shape (n_rows,)
        Of each row.
    owner : str
        Whom errors name.

    Raises
    ------
    ValueError
        If a row has no token, or another number of texts than of positions came.
    TypeError
        If a text was not cut into tokens.
    """

    def __init__(self, tokens: Sequence[Sequence[str]], text: Any, position: Any, owner: str):
        is_texts = isinstance(tokens, Sized) and not isinstance(tokens, str)
        check_given(is_texts, tokens, f"{owner}: tokens", "a list of the tokens of each text")
        self.tokens = tokens
        self.text, self.position = as_array(text), as_array(position)
        self._check(owner)
        self._step = max(map(len, tokens), default=0) + 1
        keys = self.text * self._step + self.position
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def tokens_around(self, row: int, before: int, after: int) -> tuple[list[str], int]:
        """Return the tokens around a row's, and which of them is its own."""
        position = int(self.position[row])
        first = max(position - before, 0)
        return list(self.tokens[self.text[row]][first : position + after + 1]), position - first

    def rows_around(self, rows: np.ndarray, before: int, after: int) -> np.ndarray:
        """Return the rows (n, before + 1 + after) of the same texts at the positions around; -1
        where there is none."""
        position = self.position[rows][:, None] + np.arange(-before, after + 1)
        wanted = self.text[rows][:, None] * self._step + position
        places = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        there = (self._keys[places] == wanted) & (position >= 0) & (position < self._step)
        return np.where(there, self._order[places], -1)

    def _check(self, owner: str) -> None:
        for number, tokens in enumerate(self.tokens):
            if isinstance(tokens, str):
                raise TypeError(
                    f"{owner}: tokens[{number}] is a text; pass a list of its tokens, one for each "
                    "position."
                )
        if self.text.shape != self.position.shape or self.text.ndim != 1:
            raise ValueError(
                f"{owner}: each row needs a text and a position, got shapes {self.text.shape} and "
                f"{self.position.shape}."
            )
        for name, numbers in (("text", self.text), ("position", self.position)):
            is_whole = numbers.dtype.kind in "iu" or not numbers.size
            check_given(is_whole, numbers, f"{owner}: {name}", f"integers, not {numbers.dtype}")
        self._check_tokens(owner)

    def _check_tokens(self, owner: str) -> None:
        lengths = np.array([*map(len, self.tokens), 0])  # the last is of a text that is not there
        is_there = (self.text >= 0) & (self.text < len(self.tokens))
        length = lengths[np.where(is_there, self.text, -1)]
        bad = np.flatnonzero((self.position < 0) | (self.position >= length))
        if len(bad):
            row = bad[0]
            raise ValueError(
                f"{owner}: row {row} is of text {self.text[row]}, position {self.position[row]}, "
                f"which `tokens` does not have ({length[row]} tokens of that text); it must hold "
                "all texts that were read, special tokens included."
            )
