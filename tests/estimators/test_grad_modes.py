"""Whatever torch's mode is around a call, a fit learns the same."""

import numpy as np
import pytest
import torch
from discovery import fast_estimators
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skamort import MLPEncoder
from skamort.estimators import fit_many

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("quick_inner_encoder"),
]
X = np.random.RandomState(0).randn(60, 5)
modes = pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])


@modes
@pytest.mark.parametrize("estimator", fast_estimators(), ids=lambda e: type(e).__name__)
def test_a_fit_learns_the_same_in_every_mode(estimator, mode):
    estimator = clone(estimator).set_params(random_state=0)
    one, other = clone(estimator).fit(X), clone(estimator)
    with mode():
        other.fit(X)
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert_array_equal(one.transform(X), other.transform(X))
    if hasattr(estimator, "partial_fit"):
        one.partial_fit(X).partial_fit(X)
        with mode():
            other.partial_fit(X)
        other.partial_fit(X)
    assert_array_equal(one.components_, other.components_)
    assert_array_equal(one.transform(X), other.transform(X))


@modes
def test_many_learn_the_same_in_every_mode(mode):
    mlp = MLPEncoder(9, hidden_layer_sizes=4, max_iter=2)
    expected = fit_many(mlp, X, {}, random_states=[0, 1])
    with mode():
        found = fit_many(mlp, X, {}, random_states=[0, 1])
    for one, other in zip(expected, found, strict=True):
        assert_array_equal(one.transform(X), other.transform(X))
        other.partial_fit(X)
