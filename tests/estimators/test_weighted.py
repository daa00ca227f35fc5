import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skamort import SAEEncoder, TopKSAE, WeightedSAE

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.RandomState(0)
X = RNG.randn(80, 5) * [1.0, 2.0, 3.0, 0.5, 0.1]
y = RNG.randint(3, size=80)
QUICK = {"n_components": 8, "max_iter": 3, "random_state": 0}


def test_equal_weights_make_it_the_plain_autoencoder():
    weighted = WeightedSAE(weight_exponent=0.0, **QUICK).fit(X)
    assert_array_equal(weighted.components_, SAEEncoder(**QUICK).fit(X).components_)
    topk = WeightedSAE(feature_weights=np.ones(5), activation="topk", k=2, **QUICK).fit(X)
    assert_array_equal(topk.components_, TopKSAE(k=2, **QUICK).fit(X).components_)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_variance_weights(exponent):
    gamma = WeightedSAE(weight_exponent=exponent, **QUICK).fit(X).feature_weights_
    assert_allclose(gamma / gamma[0], (X.var(axis=0) / X[:, 0].var()) ** exponent)
    assert np.mean(gamma**2) == pytest.approx(1)


def test_scale_of_the_scores_does_not_matter():
    scores = np.array([1.0, 2.0, 0.0, 4.0, 5.0])
    first = WeightedSAE(feature_weights=scores, **QUICK).fit(X)
    second = WeightedSAE(feature_weights=1000 * scores, **QUICK).fit(X)
    assert_allclose(first.feature_weights_, second.feature_weights_)


def test_callable_weights_see_data_and_labels():
    def scores(X_seen, y_seen):
        assert_allclose(X_seen, X)
        assert_array_equal(y_seen, y)
        return [1, 2, 3, 4, 5]

    gamma = WeightedSAE(feature_weights=scores, **QUICK).fit(X, y).feature_weights_
    assert_allclose(gamma / gamma[0], [1, 2, 3, 4, 5])


def test_consistency_favours_features_that_tell_classes_apart():
    informative = X.copy()
    informative[:, 3] = (y == 1) + 0.01 * X[:, 3]
    model = WeightedSAE(feature_weights="consistency", **QUICK).fit(informative, y)
    assert np.argmax(model.feature_weights_) == 3
    with pytest.raises(ValueError, match="needs class labels, got y=None"):
        WeightedSAE(feature_weights="consistency").fit(X)


def test_heavier_features_are_reconstructed_better():
    Z = np.random.RandomState(1).randn(300, 6)
    quick = {"n_components": 3, "alpha": 0.01, "max_iter": 300, "random_state": 0}
    weights = np.array([5.0, 5, 5, 1, 1, 1])

    def heavy_error(model):
        model.fit(Z)
        error = (Z - model.inverse_transform(model.transform(Z))) ** 2
        return error[:, :3].mean()

    assert heavy_error(WeightedSAE(feature_weights=weights, **quick)) < heavy_error(
        SAEEncoder(**quick)
    )


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
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        WeightedSAE(feature_weights=weights, **QUICK).fit(X)


def test_k_beyond_the_dictionary_is_refused():
    with pytest.raises(ValueError, match="WeightedSAE: k=9 exceeds n_components=8"):
        WeightedSAE(activation="topk", k=9, **QUICK).fit(X)


def test_auxiliary_loss_goes_with_topk_alone():
    with pytest.raises(ValueError, match=r"dead_latents='auxk' .* needs activation='topk', got"):
        WeightedSAE(dead_latents="auxk", **QUICK).fit(X)
    codes = WeightedSAE(dead_latents="auxk", activation="topk", k=2, **QUICK).fit_transform(X)
    assert np.count_nonzero(codes, axis=1).max() <= 2
