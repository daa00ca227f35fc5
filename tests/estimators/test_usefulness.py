"""A penalty that leaves no codes, or most of them, is told of."""

import re
import warnings

import numpy as np
import pytest
from discovery import public_estimators
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning

from skamort import (
    GradSparseCoder,
    ITOCoder,
    JumpReLUSAE,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
)
from skamort.estimators import BaseTrainedEncoder, _usefulness, fit_many
from skamort.inspection import compare_encoders
from skamort.solvers import alpha_max

X = np.random.default_rng(0).standard_normal((64, 6)).astype("f4")
FEW = {"n_components": 12, "max_iter": 2, "random_state": 0}
CODERS = [
    SAEEncoder(12, learning_rate=0.1, random_state=0),
    LISTAEncoder(**FEW),
    JumpReLUSAE(**FEW),
    GradSparseCoder(**FEW),
    ITOCoder(dictionary=np.eye(6, dtype="f4")),
]


def all_complaints(coder, X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coder.fit(X)
    assert all(issubclass(w.category, ConvergenceWarning) for w in caught)
    return [str(w.message) for w in caught if "still falling" not in str(w.message)]


def complaints(coder, X):
    return [told for told in all_complaints(coder, X) if "alpha_max" in told]


def advised_alpha(told):
    return float(re.search(r"(?:raise|lower) alpha to about (\S*\d)", told)[1])


@pytest.mark.parametrize("coder", CODERS, ids=lambda coder: type(coder).__name__)
@pytest.mark.parametrize("unit", [1, 2.0**-60])
def test_no_code_at_all_is_told_with_the_alpha_from_which_on_there_is_none(coder, unit):
    power = 2 if isinstance(coder, JumpReLUSAE) else 1
    coder.set_params(alpha=50.0**power * unit**power)
    told = complaints(coder, np.float32(unit) * X)
    assert len(told) == 1
    assert told[0].startswith(f"{type(coder).__name__}: all codes of ")
    coder.set_params(alpha=advised_alpha(told[0]))
    assert not complaints(coder, np.float32(unit) * X)
    if isinstance(coder, ITOCoder):
        largest = unit * alpha_max(X, np.eye(6, dtype="f4")).max()
        assert f"alpha_max, from which on none is left, is {largest:.3g};" in told[0]


@pytest.mark.parametrize("coder", CODERS[:-1], ids=lambda coder: type(coder).__name__)
def test_the_default_is_not_complained_of(coder):
    assert not complaints(coder.set_params(alpha="auto"), X)


def test_dense_codes_are_told():
    coder = GradSparseCoder(6, alpha=1e-4, max_iter=2, random_state=0)
    told = complaints(coder, np.abs(X))
    assert "% of the codes of 64 rows looked at are not zero at alpha=0.0001" in told[0]
    assert not complaints(coder.set_params(alpha=advised_alpha(told[0])), np.abs(X))


def test_what_cannot_be_coded_and_codes_without_a_penalty_are_not_told():
    assert not complaints(GradSparseCoder(**FEW), np.zeros((5, 6)))
    assert not complaints(ITOCoder(dictionary=np.eye(6), n_nonzero_coefs=6), X.astype(float))
    assert not complaints(SAEEncoder(alpha=0.0, **FEW), X)


def test_a_comparison_names_who_gives_no_codes():
    silent = ITOCoder(dictionary=np.eye(6, dtype="f4"), alpha=50.0)
    with pytest.warns(UserWarning, match="compare_encoders: all codes of silent are zero, l0 0"):
        compare_encoders({"silent": silent}, X, X, alpha=0.1)


ALL_ALIKE = [SAEEncoder, TopKSAE, JumpReLUSAE, LISTAEncoder, GradSparseCoder, WeightedSAE]


@pytest.mark.parametrize("cls", ALL_ALIKE, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, [-0.525, 0.212, -0.34, 0.64, 0.204, -0.882]])
def test_rows_that_are_all_alike_are_explained_and_no_penalty_and_no_latent_is_to_blame(cls, value):
    alike = np.zeros((50, 6)) + value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert cls(6, max_iter=20, random_state=0).fit(alike).score(alike) == 1
    assert not [w for w in caught if "alpha_max" in str(w.message) or "dead" in str(w.message)]


OFF_CENTER = 5 + np.random.default_rng(0).standard_normal((300, 16))
FAULTS = [{"fit_intercept": False, "dict_init": None}, {"learning_rate": 1.0}, {"alpha": 1e3}]
TRAINED = [cls for cls in public_estimators() if issubclass(cls, BaseTrainedEncoder)]


def ways_out(coder, told):
    """The settings that a complaint names, each for itself."""
    for name, value in re.findall(r"set (\w+)=(\w+)", told.replace('"', "")):
        yield {name: value if name == "dead_latents" else True}
    if "lower learning_rate" in told:
        yield {"learning_rate": 1e-3}
    if "lower alpha" in told and coder.alpha != "auto":
        yield {"alpha": 1e-4 * coder.alpha}


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("cls", TRAINED, ids=lambda cls: cls.__name__)
def test_what_is_advised_silences_the_complaint(cls, fault):
    coder = cls(24, max_iter=40, random_state=0)
    coder.set_params(**{name: value for name, value in fault.items() if hasattr(coder, name)})
    for told in all_complaints(coder, OFF_CENTER):
        changes = [clone(coder).set_params(**change) for change in ways_out(coder, told)]
        assert any(not all_complaints(changed, OFF_CENTER) for changed in changes), told


def test_a_silent_encoder_is_not_blamed_on_a_small_penalty():
    silent = MLPEncoder(64, fit_intercept=False, max_iter=60, random_state=0)
    told = all_complaints(silent, OFF_CENTER)
    assert not silent.transform(OFF_CENTER).any()
    assert told
    assert all("set fit_intercept=True" in each for each in told)


def test_next_to_nothing_explained_is_told():
    weak = TopKSAE(2, k=1, learning_rate=1e-7, dict_init=None, max_iter=2, random_state=0)
    rows = np.random.default_rng(0).standard_normal((300, 400))
    assert "less than 1% of the variance of X about its mean" in all_complaints(weak, rows)[0]
    assert 0 < weak.score(rows) < 0.01


TRAINED = [kind for kind in public_estimators() if issubclass(kind, BaseTrainedEncoder)]


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize(("dtype", "rate"), [("f4", 1e35), ("f8", 1e290)])
def test_a_last_step_too_large_is_told_as_divergence(kind, dtype, rate):
    """The loss of an epoch is that before its steps, so that of the only one is finite."""
    told = r"Training diverged: after epoch 1 .* learning_rate=1e\+\d+; lower it"
    coder = kind(12, learning_rate=rate, max_iter=1, random_state=0)
    with pytest.raises(ValueError, match=told):
        coder.fit(X.astype(dtype))
    assert not hasattr(coder, "net_")


def test_many_fits_tell_which_of_them_diverged():
    sae = SAEEncoder(12, max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.warns(FitFailedWarning, match="Training diverged: after epoch 1"):
            good, bad = fit_many(sae, X, {"learning_rate": [1e-3, 1e35]})
    assert hasattr(good, "net_")
    assert not hasattr(bad, "net_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_by_which_a_fit_is_judged_are_read_once(monkeypatch):
    read, n_read = _usefulness._read_some, []
    monkeypatch.setattr(_usefulness, "_read_some", lambda *args: n_read.append(1) or read(*args))
    all_complaints(SAEEncoder(**FEW), X)
    assert len(n_read) == 1
    fit_many(SAEEncoder(**FEW), X, {"alpha": [0.1, 0.2]})
    assert len(n_read) == 2
