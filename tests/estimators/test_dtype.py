"""A seed means the same whatever torch's default dtype is."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skamort import SAEEncoder
from skamort.estimators import fit_many

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


def learned(estimator, dtype):
    data = X.astype(dtype)
    estimator = clone(estimator).fit(data)
    frequency = getattr(estimator, "latent_frequency_", np.zeros(0, "f4"))
    return estimator.components_, estimator.transform(data), frequency


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
