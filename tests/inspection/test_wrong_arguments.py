"""Displays and tables of what is none: an error names the argument and says what came."""

import inspect

import numpy as np
import pytest
from sklearn.decomposition import PCA

from skamort import inspection
from skamort.hooks import Activations
from skamort.inspection import (
    DictionaryDisplay,
    GramDisplay,
    LossCurveDisplay,
    SweepDisplay,
    TokenContexts,
    collect_examples,
    dunn_test,
    explain_by_ngrams,
    top_activations,
)

pytest.importorskip("matplotlib")
rng = np.random.default_rng(0)
X, D, Z = rng.normal(size=(20, 6)), rng.normal(size=(5, 6)), rng.random((8, 3))
DISPLAYS = [
    thing for name in inspection.__all__ if hasattr(thing := getattr(inspection, name), "plot")
]
RAW = ("has no attribute", "not iterable", "can't multiply", "has no len", "could not convert")


def assert_told(caught, *names):
    message = str(caught.value)
    assert any(name in message for name in names), message
    assert not any(raw in message for raw in RAW), message


@pytest.mark.parametrize("cls", DISPLAYS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("wrong", [None, {}, [], 3, "text", [PCA()], np.ones(3)], ids=repr)
def test_what_a_display_cannot_show(cls, wrong):
    first, *others = inspect.signature(cls).parameters.values()
    needed = {p.name: "alpha" for p in others if p.default is p.empty}
    with pytest.raises((TypeError, ValueError)) as caught:
        cls(wrong, **needed).plot()
    assert_told(caught, first.name)


@pytest.mark.parametrize("ax", ["ax", 3, [None]], ids=repr)
def test_what_cannot_be_drawn_on(ax):
    gram, losses = GramDisplay(D @ D.T), LossCurveDisplay({"a": [2.0, 1.0]})
    for display in (gram, losses, DictionaryDisplay(D, image_shape=(2, 3))):
        with pytest.raises(TypeError, match=f"{type(display).__name__}: ax must be matplotlib"):
            display.plot(ax)


@pytest.mark.parametrize("shape", ["ab", 6, 2.5, (2.0, 3.0), (-2, -3), (), (2, 3, 1), (0, 6)])
def test_what_is_no_shape_of_an_image(shape):
    with pytest.raises((TypeError, ValueError)) as caught:
        DictionaryDisplay.from_dictionary(D, image_shape=shape)
    assert_told(caught, "DictionaryDisplay: image_shape")
    DictionaryDisplay.from_dictionary(D, image_shape=np.array([2, 3]))


@pytest.mark.parametrize(
    "wrong",
    [{"param_range": 3}, {"param_range": "ab"}, {"param_name": 3}, {"random_states": 3}],
    ids=str,
)
def test_what_is_no_sweep(wrong):
    given = {"param_name": "n_components", "param_range": [1, 2], **wrong}
    with pytest.raises(TypeError) as caught:
        SweepDisplay.from_estimator(PCA(), X, X, **given)
    assert_told(caught, f"SweepDisplay: {next(iter(wrong))} must be")


TOKENS, TEXT, POSITION = [["a", "b"]] * 4, np.repeat(np.arange(4), 2), np.tile([0, 1], 4)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: dunn_test(None), "scores"),
        (lambda: dunn_test([[1.0], [2.0]]), "scores"),
        (lambda: collect_examples(Z, None, TEXT, POSITION), "tokens"),
        (lambda: collect_examples(Z, "abcd", TEXT, POSITION), "tokens"),
        (lambda: collect_examples(Z, TOKENS, TEXT, POSITION + 0.5), "position must be integers"),
        (lambda: collect_examples(Z, TOKENS, TEXT.astype(str), POSITION), "text must be integers"),
        (lambda: TokenContexts(TOKENS, None), "activations"),
        (lambda: TokenContexts(TOKENS, Z), "activations"),
        (lambda: TokenContexts(None, Activations(Z, TEXT, POSITION)), "tokens"),
        (lambda: explain_by_ngrams(None, len, padding=0), "contexts"),
        (lambda: explain_by_ngrams([[1, 2]], None, padding=0), "activate"),
        (lambda: top_activations(PCA(2).fit(X), X, latents=[]), "latents are none"),
    ],
)
def test_what_is_no_text_and_no_score(call, told):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert_told(caught, told)
