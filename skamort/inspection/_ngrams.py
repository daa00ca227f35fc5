"""Latents explained by patterns of tokens, without a language model that explains (N2G).

Each context in which a latent is strong is cut from the left while its last token keeps half of its
code, then every token whose replacement by padding leaves it so becomes a wildcard. What is left is
a pattern that ends at the token where the latent fires. Patterns stand in a trie, last token first;
at a position of a new text the longest one that matches predicts the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .._given import check_given
from .._validation import check_integer

Tokens = Sequence[int]
Activate = Callable[[list[list[int]]], np.ndarray]
Pattern = tuple[int | None, ...]


@dataclass
class _Node:
    """What follows, to the left, by token; None stands for any token."""

    children: dict[int | None, _Node] = field(default_factory=dict)
    codes: list[float] = field(default_factory=list)


class NGramExplanation:
    """Patterns of tokens that tell where a latent fires.

    Parameters
    ----------
    patterns : dict of tuple to list of float
        By pattern, the codes at its last token. A pattern is a tuple of token numbers, None for any
        token.

    See Also
    --------
    explain_by_ngrams : Finds the patterns of a latent.

    Examples
    --------
    >>> from skamort.inspection import NGramExplanation
    >>> explanation = NGramExplanation({(7, None, 9): [2.0, 4.0]})
    >>> explanation.predict([7, 1, 9, 9])
    array([0., 0., 3., 0.])
    """

    def __init__(self, patterns: dict[Pattern, list[float]]):
        self.patterns = patterns
        self._root = _Node()
        for pattern, codes in patterns.items():
            node = self._root
            for token in reversed(pattern):
                node = node.children.setdefault(token, _Node())
            node.codes.extend(codes)

    def predict(self, tokens: Tokens) -> np.ndarray:
        """Predict the latent's code at every position of a text.

        Parameters
        ----------
        tokens : sequence of int
            Token numbers.

        Returns
        -------
        codes : ndarray of shape (n_positions,)
            The mean code of the longest pattern that ends there, 0 where none does.
        """
        numbers = _numbers(tokens)
        return np.array([self._at(numbers, end) for end in range(len(numbers))], dtype=float)

    def score(self, texts: Sequence[Tokens], codes: Sequence[np.ndarray]) -> dict[str, float]:
        """Compare what is predicted to be active with what is.

        Parameters
        ----------
        texts : sequence of sequences of int
            Token numbers of texts that no pattern was made from.
        codes : sequence of ndarray of shape (n_positions,)
            The latent's codes in each; NaN at a position that does not count.

        Returns
        -------
        scores : dict
            ``precision``, ``recall`` and their harmonic mean ``f1``, each from 0 to 1.
        """
        found = np.concatenate([self.predict(text) for text in texts]) != 0
        true = np.concatenate([np.asarray(each, dtype=float) for each in codes])
        if found.shape != true.shape:
            raise ValueError(
                f"NGramExplanation.score: texts have {len(found)} tokens, but there are "
                f"{len(true)} codes; give one for each token."
            )
        found, true = found[~np.isnan(true)], true[~np.isnan(true)] != 0
        hits = float((found & true).sum())
        precision, recall = hits / max(found.sum(), 1), hits / max(true.sum(), 1)
        f1 = 2 * hits / max(found.sum() + true.sum(), 1)
        return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}

    def _at(self, tokens: Tokens, end: int) -> float:
        """Return the code of the longest pattern that ends at a position."""
        nodes, code = [self._root], 0.0
        for token in reversed(tokens[: end + 1]):
            nodes = [
                node.children[key]
                for node in nodes
                for key in (token, None)
                if key in node.children
            ]
            ends = [np.mean(node.codes) for node in nodes if node.codes]
            code = float(np.mean(ends)) if ends else code
            if not nodes:
                break
        return code

    def __repr__(self) -> str:
        return f"<NGramExplanation: {len(self.patterns)} patterns>"


def explain_by_ngrams(
    contexts: Sequence[Tokens],
    activate: Activate,
    *,
    padding: int,
    max_length: int = 16,
    keep: float = 0.5,
) -> NGramExplanation:
    """Explain a latent by patterns of tokens.

    Parameters
    ----------
    contexts : sequence of sequences of int
        Token numbers of texts that end where the latent is strong; about 16.
    activate : callable
        Given a list of texts, lists of token numbers, returns the latent's code at the last token
        of each. :func:`skamort.hooks.last_code` makes one of a model.
    padding : int
        The token that stands for nothing.
    max_length : int, default=16
        Most tokens of a pattern.
    keep : float, default=0.5
        Share of the context's code that must remain, between 0 and 1.

    Returns
    -------
    explanation : NGramExplanation
        The patterns, from one for each context.

    Raises
    ------
    ValueError
        If there is no context, one is empty, or the latent is silent at the end of all.

    References
    ----------
    Foote et al. (2023), Neuron to Graph: Interpreting Language Model Neurons at Scale.

    Examples
    --------
    A latent that fires at 9 where 7 stands two before it:

    >>> from skamort.inspection import explain_by_ngrams
    >>> fires = lambda texts: [float(t[-1] == 9 and t[-3:-2] == [7]) for t in texts]
    >>> explain_by_ngrams([[1, 7, 5, 9], [7, 7, 2, 9]], fires, padding=0).patterns
    {(7, None, 9): [1.0, 1.0]}
    """
    check_integer(max_length, "max_length", 1)
    if not 0 < keep <= 1:
        raise ValueError(f"explain_by_ngrams: keep must be above 0 and at most 1, got {keep!r}.")
    is_texts = isinstance(contexts, Iterable) and not isinstance(contexts, str)
    check_given(is_texts, contexts, "explain_by_ngrams: contexts", "a list of lists of tokens")
    check_given(callable(activate), activate, "explain_by_ngrams: activate", "callable")
    ends = [_numbers(context)[-max_length:] for context in contexts]
    if not ends or not all(ends):
        raise ValueError("explain_by_ngrams: contexts must be lists of one token at least.")
    codes = np.asarray(activate(ends), dtype=float)
    if not codes.any():
        raise ValueError(
            "explain_by_ngrams: the latent is silent at the end of every context; give contexts "
            "that end where it is strong."
        )
    ends, codes = [end for end, code in zip(ends, codes, strict=True) if code], codes[codes != 0]
    patterns: dict[Pattern, list[float]] = {}
    for pattern, code in zip(_patterns(ends, activate, keep * codes, padding), codes, strict=True):
        patterns.setdefault(pattern, []).append(float(code))
    return NGramExplanation(patterns)


def _numbers(tokens: Tokens) -> list[int]:
    """Return token numbers as Python's, which are equal where they are the same."""
    return [int(token) for token in tokens]


