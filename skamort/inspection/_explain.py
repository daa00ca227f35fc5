"""Latents put into words by any callable, and the words judged by what they predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score
from sklearn.utils import check_random_state

from .._validation import check_integer
from . import _prompts
from ._ask import Asker, Explainer, read_explanation, read_numbers
from ._examples import Example, LatentExamples
from ._table import make_table

_MOST = 10  # of the scale in which strengths are told


def explain(
    examples: Sequence[LatentExamples],
    explainer: Explainer,
    *,
    promoted: Mapping[int, tuple[Sequence[str], Sequence[str]]] | None = None,
    n_shown: int = 5,
    cache: MutableMapping[str, str] | None = None,
    timeout: float | None = None,
) -> dict[int, str | None]:
    """Put latents into words.

    Parameters
    ----------
    examples : sequence of LatentExamples
        As :func:`collect_examples` gives them.
    explainer : callable
        From a prompt to an answer, both str: a language model, a service, a person. Whatever it
        raises counts as no answer.
    promoted : dict, default=None
        By latent, the tokens that its atom makes more likely and those less likely, which the
        prompt then tells too.
    n_shown : int, default=5
        How many of the strong examples, every other one from the strongest, are shown; the rest is
        left to judge by. Those from shares by size are shown as well.
    cache : MutableMapping of str to str, default=None
        Answers by prompt, such as a :class:`FolderCache`; what it holds is not asked again.
    timeout : float, default=None
        Seconds to wait for an answer.

    Returns
    -------
    explanations : dict of int to str or None
        By latent; None where the answer could not be read.

    See Also
    --------
    score_by_detection : How well stretches with the latent are told from others by the words.
    score_by_simulation : How well its strength at each token is.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), section 5, with prompts of our own.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.inspection import Example, LatentExamples, explain
    >>> red = Example(("a", " red", " car"), np.array([0.0, 2.5, 0.0]))
    >>> latent = LatentExamples(0, strong=[red], binned=[], silent=[], frequency=0.3)
    >>> explain([latent], lambda prompt: "[EXPLANATION]: colours")
    {0: 'colours'}
    """
    asker = Asker(explainer, cache, timeout)
    said = promoted or {}
    return {
        each.latent: asker.ask(_explaining(each, said.get(each.latent), n_shown), read_explanation)
        for each in _checked(examples, "explain")
    }


def score_by_detection(
    examples: Sequence[LatentExamples],
    explanations: Mapping[int, str | None],
    scorer: Explainer,
    *,
    n_shown: int = 5,
    cache: MutableMapping[str, str] | None = None,
    timeout: float | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> Any:
    """Judge explanations by whether stretches with a latent are told from others by them.

    The scorer gets the explanation and, in random order, the strong examples that the explainer did
    not see with as many silent ones; fewer where there are fewer of either.

    Parameters
    ----------
    examples : sequence of LatentExamples
        The same that were explained.
    explanations : dict of int to str or None
        As :func:`explain` gives them. Latents without one are left out, and those without a strong
        or without a silent example to judge by.
    scorer : callable
        From a prompt to an answer, both str.
    n_shown : int, default=5
        What :func:`explain` was given.
    cache : MutableMapping of str to str, default=None
        Answers by prompt.
    timeout : float, default=None
        Seconds to wait for an answer.
    random_state : int, RandomState instance or None, default=None
        What shuffles.

    Returns
    -------
    table : DataFrame
        One row a latent: ``f1``, ``accuracy`` and ``n_examples``; NaN where the answer could not be
        read. A plain table of arrays where pandas is not installed.

    Raises
    ------
    ValueError
        If there is no latent to judge.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), section 5 (F1); the accuracy is that of other papers.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.inspection import Example, LatentExamples, score_by_detection
    >>> red, sky = Example((" red",), np.ones(1)), Example((" sky",), np.zeros(1))
    >>> latent = LatentExamples(0, [red] * 4, binned=[], silent=[sky] * 4, frequency=0.3)
    >>> def judge(prompt):
    ...     stretches = [line for line in prompt.splitlines() if line[1:3] == ". "]
    ...     return str([int("red" in stretch) for stretch in stretches])
    >>> table = score_by_detection([latent], {0: "colours"}, judge, n_shown=2, random_state=0)
    >>> float(table["f1"][0])
    1.0
    """
    asker, rng = Asker(scorer, cache, timeout), check_random_state(random_state)
    rows = {}
    for each in _checked(examples, "score_by_detection"):
        explanation = explanations.get(each.latent)
        _, unseen = _split(each.strong, n_shown)
        n = min(len(unseen), len(each.silent))  # of one kind alone nothing is told apart
        shown = [*unseen[:n], *each.silent[:n]]
        if explanation and shown:
            true, order = np.repeat([1, 0], n), rng.permutation(2 * n)
            prompt = _detecting(explanation, [shown[i] for i in order])
            rows[each.latent] = _detection(asker, prompt, true[order])
    return _judged(rows)


def score_by_simulation(
    examples: Sequence[LatentExamples],
    explanations: Mapping[int, str | None],
    simulator: Explainer,
    *,
    n_shown: int = 5,
    cache: MutableMapping[str, str] | None = None,
    timeout: float | None = None,
) -> Any:
    """Judge explanations by whether a latent's strength at each token can be told from them.

    Parameters
    ----------
    examples : sequence of LatentExamples
        The same that were explained.
    explanations : dict of int to str or None
        As :func:`explain` gives them. Latents without one are left out.
    simulator : callable
        From a prompt to an answer, both str.
    n_shown : int, default=5
        What :func:`explain` was given.
    cache : MutableMapping of str to str, default=None
        Answers by prompt.
    timeout : float, default=None
        Seconds to wait for an answer.

    Returns
    -------
    table : DataFrame
        One row a latent: ``correlation`` of what was told with the codes over all tokens of the
        strong examples that the explainer did not see and as many silent ones, and ``n_examples``,
        those answered; NaN where no answer could be read or nothing varies.

    Raises
    ------
    ValueError
        If there is no latent to judge.

    References
    ----------
    Bills et al. (2023), Language models can explain neurons in language models.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.inspection import Example, LatentExamples, score_by_simulation
    >>> red = Example(("a", " red", " car"), np.array([0.0, 2.5, 0.0]))
    >>> latent = LatentExamples(0, [red] * 4, binned=[], silent=[], frequency=0.3)
    >>> simulate = lambda prompt: "[0, 10, 0]"
    >>> table = score_by_simulation([latent], {0: "colours"}, simulate, n_shown=2)
    >>> round(float(table["correlation"][0]), 6)
    1.0
    """
    asker = Asker(simulator, cache, timeout)
    rows = {}
    for each in _checked(examples, "score_by_simulation"):
        explanation = explanations.get(each.latent)
        _, unseen = _split(each.strong, n_shown)
        if explanation and unseen:
            rows[each.latent] = _simulation(
                asker, explanation, [*unseen, *each.silent[: len(unseen)]]
            )
    return _judged(rows)


def _checked(examples: Any, caller: str) -> Sequence[LatentExamples]:
    if isinstance(examples, Sequence) and all(isinstance(e, LatentExamples) for e in examples):
        return examples
    raise TypeError(
        f"{caller}: examples must be a sequence of LatentExamples, got {type(examples).__name__}; "
        "pass what collect_examples returns, or a list of some of them."
    )


def _judged(rows: dict[int, dict[str, float]]) -> Any:
    if not rows:
        raise ValueError(
            "no latent has an explanation, strong examples that the explainer did not see and, for "
            "detection, silent ones; collect more examples (n_strong, n_silent)."
        )
    return make_table(rows)


def _split(strong: Sequence[Example], n_shown: int) -> tuple[list[Example], list[Example]]:
    """Return every other example, which the explainer sees, and the rest, so that both are of all
    strengths."""
    check_integer(n_shown, "n_shown", 1)
    shown = list(strong[::2][:n_shown])
    return shown, [each for place, each in enumerate(strong) if place % 2 or place >= 2 * n_shown]


def _explaining(each: LatentExamples, promoted: Any, n_shown: int) -> str:
    shown = [*_split(each.strong, n_shown)[0], *each.binned]
    largest = max((float(np.abs(example.codes).max(initial=0)) for example in shown), default=1.0)
    said = ""
    if promoted is not None:
        more, less = (", ".join(map(repr, tokens)) for tokens in promoted)
        said = _prompts.PROMOTED.format(more=more, less=less)
    numbered = (f"{i}. {_strengths(example, largest)}" for i, example in enumerate(shown, 1))
    return _prompts.EXPLAIN.format(examples="\n".join(numbered), promoted=said)


def _strengths(example: Example, largest: float) -> str:
    strengths = _scaled(example.codes, largest)
    told = ", ".join(
        f"{token!r}: {strength}"
        for token, strength, code in zip(example.tokens, strengths, example.codes, strict=True)
        if code
    )
    return f"{_in_line(example.marked())} ({told})"


def _scaled(codes: np.ndarray, largest: float) -> list[int]:
    return np.rint(_MOST * np.abs(codes) / (largest or 1.0)).clip(0, _MOST).astype(int).tolist()


def _in_line(text: str) -> str:
    return text.replace("\n", "\\n")


def _detecting(explanation: str, shown: Sequence[Example]) -> str:
    numbered = (f"{i}. {_in_line(str(example))}" for i, example in enumerate(shown, 1))
    return _prompts.DETECT.format(
        explanation=explanation, n=len(shown), examples="\n".join(numbered)
    )


def _detection(asker: Asker, prompt: str, true: np.ndarray) -> dict[str, float]:
    found = asker.ask(prompt, _reader(len(true), 1))
    if found is None:
        return {"f1": np.nan, "accuracy": np.nan, "n_examples": len(true)}
    return {
        "f1": float(f1_score(true, found, zero_division=0)),
        "accuracy": float(accuracy_score(true, found)),
        "n_examples": len(true),
    }


def _simulation(asker: Asker, explanation: str, shown: Sequence[Example]) -> dict[str, float]:
    told, true = [], []
    for example in shown:
        prompt = _prompts.SIMULATE.format(
            explanation=explanation,
            n=len(example.tokens),
            tokens="\n".join(map(_in_line, example.tokens)),
        )
        strengths = asker.ask(prompt, _reader(len(example.tokens), _MOST))
        if strengths is not None:
            told.append(strengths)
            true.append(np.abs(example.codes))
    return {"correlation": _correlation(told, true), "n_examples": len(told)}


def _correlation(told: Sequence[Any], true: Sequence[Any]) -> float:
    if not told:
        return np.nan
    one, two = np.concatenate(told).astype(float), np.concatenate(true).astype(float)
    return float(np.corrcoef(one, two)[0, 1]) if one.std() and two.std() else np.nan


def _reader(n: int, most: int) -> Callable[[str], list[int] | None]:
    return lambda answer: read_numbers(answer, n, most)
