import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from skamort import SAEEncoder, WeightedSAE

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.RandomState(0).randn(80, 5) * [1.0, 2.0, 3.0, 0.5, 0.1]
QUICK = {"n_components": 8, "max_iter": 3, "random_state": 0}


def test_equal_weights_make_it_the_plain_autoencoder():
    weighted = WeightedSAE(weight_exponent=0.0, **QUICK).fit(X)
    assert_array_equal(weighted.components_, SAEEncoder(**QUICK).fit(X).components_)


def test_with_the_exponent_one_it_is_the_plain_autoencoder_with_feature_weights():
    weighted = WeightedSAE(**QUICK).fit(X)
    plain = SAEEncoder(feature_weights="variance", **QUICK).fit(X)
    assert_array_equal(weighted.components_, plain.components_)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_scores_are_raised_to_the_exponent(exponent):
    gamma = WeightedSAE(weight_exponent=exponent, **QUICK).fit(X).feature_weights_
    assert_allclose(gamma / gamma[0], (X.var(axis=0) / X[:, 0].var()) ** exponent)
    assert np.mean(gamma**2) == pytest.approx(1)


def test_it_does_not_go_without_scores():
    with pytest.raises(ValueError, match="The 'feature_weights' parameter of WeightedSAE"):
        WeightedSAE(feature_weights=None, **QUICK).fit(X)


@pytest.mark.parametrize("kind", ["variance", "consistency"])
@pytest.mark.parametrize("as_data", [np.asarray, csr_array])
@pytest.mark.parametrize("alike", [np.full((30, 4), 0.1), X[:1], np.zeros((3, 2), "f4")])
def test_rows_that_are_all_alike_weigh_all_features_alike(kind, as_data, alike):
    weights = np.linspace(0.1, 3, len(alike))
    for given in (None, weights):
        coder = WeightedSAE(feature_weights=kind, **QUICK)
        coder.fit(as_data(alike), np.arange(len(alike)) % 3, sample_weight=given)
        assert_array_equal(coder.feature_weights_, 1)


@pytest.mark.parametrize(("dtype", "apart"), [("f8", 1e-9), ("f4", 1e-3)])
def test_rows_that_differ_by_little_are_not_alike(dtype, apart):
    near = (1 + apart * X).astype(dtype)
    gamma = WeightedSAE(**QUICK).fit(near).feature_weights_
    assert_allclose(gamma, WeightedSAE(**QUICK).fit(X).feature_weights_, rtol=1e-2)
