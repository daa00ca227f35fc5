"""Explanations by callables: what is shown, what is read, what is counted, what goes wrong."""

import re
import time

import numpy as np
import pytest
from scipy import sparse

from skamort.inspection import (
    Example,
    FolderCache,
    collect_examples,
    explain,
    score_by_detection,
    score_by_simulation,
)
from skamort.inspection._ask import read_explanation, read_numbers

WORDS = ["red", "blue", "one", "two", "dog", "cat", "is", "the"]
FIRES_AT = {0: {"red", "blue"}, 1: {"one", "two"}, 2: {"dog"}}
SAID = {0: "colours", 1: "numbers", 2: "dogs"}


@pytest.fixture
def texts():
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, 20, 40)
    return [[" the", *(f" {word}" for word in rng.choice(WORDS, n))] for n in lengths]


@pytest.fixture
def places(texts):
    """The text and position of each row, without the first of each text, in no order."""
    pairs = [(i, j) for i, text in enumerate(texts) for j in range(1, len(text))]
    return np.random.default_rng(1).permutation(pairs).T


@pytest.fixture
def codes(texts, places):
    values = np.zeros((places.shape[1], 4))
    for row, (text, position) in enumerate(places.T):
        for latent, words in FIRES_AT.items():
            if texts[text][position].strip() in words:
                values[row, latent] = 1 + row % 7
    return values


@pytest.fixture
def examples(codes, texts, places):
    return collect_examples(codes, texts, *places, n_strong=10, before=3, after=2, random_state=0)


def oracle(prompt):
    """Knows the rules: explains from what is marked, and judges by the explanation."""
    if "[EXPLANATION]" in prompt:
        marked = {word.strip() for word in re.findall("<<(.*?)>>", prompt.split("\n\n")[1])}
        latent = next(each for each, words in FIRES_AT.items() if marked <= words)
        return f"Hm, let me see: [1, 2].\n[EXPLANATION]: {SAID[latent]}"
    words = next(FIRES_AT[each] for each, said in SAID.items() if f"for: {said}" in prompt)
    shown = prompt.split("\n\n")[2].splitlines()
    strength = 10 if "one token a line" in prompt else 1
    return str([strength * bool(words & set(line.split())) for line in shown])


# -- Examples --------------------------------------------------------------------------------------


def test_only_latents_that_fire_are_looked_at(examples, codes):
    assert [each.latent for each in examples] == [0, 1, 2]
    assert [each.frequency for each in examples] == pytest.approx((codes != 0).mean(0)[:3].tolist())


def test_strong_examples_hold_the_largest_codes(codes, texts, places):
    found = collect_examples(codes, texts, *places, n_strong=5, before=0, after=0, random_state=0)
    for each in found:
        largest = np.sort(codes[:, each.latent])[::-1][:5]
        assert [example.codes[0] for example in each.strong] == largest.tolist()


def test_codes_stand_at_their_tokens(examples):
    for each in examples:
        for example in (*each.strong, *each.silent):
            assert len(example.tokens) == len(example.codes) <= 6
            firing = [t.strip() in FIRES_AT[each.latent] for t in example.tokens]
            assert firing == (example.codes != 0).tolist()
        assert all(example.codes.any() for example in each.strong)
        assert not any(example.codes.any() for example in each.silent)
        assert len(each.strong) == len(each.silent) == 10


def test_texts_are_as_many_as_can_be(codes, texts, places):
    found = collect_examples(codes, texts, *places, n_strong=10, before=50, after=50)
    assert all(len({str(example) for example in each.strong}) == 10 for each in found)


def test_shares_by_size_fall(codes, texts, places):
    found = collect_examples(
        codes, texts, *places, n_strong=2, n_bins=3, before=0, after=0, random_state=0
    )
    sizes = [[float(example.codes[0]) for example in each.binned] for each in found]
    assert all(len(each) == 3 and each == sorted(each, reverse=True) for each in sizes)


def test_silent_stretches_near_by_are_those_of_the_nearest_atom(codes, texts, places):
    atoms = np.array([[1.0, 0, 0], [0, 1, 0.9], [0, 0.9, 1], [0.9, 0.1, 0]])
    found = collect_examples(
        codes, texts, *places, latents=[1], near=atoms, before=0, after=0, random_state=0
    )
    assert all(str(example) == " dog" for example in found[0].silent)


def test_sparse_codes_give_the_same(codes, texts, places):
    dense, csr = (
        collect_examples(each, texts, *places, random_state=0)
        for each in (codes, sparse.csr_array(codes))
    )
    for one, two in zip(dense, csr, strict=True):
        assert [e.tokens for e in one.strong] == [e.tokens for e in two.strong]
        assert [e.tokens for e in one.silent] == [e.tokens for e in two.silent]


