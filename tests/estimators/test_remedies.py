"""What a warning advises is possible, and is not done already; for all trained encoders."""

import ast
import re
import warnings

import numpy as np
import pytest
from discovery import public_estimators
from sklearn.exceptions import ConvergenceWarning

from skamort import SAEEncoder, TopKSAE
from skamort.estimators import BaseTrainedEncoder, _usefulness, fit_many

X = np.random.default_rng(0).standard_normal((120, 6)) + 1
TRAINED = [cls for cls in public_estimators() if issubclass(cls, BaseTrainedEncoder)]
SETTINGS = [
    {},
    {"fit_intercept": True, "dead_latents": None, "tol": 0.9, "n_iter_no_change": 1},
    {"fit_intercept": False, "dead_latents": None, "target_l0": 2.5},
    {"fit_intercept": True, "dead_latents": "resample", "target_l0": 2.5},
]


def advice(fit, monkeypatch):
    """The remedies of all warnings of a fit, in which all are due."""
    monkeypatch.setattr(_usefulness, "_DEAD", -1.0)
    monkeypatch.setattr(_usefulness, "HARDLY", 2.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    told = [str(warning.message) for warning in caught]
    told = [text.rpartition("; ")[2] for text in told if "dead" in text or "about its mean" in text]
    assert len(told) == 2
    return told


@pytest.mark.parametrize("cls", TRAINED, ids=lambda cls: cls.__name__)
def test_what_is_advised_is_not_done_already(cls, monkeypatch):
    known = cls().get_params()
    for settings in SETTINGS:
        sae = cls(8, max_iter=2, random_state=0)
        sae.set_params(**{name: value for name, value in settings.items() if name in known})
        for text in advice(lambda sae=sae: sae.fit(X), monkeypatch):
            check_advice(text, sae)


def check_advice(text, sae):
    """Every setting named is one of the estimator's, and of another value than it has."""
    named = re.findall(r"(?:lower|raise|fewer|larger|set) (\w+)", text)
    assert set(named) <= set(sae.get_params()), text
    assert len(set(named)) == len(named)
    for name, value in re.findall(r'set (\w+)=("\w+"|\w+)', text):
        assert getattr(sae, f"{name}_", None) != ast.literal_eval(value), text
    is_centered = sae.net_.module_.decoder.intercept is not None
    assert ("fit_intercept" in text) == (not is_centered)
    assert ("max_iter" in text) == (not sae.net_.converged_)
    if sae.get_params().get("target_l0") is not None:
        assert "alpha" not in text
        assert "raise target_l0" in text
    else:
        assert "target_l0" not in text
        assert ("lower alpha" in text) == ("alpha" in sae.get_params())


def test_a_known_dictionary_is_left_as_it_is(monkeypatch):
    D = np.random.default_rng(1).standard_normal((8, 6))
    for sae in (TopKSAE(dictionary=D, max_iter=1), SAEEncoder(dictionary=D, max_iter=1)):
        for text in advice(lambda sae=sae: sae.fit(X), monkeypatch):
            assert "n_components" not in text
            check_advice(text, sae)


def test_no_penalty_is_not_to_be_lowered(monkeypatch):
    for text in advice(lambda: SAEEncoder(8, alpha=0.0, max_iter=1).fit(X), monkeypatch):
        assert "alpha" not in text


def test_of_many_models_the_worst_one_is_advised(monkeypatch):
    sae, grid = TopKSAE(8, max_iter=1), {"fit_intercept": [True, False]}
    for worst in (True, False):

        def share(job, read, worst=worst):
            is_centered = job.net.module_.decoder.intercept is not None
            return 0.9 if is_centered == worst else 0.2

        monkeypatch.setattr(_usefulness, "_dead_share", share)
        told = advice(lambda: fit_many(sae, X, grid), monkeypatch)[1]
        assert ("fit_intercept" in told) == (not worst)


@pytest.mark.parametrize("cls", [SAEEncoder, *[c for c in TRAINED if "JumpReLU" in c.__name__]])
def test_a_number_of_codes_asked_for_is_what_to_change(cls):
    sae = cls(8, target_l0=5, max_iter=400, tol=0.5, n_iter_no_change=1, random_state=0)
    with pytest.warns(ConvergenceWarning, match="; lower target_l0 for sparse codes") as caught:
        sae.fit(X)
    for text in (str(warning.message) for warning in caught):
        assert f"at alpha={sae.alpha_:.3g}," in text
        assert "raise alpha" not in text
        assert "lower alpha" not in text