def _patterns(
    contexts: list[list[int]], activate: Activate, least: np.ndarray, padding: int
) -> list[Pattern]:
    """Return what of each context the code at its end hangs on."""
    suffixes = [[context[start:] for start in range(len(context))] for context in contexts]
    kept = _keeps(suffixes, activate, least)
    shortest = [each[_n_cut(enough)] for each, enough in zip(suffixes, kept, strict=True)]
    replaced = [
        [[*text[:place], padding, *text[place + 1 :]] for place in range(len(text) - 1)]
        for text in shortest
    ]
    free = _keeps(replaced, activate, least)
    return [_pattern(text, wild) for text, wild in zip(shortest, free, strict=True)]


def _keeps(texts: list[list[list[int]]], activate: Activate, least: np.ndarray) -> list[np.ndarray]:
    """Return for each text whether its code is enough; all are asked for in one call."""
    sizes = [len(each) for each in texts]
    every = [text for each in texts for text in each]
    codes = np.asarray(activate(every), dtype=float) if every else np.empty(0)
    needed = np.repeat(least, sizes)
    return np.split(codes * np.sign(needed) >= abs(needed), np.cumsum(sizes)[:-1])


def _n_cut(kept: np.ndarray) -> int:
    """Return how many tokens can be cut off, one after the other."""
    return max(int(np.argmin(np.append(kept, False))) - 1, 0)


def _pattern(text: list[int], free: np.ndarray) -> Pattern:
    """Return a text with wildcards, none of them first."""
    pattern = [
        None if is_free else token for token, is_free in zip(text, [*free, False], strict=True)
    ]
    first = next(place for place, token in enumerate(pattern) if token is not None)
    return tuple(pattern[first:])