def test_what_is_marked():
    example = Example(("a", "b", "c"), np.array([1.0, 0.0, -4.0]))
    assert example.marked() == "<<a>>b<<c>>"
    assert example.marked(share=0.5) == "ab<<c>>"
    assert str(example) == "abc"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c, t, p: (c[:-1], t, p), "codes have .* rows"),
        (lambda c, t, p: (c, t[:-1], p), "which `tokens` does not have"),
        (lambda c, t, p: (c, t, p + 30), "which `tokens` does not have"),
        (lambda c, t, p: (c, t, p - 50), "which `tokens` does not have"),
    ],
)
def test_rows_without_a_token_are_refused(codes, texts, places, change, said):
    codes, texts, places = change(codes, texts, places)
    with pytest.raises(ValueError, match=said):
        collect_examples(codes, texts, *places)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"latents": [0, 4]}, ValueError, "latents must be from 0 to 3, got 4"),
        ({"latents": [-1]}, ValueError, "latents must be from 0 to 3, got -1"),
        ({"latents": [0.5]}, TypeError, "latents must be integers"),
        ({"near": np.eye(3)}, ValueError, r"an atom for each of 4 latents, got shape \(3, 3\)"),
        ({"near": np.full((4, 2), np.nan)}, ValueError, "near contains NaN"),
        *(
            ({name: value}, error, f"{name} must be")
            for name in ("n_strong", "n_bins", "n_silent", "before", "after")
            for value, error in ((-1, ValueError), (1.5, TypeError))
        ),
    ],
)
def test_bad_requests_for_examples(codes, texts, places, wrong, error, said):
    with pytest.raises(error, match=said):
        collect_examples(codes, texts, *places, **wrong)


def test_latents_that_are_asked_for(codes, texts, places):
    found = collect_examples(codes, texts, *places, latents=[2, 3, 0], n_strong=2, n_silent=0)
    assert [each.latent for each in found] == [0, 2]
    assert [len(each.strong) for each in found] == [2, 2]
    assert not any(each.silent for each in found)


# -- Explanations ----------------------------------------------------------------------------------


def test_an_oracle_is_right(examples):
    said = explain(examples, oracle)
    assert said == SAID
    detection = score_by_detection(examples, said, oracle, random_state=0)
    assert list(detection["f1"]) == list(detection["accuracy"]) == [1, 1, 1]
    assert list(detection["n_examples"]) == [10, 10, 10]
    simulation = score_by_simulation(examples, said, oracle)
    assert min(simulation["correlation"]) > 0.8


def test_a_wrong_explanation_scores_badly(examples):
    wrong = {0: "numbers", 1: "dogs", 2: "colours"}
    assert max(score_by_detection(examples, wrong, oracle, random_state=0)["f1"]) < 0.9
    assert max(score_by_simulation(examples, wrong, oracle)["correlation"]) < 0.3


def test_what_explains_does_not_judge(examples):
    seen = []
    explain(examples, lambda prompt: seen.append(prompt))
    said = dict.fromkeys(SAID, "something")
    asked = []
    score_by_detection(examples, said, lambda p: asked.append(p), random_state=0)
    for latent, explained, judged in zip(examples, seen, asked, strict=True):
        for example in latent.strong[:10:2]:
            assert example.marked() in explained
            assert example.marked() not in judged.replace("<<", "")
        for example in latent.strong[1:10:2]:
            assert str(example) in judged


def test_what_an_atom_promotes_is_told(examples):
    prompts = []
    promoted = {1: ([" three"], [" green"])}
    explain(examples, lambda prompt: prompts.append(prompt), promoted=promoted)
    assert "more likely: ' three'" in prompts[1]
    assert "less likely: ' green'" in prompts[1]
    assert "likely" not in prompts[0]


# -- Answers ---------------------------------------------------------------------------------------


def raises(_prompt):
    raise RuntimeError("overloaded")


@pytest.mark.parametrize(
    "answers", [raises, lambda p: "no idea", lambda p: None, lambda p: 7, lambda p: "[1, 0]"]
)
def test_what_cannot_be_read_is_counted(examples, answers):
    assert explain(examples, answers) == dict.fromkeys(SAID)
    detection = score_by_detection(examples, SAID, answers, random_state=0)
    assert np.isnan(detection["f1"]).all()
    simulation = score_by_simulation(examples, SAID, answers)
    assert list(simulation["n_examples"]) == [0, 0, 0]
    assert np.isnan(simulation["correlation"]).all()


def test_no_longer_than_the_timeout(examples):
    start = time.monotonic()
    said = explain(examples[:2], lambda p: time.sleep(60), timeout=0.05)
    assert said == {0: None, 1: None}
    assert time.monotonic() - start < 20
    assert explain(examples, oracle, timeout=30) == SAID
    assert explain(examples, raises, timeout=30) == dict.fromkeys(SAID)


