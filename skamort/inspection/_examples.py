"""Stretches of text in which a latent fires, and others in which it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from .._matrices import check_dense_or_csr, check_matrix
from .._validation import check_integer
from ._places import Places
from ._top_activations import check_latents

MARKS = ("<<", ">>")


@dataclass(frozen=True)
class Example:
    """A stretch of text with a latent's code at each token.

    Parameters
    ----------
    tokens : tuple of str
        The text's tokens.
    codes : ndarray of shape (n_tokens,)
        The latent's codes, 0 where it is silent.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.inspection import Example
    >>> Example(("a", " red", " car"), np.array([0.0, 2.5, 0.0])).marked()
    'a<< red>> car'
    """

    tokens: tuple[str, ...]
    codes: np.ndarray

    def marked(self, share: float = 0.0) -> str:
        """Return the text with the tokens marked at which the latent fires.

        Parameters
        ----------
        share : float, default=0.0
            Share of the largest code beyond which a token is marked.

        Returns
        -------
        text : str
            Tokens between ``<<`` and ``>>`` where the latent fires.
        """
        size = np.abs(self.codes)
        fires = size > share * size.max(initial=0.0)
        return "".join(
            f"{MARKS[0]}{token}{MARKS[1]}" if marked else token
            for token, marked in zip(self.tokens, fires, strict=True)
        )

    def __str__(self) -> str:
        return "".join(self.tokens)


@dataclass(frozen=True)
class LatentExamples:
    """What a latent is explained from, and what an explanation is judged by.

    Parameters
    ----------
    latent : int
        Its number.
    strong : list of Example
        Those with its largest codes, from the strongest down.
    binned : list of Example
        From equal shares of its other codes by size, the largest first.
    silent : list of Example
        Where it does not fire.
    frequency : float
        Share of the rows in which it fires.

    See Also
    --------
    collect_examples : Makes them, with an example.

    Examples
    --------
    >>> from skamort.inspection import LatentExamples
    >>> LatentExamples(3, strong=[], binned=[], silent=[], frequency=0.0).latent
    3
    """

    latent: int
    strong: list[Example]
    binned: list[Example]
    silent: list[Example]
    frequency: float


def collect_examples(
    codes: Any,
    tokens: Sequence[Sequence[str]],
    text: Any,
    position: Any,
    *,
    latents: Sequence[int] | None = None,
    n_strong: int = 10,
    n_bins: int = 0,
    n_silent: int = 10,
    near: Any = None,
    before: int = 30,
    after: int = 5,
    random_state: int | np.random.RandomState | None = None,
) -> list[LatentExamples]:
    """Collect stretches of text in which latents fire, and others in which they do not.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_rows, n_components)
        What an estimator makes of the activations.
    tokens : sequence of sequences of str
        The tokens of every text.
    text, position : array-like of int of shape (n_rows,)
        Which token each row is of, as :class:`skamort.hooks.Activations` has them.
    latents : sequence of int, default=None
        Which; by default all that fire.
    n_strong : int, default=10
        Stretches with the largest codes; each text gives one at most where there are enough.
    n_bins : int, default=0
        Stretches from equal shares of the other codes by size, one from each.
    n_silent : int, default=10
        Stretches in which the latent does not fire.
    near : array-like of shape (n_components, n_features), default=None
        Atoms: then silent stretches are those in which the latent nearest by cosine fires, hard to
        tell apart, as far as there are any.
    before, after : int, default=30, 5
        Tokens of a stretch before and after the one where the latent fires.
    random_state : int, RandomState instance or None, default=None
        What draws silent stretches, and those of each share.

    Returns
    -------
    examples : list of LatentExamples
        One for each latent that fires.

    Raises
    ------
    ValueError
        If rows, texts and positions do not fit together: a row without a token, for instance; if
        there is no such latent, a count is negative or `near` has another number of rows than there
        are latents.
    TypeError
        If a count or a latent is no integer.

    References
    ----------
    The sizes are those of O'Neill, Gumran and Klindt (2025), section 5.

    Examples
    --------
    >>> from skamort.inspection import collect_examples
    >>> tokens = [["a", " red", " car"], ["no", " blue", " sky"]]
    >>> codes = [[0.0], [2.5], [0.0], [0.0], [0.0], [0.0]]
    >>> found = collect_examples(codes, tokens, [0, 0, 0, 1, 1, 1], [0, 1, 2] * 2, random_state=0)
    >>> found[0].strong[0].marked()
    'a<< red>> car'
    >>> str(found[0].silent[0]).startswith("no")
    True
    """
    codes = sparse.csc_array(check_dense_or_csr(codes))
    places = _places(tokens, text, position, codes.shape[0])
    n_strong, n_bins, n_silent, *window = (
        check_integer(count, name, 0)
        for name, count in {
            "n_strong": n_strong,
            "n_bins": n_bins,
            "n_silent": n_silent,
            "before": before,
            "after": after,
        }.items()
    )
    rng = check_random_state(random_state)
    fired = np.flatnonzero(np.diff(codes.indptr))
    wanted = np.intersect1d(check_latents(latents, codes.shape[1]), fired)
    neighbours = None if near is None else _nearest(_atoms(near, codes.shape[1]), fired)
    found = []
    for latent in map(int, wanted):
        column = _Column(codes, latent, places, window)
        others = None
        if neighbours is not None:
            others = _Column(codes, int(neighbours[latent]), places, window)
        strong = column.strongest(n_strong)
        found.append(
            LatentExamples(
                latent,
                [column.example(row) for row in strong],
                [column.example(row) for row in column.binned(n_bins, strong, rng)],
                [column.example(row) for row in column.silent(n_silent, others, rng)],
                len(column.rows) / codes.shape[0],
            )
        )
    return found


def _places(tokens: Sequence[Sequence[str]], text: Any, position: Any, n_rows: int) -> Places:
    """Return which token each row of codes is of."""
    places = Places(tokens, text, position, "collect_examples")
    if len(places.text) != n_rows:
        raise ValueError(
            f"collect_examples: codes have {n_rows} rows, text {len(places.text)} and position "
            f"{len(places.position)} entries; give one of each for a row."
        )
    return places


class _Column:
    """One latent's codes."""

    def __init__(self, codes: Any, latent: int, places: Places, window: Sequence[int]):
        kept = slice(codes.indptr[latent], codes.indptr[latent + 1])
        values, rows = codes.data[kept], codes.indices[kept]
        order = np.lexsort((rows, -np.abs(values)))
        order = order[values[order] != 0]
        self.rows, self.values = rows[order], values[order]
        self._places, self._window = places, window
        self._dense = np.zeros(codes.shape[0] + 1)  # the last is that of no row
        self._dense[self.rows] = self.values

    def example(self, row: int) -> Example:
        """Return the stretch around a row."""
        tokens, at = self._places.tokens_around(row, *self._window)
        rows = self._places.rows_around(np.array([row]), *self._window)[0]
        return Example(tuple(tokens), self._dense[rows[self._window[0] - at :][: len(tokens)]])

    def strongest(self, n: int) -> np.ndarray:
        """Return the rows with the largest codes, of as many texts as can be."""
        _, first = np.unique(self._places.text[self.rows], return_index=True)
        rest = np.setdiff1d(np.arange(len(self.rows)), first)
        return self.rows[np.sort(np.concatenate([np.sort(first), rest])[:n])]

    def binned(self, n_bins: int, taken: np.ndarray, rng: Any) -> list[int]:
        """Return a row from each of equal shares of those that are not taken."""
        rest = self.rows[~np.isin(self.rows, taken)]
        shares = np.array_split(rest, n_bins) if n_bins else []
        return [int(rng.choice(share)) for share in shares if len(share)]

    def silent(self, n: int, others: _Column | None, rng: Any) -> list[int]:
        """Return rows in whose stretch it does not fire, those where others do first."""
        drawn = rng.permutation(len(self._dense) - 1)
        if others is not None:
            drawn = np.concatenate([rng.permutation(others.rows), drawn])
        chosen: list[int] = []
        for row in map(int, drawn):
            if len(chosen) == n:
                break
            if row not in chosen and not self.example(row).codes.any():
                chosen.append(row)
        return chosen


def _atoms(near: Any, n_latents: int) -> np.ndarray:
    atoms = check_matrix(near, "near")
    if len(atoms) != n_latents:
        raise ValueError(
            f"collect_examples: near must hold an atom for each of {n_latents} latents, got shape "
            f"{atoms.shape}."
        )
    return atoms


def _nearest(atoms: np.ndarray, fired: np.ndarray) -> np.ndarray:
    """Return for each atom the other one that fires with the largest cosine."""
    units = atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), np.finfo(float).tiny)
    cosines = units @ units[fired].T
    cosines[fired, np.arange(len(fired))] = -np.inf
    return fired[cosines.argmax(axis=1)]
