"""Where the dictionary of an encoder starts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skamort import GradSparseCoder, LISTAEncoder, MLPEncoder, SAEEncoder, TopKSAE
from skamort.datasets import make_sparse_coded_signal

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SIGNAL = {"n_components": 16, "n_features": 8, "n_nonzero_coefs": 3, "positive": True}


@pytest.fixture(params=[SAEEncoder, MLPEncoder, LISTAEncoder, TopKSAE])
def encoder(request):
    """An encoder that hardly moves from its start."""
    return request.param(16, max_iter=1, learning_rate=1e-9, random_state=0)


@pytest.fixture(scope="module")
def signal():
    return make_sparse_coded_signal(500, **SIGNAL, random_state=0)


@pytest.mark.parametrize("center", [False, "mean", "geometric_median"])
@pytest.mark.parametrize("init", ["samples", "k-means++"])
def test_training_starts_from_samples_less_their_center(encoder, signal, init, center):
    X = signal[0] + 7 * np.eye(8)[0]
    start = encoder.set_params(dict_init=init, fit_intercept=center).fit(X)
    directions = X - start.intercept_
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert_allclose((start.components_ @ directions.T).max(axis=1), 1, atol=1e-5)


def test_training_starts_from_another_estimator(encoder, signal):
    X = signal[0]
    coder = GradSparseCoder(16, random_state=0).fit(X)
    start = encoder.set_params(dict_init=coder).fit(X)
    assert_allclose(start.components_, coder.components_, atol=1e-5)


def test_dict_init_is_where_training_starts(encoder, signal):
    X, D, _ = signal
    assert_allclose(encoder.set_params(dict_init=D).fit(X).components_, D, atol=1e-5)
