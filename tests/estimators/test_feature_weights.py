"""Weights of the features' errors, on every trained encoder."""

import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.RandomState(0)
X = RNG.randn(80, 5) * [1.0, 2.0, 3.0, 0.5, 0.1]
y = RNG.randint(3, size=80)
ENCODERS = [e for e in fast_estimators() if "feature_weights" in e.get_params()]


@pytest.fixture(params=ENCODERS, ids=lambda e: type(e).__name__)
def encoder(request):
    return clone(request.param).set_params(n_components=8, max_iter=3, random_state=0)


def test_variance_weights(encoder):
    gamma = encoder.set_params(feature_weights="variance").fit(X).feature_weights_
    assert_allclose(gamma / gamma[0], X.var(axis=0) / X[:, 0].var())
    assert np.mean(gamma**2) == pytest.approx(1)


def test_equal_weights_change_no_bit(encoder):
    equal = clone(encoder).set_params(feature_weights=np.full(5, 3.0)).fit(X)
    if encoder.feature_weights is not None:
        encoder.set_params(weight_exponent=0.0)
    assert_array_equal(equal.components_, encoder.fit(X).components_)


@pytest.mark.parametrize("scale", [1e-200, 1000.0, 1e200])
def test_scale_of_the_scores_does_not_matter(encoder, scale):
    scores = np.array([1.0, 2.0, 0.0, 4.0, 5.0])
    first = clone(encoder).set_params(feature_weights=scores).fit(X)
    second = encoder.set_params(feature_weights=scale * scores).fit(X)
    assert_allclose(first.feature_weights_, second.feature_weights_)


def test_callable_weights_see_data_and_labels(encoder):
    def scores(X_seen, y_seen):
        assert_allclose(X_seen, X)
        assert_array_equal(y_seen, y)
        return [1, 2, 3, 4, 5]

    gamma = encoder.set_params(feature_weights=scores).fit(X, y).feature_weights_
    assert_allclose(gamma / gamma[0], [1, 2, 3, 4, 5])


def test_consistency_favours_features_that_tell_classes_apart(encoder):
    informative = X.copy()
    informative[:, 3] = (y == 1) + 0.01 * X[:, 3]
    encoder.set_params(feature_weights="consistency").fit(informative, y)
    assert np.argmax(encoder.feature_weights_) == 3
    with pytest.raises(ValueError, match="needs class labels, got y=None"):
        encoder.fit(X)


def test_heavier_features_are_reconstructed_better(encoder):
    Z = np.random.RandomState(1).randn(200, 6)
    encoder.set_params(n_components=3, max_iter=100, batch_size=100, learning_rate=1e-2, tol=0)
    if "alpha" in encoder.get_params():
        encoder.set_params(alpha=0.01)

    def heavy_error(weights):
        model = clone(encoder).set_params(feature_weights=weights).fit(Z)
        error = (Z - model.inverse_transform(model.transform(Z))) ** 2
        return error[:, :3].mean()

    assert heavy_error([5, 5, 5, 1, 1, 1]) < 0.95 * heavy_error([1, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"shape \(n_features,\) = \(5,\), got \(2,\)"),
        ([-1, 1, 1, 1, 1], ">= 0"),
        ([0, 0, 0, 0, 0], "not all zero"),
        ([np.nan, 1, 1, 1, 1], "finite"),
        (lambda X, y: np.ones(3), r"got \(3,\)"),
    ],
)
def test_bad_weights_are_refused(encoder, weights, message):
    name = type(encoder).__name__
    with pytest.raises(ValueError, match=rf"{name}: the feature weights|{name}: feature_weights"):
        clone(encoder).set_params(feature_weights=weights).fit(X)
    with pytest.raises(ValueError, match=message):
        encoder.set_params(feature_weights=weights).fit(X)
