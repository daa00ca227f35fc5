"""Atoms >= 0 of trained encoders."""

import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skamort import LISTAEncoder, SAEEncoder, TopKSAE
from skamort.estimators import BaseTrainedEncoder, fit_many
from skamort.metrics import dictionary_mcc
from skamort.training import ResampleDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
PARTS = RNG.random((8, 24)) * (RNG.random((8, 24)) < 0.3)
CODES = np.where(RNG.random((600, 8)).argsort(axis=1) < 2, RNG.exponential(size=(600, 8)), 0)
X = CODES @ PARTS
TRAINED = [coder for coder in fast_estimators() if isinstance(coder, BaseTrainedEncoder)]


def check(coder):
    assert (coder.components_ >= 0).all()
    assert_allclose(np.linalg.norm(coder.components_, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("coder", TRAINED, ids=lambda coder: type(coder).__name__)
def test_atoms_stay_non_negative(coder):
    signed = RNG.standard_normal((80, 6))
    coder = clone(coder).set_params(n_components=8, positive_dict=True, max_iter=2, random_state=0)
    free = clone(coder).set_params(positive_dict=False).fit(signed)
    assert (free.components_ < 0).any()
    check(coder.fit(signed))
    check(coder.partial_fit(signed[:40]))
    assert not coder.intercept_.any()
    given = clone(coder).set_params(dict_init=-PARTS[:, :6] - 0.1, fit_intercept=True)
    check(given.fit(signed))


def test_atoms_that_are_resampled_in_the_last_step_are_non_negative():
    sae = TopKSAE(
        40, k=1, positive_dict=True, dead_latents=ResampleDead(5), max_iter=3, batch_size=100
    )
    check(sae.set_params(fit_intercept=True, random_state=0).fit(X - X.mean(axis=0)))


@pytest.mark.parametrize(
    "coder", [TopKSAE(8, k=2, max_iter=150), SAEEncoder(8, alpha=0.02, max_iter=150)]
)
def test_parts_are_found_again(coder):
    coder = (
        clone(coder).set_params(positive_dict=True, random_state=0, dict_init="k-means++").fit(X)
    )
    check(coder)
    assert dictionary_mcc(PARTS, coder.components_) > 0.9
    assert coder.score(X) > 0.8


def test_many_models_have_the_same_as_each_alone():
    coder = SAEEncoder(6, positive_dict=True, max_iter=2, random_state=0)
    many = fit_many(coder, X, {"alpha": [0.01, 0.1]})
    for alpha, one in zip([0.01, 0.1], many, strict=True):
        alone = clone(coder).set_params(alpha=alpha).fit(X)
        assert_array_equal(one.components_, alone.components_)


def test_known_codes_and_known_atoms():
    mixed = CODES @ (PARTS - 0.5 * PARTS[::-1])
    check(LISTAEncoder(8, max_iter=1, positive_dict=True).fit(mixed, codes=CODES))
    known = SAEEncoder(dictionary=PARTS, max_iter=1, positive_dict=True).fit(X)
    assert_allclose(known.components_ * np.linalg.norm(PARTS, axis=1)[:, None], PARTS, atol=1e-6)
    with pytest.raises(ValueError, match="SAEEncoder: positive_dict=True asks for atoms >= 0, but"):
        SAEEncoder(dictionary=PARTS - 0.1, positive_dict=True).fit(X)
