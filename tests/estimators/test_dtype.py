"""A seed means the same in float32 and in float64, whatever torch's default dtype is."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skamort import GradSparseCoder, SAEEncoder, TopKSAE
from skamort.estimators import BaseTrainedEncoder, fit_many
from skamort.training import ResampleDead

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("quick_inner_encoder"),
]
X = np.random.RandomState(0).randn(60, 5)


@pytest.fixture(params=fast_estimators(), ids=lambda e: type(e).__name__)
def estimator(request):
    estimator = clone(request.param).set_params(random_state=0)
    return estimator.set_params(n_components=9) if hasattr(estimator, "n_components") else estimator


@contextmanager
def default_float64():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def learned(estimator, dtype, data=X):
    data = data.astype(dtype)
    estimator = clone(estimator).fit(data)
    frequency = getattr(estimator, "latent_frequency_", np.zeros(0, "f4"))
    return estimator.components_, estimator.transform(data), frequency


@pytest.mark.parametrize("start", [None, "samples", "k-means++"])
@pytest.mark.parametrize(("rate", "tolerance"), [(1e-30, 1e-5), (1e-3, 5e-4)])
def test_one_seed_gives_the_same_in_both(estimator, start, rate, tolerance):
    """The start, where steps have no length, and an epoch of several batches from there."""
    if not isinstance(estimator, BaseTrainedEncoder):
        pytest.skip("takes no steps of Adam")
    quick = {"max_iter": 1, "batch_size": 7, "learning_rate": rate}
    estimator.set_params(dict_init=start, n_components=12, **quick)
    single, double = (learned(estimator, dtype, X.astype("f4")) for dtype in ("f4", "f8"))
    for one, other in zip(single, double, strict=True):
        assert_allclose(one, other, atol=tolerance)


@pytest.mark.parametrize("start", [None, "samples", "k-means++"])
def test_one_seed_learns_the_same_dictionary_in_both(start):
    coder = GradSparseCoder(12, dict_init=start, max_iter=3, random_state=0)
    single, double = (learned(coder, dtype, X.astype("f4")) for dtype in ("f4", "f8"))
    for one, other in zip(single, double, strict=True):
        assert_allclose(one, other, atol=1e-3)


def test_one_seed_revives_the_same_latents_in_both():
    dead = ResampleDead(window=10)
    plain = {"fit_intercept": False, "dict_init": None, "learning_rate": 1e-3, "schedule": None}
    sae = TopKSAE(40, k=1, dead_latents=dead, max_iter=3, batch_size=20, random_state=0, **plain)
    single, double = (learned(sae, dtype, X.astype("f4"))[0] for dtype in ("f4", "f8"))
    start = learned(sae.set_params(dead_latents=None), "f8", X.astype("f4"))[0]
    assert (np.abs(double - start).max(axis=1) > 0.1).sum() > 5
    assert_allclose(single, double, atol=1e-3)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_default_dtype_changes_nothing(estimator, dtype):
    expected = learned(estimator, dtype)
    with default_float64():
        found = learned(estimator, dtype)
    for one, other in zip(expected, found, strict=True):
        assert one.dtype == other.dtype
        assert_array_equal(one, other)


def test_the_default_dtype_changes_nothing_for_many_at_once():
    sae = SAEEncoder(9, max_iter=2)
    with default_float64():
        models = fit_many(sae, X.astype("f4"), {}, random_states=range(2))
    for seed, model in enumerate(models):
        alone = sae.set_params(random_state=seed).fit(X.astype("f4"))
        assert_allclose(model.components_, alone.components_, atol=1e-5)
        assert model.latent_frequency_.dtype == alone.latent_frequency_.dtype
        model.partial_fit(X.astype("f4"))
