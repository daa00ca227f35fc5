"""Patterns of tokens say where a latent fires."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skamort.inspection import NGramExplanation, explain_by_ngrams

PADDING, N_TOKENS = 0, 12


def fires(rule, size=1.0):
    """A latent that fires where the last tokens are those of the rule, None for any."""

    def at_end(text):
        end = text[-len(rule) :]
        fits = len(end) == len(rule) and all(
            token in (None, found) for token, found in zip(rule, end, strict=True)
        )
        return size * fits

    return lambda texts: np.array([at_end(list(text)) for text in texts])


def codes_of(latent, texts):
    return [latent([text[: end + 1] for end in range(len(text))]) for text in texts]


def texts_with(rule, n_texts, seed):
    """Random texts that end as the rule wants, and others in which it turns up now and then."""
    rng = np.random.default_rng(seed)
    texts = rng.integers(1, N_TOKENS, (n_texts, 20))
    for place, token in enumerate(rule, 20 - len(rule)):
        if token is not None:
            texts[:, place] = token
    return texts.tolist()


rules = (
    st.lists(st.one_of(st.none(), st.integers(1, N_TOKENS - 1)), max_size=3)
    .map(lambda rule: [*rule, 5])
    .filter(lambda rule: rule[0] is not None)
)


@given(rule=rules, seed=st.integers(0, 99), size=st.sampled_from([3.0, -0.5]))
def test_a_latent_with_a_rule_is_explained_by_it(rule, seed, size):
    latent = fires(rule, size)
    explanation = explain_by_ngrams(texts_with(rule, 4, seed), latent, padding=PADDING)
    assert list(explanation.patterns) == [tuple(rule)]
    new = texts_with(rule, 6, seed + 100)
    scores = explanation.score(new, codes_of(latent, new))
    assert scores == {"precision": 1, "recall": 1, "f1": 1}
    assert_allclose([explanation.predict(text)[-1] for text in new], size)


def test_few_calls_for_many_contexts():
    latent, sizes = fires([3, None, 5]), []

    def counted(texts):
        sizes.append(len(texts))
        return latent(texts)

    explain_by_ngrams(texts_with([3, None, 5], 9, 0), counted, padding=PADDING, max_length=6)
    assert sizes == [9, 9 * 6, 9 * 2]


@given(seed=st.integers(0, 99))
def test_the_longest_pattern_counts(seed):
    rng = np.random.default_rng(seed)
    explanation = NGramExplanation({(2,): [1.0], (1, 2): [2.0, 4.0], (1, None, 2): [7.0]})
    text = rng.integers(1, 4, 30).tolist()
    for end, code in enumerate(explanation.predict(text)):
        before = text[max(end - 2, 0) : end]
        if text[end] != 2:
            assert code == 0
        elif len(before) == 2 and before[0] == 1:
            assert code == 7
        else:
            assert code == (3 if before[-1:] == [1] else 1)


def test_scores_are_those_of_the_confusion():
    explanation = NGramExplanation({(1,): [1.0]})
    codes = [np.array([5.0, 0.0, 2.0, 0.0, np.nan])]
    scores = explanation.score([[1, 1, 3, 3, 1]], codes)
    assert scores == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    silent = NGramExplanation({(9,): [1.0]})
    assert silent.score([[1, 1, 3, 3, 1]], codes) == {"precision": 0, "recall": 0, "f1": 0}


def test_no_more_tokens_than_asked():
    rule = [1, 2, 3, 4, 5]
    explanation = explain_by_ngrams([rule], fires([3, 4, 5]), padding=PADDING, max_length=3)
    assert list(explanation.patterns) == [(3, 4, 5)]
    assert "1 patterns" in repr(explanation)
    assert_array_equal(explanation.predict([]), [])


@pytest.mark.parametrize(
    ("contexts", "said"),
    [
        ([], "one token at least"),
        ([[1], []], "one token at least"),
        ([[1, 2]], "silent at the end"),
    ],
)
def test_bad_contexts(contexts, said):
    with pytest.raises(ValueError, match=said):
        explain_by_ngrams(contexts, fires([9]), padding=PADDING)


def test_tokens_of_tensors_and_arrays():
    latent = fires([7, 9])
    for form in (torch.tensor, np.array):
        explanation = explain_by_ngrams([form([1, 7, 9])], latent, padding=PADDING)
        assert list(explanation.patterns) == [(7, 9)]
        assert_array_equal(explanation.predict(form([7, 9, 9])), [0, 1, 0])


@pytest.mark.parametrize("setting", [{"max_length": 0}, {"keep": 0}, {"keep": 2}, {"keep": np.nan}])
def test_bad_settings(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))} must be"):
        explain_by_ngrams([[7, 9]], fires([9]), padding=PADDING, **setting)


def test_bad_codes():
    with pytest.raises(ValueError, match="texts have 3 tokens, but there are 2 codes"):
        NGramExplanation({(1,): [1.0]}).score([[1, 2, 3]], [np.zeros(2)])