def test_what_was_answered_is_not_asked_again(examples, tmp_path):
    cache = FolderCache(tmp_path / "answers")
    assert explain(examples, lambda p: "no idea", cache=cache) == dict.fromkeys(SAID)
    assert len(cache) == 0
    assert explain(examples, oracle, cache=cache) == SAID
    assert len(cache) == 3
    assert explain(examples, raises, cache=FolderCache(tmp_path / "answers")) == SAID
    prompts = []
    explain(examples, lambda p: prompts.append(p))
    del cache[prompts[0]]
    assert prompts[0] not in cache
    assert prompts[1] in cache
    with pytest.raises(TypeError, match="keeps no prompts"):
        list(cache)


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("[EXPLANATION]: cats", "cats"),
        ("First.\n**[EXPLANATION]:** cats \n[explanation]: dogs.", "dogs."),
        ("Explanation: cats", "cats"),
        ("I would explain: cats", None),
        ("[EXPLANATION]:", None),
        ("", None),
        (" " * 40_000, None),
        ("EXPLANATION" * 4_000, None),
    ],
)
def test_explanations_are_read_strictly(answer, read):
    found = read_explanation(answer)
    assert found == read or (found or "").strip("* ") == read


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("[1, 0, 1]", [1, 0, 1]),
        ("From [1, 2] and [3]: [0, 0, 1] it is", [0, 0, 1]),
        ("[1, 0]", None),
        ("[1, 0, 2]", None),
        ("[1, 0, -1]", None),
        ("[1, 0, 1.0]", None),
        ("[True, 0, 1]", None),
        ("[1, 0, __import__('os')]", None),
        ("[1, 0, ", None),
        ("1, 0, 1", None),
        ("[{{}}]", None),
        ("[" + "-" * 200_000 + "1]", None),
        ("[" + "+".join("1" * 60_000) + "]", None),
        ("[" + "9" * 10_000 + ", 0, 0]", None),
        ("[1, 0, 1,]", [1, 0, 1]),
        ("[\u0661, 0, 1]", [1, 0, 1]),
    ],
)
def test_lists_are_read_strictly(answer, read):
    assert read_numbers(answer, 3, 1) == read


def test_nothing_to_judge(examples):
    for score in (score_by_detection, score_by_simulation):
        with pytest.raises(ValueError, match="no latent has an explanation, strong examples"):
            score(examples, dict.fromkeys(SAID), oracle)


@pytest.mark.parametrize("n_silent", [0, 3])
def test_detection_shows_as_many_of_either_kind(codes, texts, places, n_silent):
    examples = collect_examples(codes, texts, *places, n_silent=n_silent, random_state=0)
    asked, always = [], lambda prompt: asked.append(prompt) or str([1] * 2 * n_silent)
    if n_silent:
        table = score_by_detection(examples, SAID, always, random_state=0)
        assert set(table["accuracy"]) == {0.5}
    else:
        with pytest.raises(ValueError, match="for detection, silent ones"):
            score_by_detection(examples, SAID, always)
        assert not asked


@pytest.mark.parametrize(
    ("n_shown", "error"), [(0, ValueError), (-2, ValueError), (2.5, TypeError)]
)
def test_how_many_are_shown(examples, n_shown, error):
    for use in (
        lambda: explain(examples, oracle, n_shown=n_shown),
        lambda: score_by_detection(examples, SAID, oracle, n_shown=n_shown),
        lambda: score_by_simulation(examples, SAID, oracle, n_shown=n_shown),
    ):
        with pytest.raises(error, match="n_shown must be"):
            use()


def test_who_explains_must_be_callable(examples):
    with pytest.raises(TypeError, match=r"must be callable, .* got 'gpt'"):
        explain(examples, "gpt")
    with pytest.raises(TypeError, match="timeout must be a finite number"):
        explain(examples, oracle, timeout="5")


def test_caches_that_went_bad(examples, tmp_path):
    cache = FolderCache(tmp_path)
    assert explain(examples, oracle, cache=cache) == SAID
    for number, file in enumerate(sorted(tmp_path.glob("*.txt"))):
        file.write_bytes(b"\xff\xfe" if number else b"nonsense")
    assert explain(examples, oracle, cache=cache) == SAID
    cache["\ud800"] = "lone \ud800"
    assert cache["\ud800"] == "lone ?"


@pytest.mark.parametrize("given", ["one", None, "text", 3], ids=repr)
def test_examples_are_a_sequence_of_latents(examples, given):
    given = examples[0] if given == "one" else given
    calls = {
        "explain": lambda: explain(given, str),
        "score_by_detection": lambda: score_by_detection(given, {}, str),
        "score_by_simulation": lambda: score_by_simulation(given, {}, str),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=f"{name}: examples must be a sequence of LatentExamp"):
            call()
