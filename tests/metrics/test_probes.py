"""Probes of single latents against scikit-learn's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skamort.metrics import class_difference, probe_loss

FORMS = pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, np.ndarray.tolist])


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    y = rng.random(200) < 0.3
    codes = np.maximum(rng.normal(size=(200, 6)), 0)
    codes[:, 2] += y * 1.5
    codes[:, 4] = y * 3.0
    codes[:, 5] = 0.7
    return codes, np.where(y, "yes", "no")


@FORMS
def test_the_difference_is_that_of_the_means(problem, form):
    codes, y = problem
    means = [codes[y == label].mean(0) for label in ("yes", "no")]
    expected = np.abs(means[0] - means[1])[:5] / codes.std(0)[:5]
    assert_allclose(class_difference(form(codes), y), [*expected, 0], rtol=1e-9)


@FORMS
def test_the_loss_is_that_of_logistic_regression(problem, form):
    codes, y = problem
    penalty = 1e-2
    losses = probe_loss(form(codes), y, penalty=penalty)
    for latent in range(5):
        z = codes[:, [latent]] / codes[:, latent].std()
        model = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-9, max_iter=1000).fit(z, y)
        assert losses[latent] == pytest.approx(log_loss(y, model.predict_proba(z)), abs=1e-5)
    share = np.mean(y == "yes")
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert losses[5] == pytest.approx(entropy)
    assert losses.max() <= entropy + 1e-12


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e20, 1e200])
def test_neither_depends_on_the_unit(problem, scale):
    codes, y = problem
    assert_allclose(class_difference(codes * scale, y), class_difference(codes, y), rtol=1e-7)
    assert_allclose(probe_loss(codes * scale, y), probe_loss(codes, y), rtol=1e-7)


def test_classes_that_one_latent_tells_apart(problem):
    codes, y = problem
    losses = probe_loss(codes, y)
    assert losses.argmin() == 4
    assert losses[4] < 0.01


def test_a_sparse_probe_stands_in_a_pipeline(problem):
    codes, y = problem
    probe = make_pipeline(SelectKBest(class_difference, k=1), LogisticRegression())
    assert cross_val_score(probe, sparse.csr_array(codes), y).mean() > 0.99


@pytest.mark.parametrize("measure", [class_difference, probe_loss])
def test_bad_input(problem, measure):
    codes, y = problem
    with pytest.raises(ValueError, match="labels of two classes, got 1"):
        measure(codes, np.ones(200))
    with pytest.raises(ValueError, match="labels of two classes, got 200"):
        measure(codes, np.arange(200))
    for wrong, told in (
        (None, "y must hold one label a row, got None"),
        (np.ones((200, 2)), r"y must hold one label a row, got ndarray of shape \(200, 2\)"),
        (np.where(np.arange(200) % 2, 1.0, np.nan), "y contains NaN or a mask; leave"),
        ([None, *range(199)], "y contains NaN or a mask; leave"),
        (np.array([np.nan, *["a", "b"] * 99, "a"], object), "y contains NaN or a mask; leave"),
    ):
        with pytest.raises(ValueError, match=told):
            measure(codes, wrong)
    with pytest.raises(TypeError, match="y must hold labels of one type, to sort them: '<' not"):
        measure(codes, np.array(["a", 1] * 100, object))
    with pytest.raises(ValueError, match="same number of rows, got 200 and 3"):
        measure(codes, y[:3])
    codes[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        measure(codes, y)


def test_sums_are_double(problem):
    """float32 codes far from 0, in many rows, dense or sparse."""
    y = np.arange(200_000) % 2
    codes = 10 + 1e-2 * np.random.default_rng(0).standard_normal((200_000, 1)) + 1e-3 * y[:, None]
    codes = codes.astype(np.float32)
    expected = class_difference(codes.astype(float), y)
    assert_allclose(class_difference(codes, y), expected, rtol=1e-6)
    assert_allclose(class_difference(sparse.csr_array(codes), y), expected, rtol=1e-6)


def test_a_penalty_below_zero(problem):
    with pytest.raises(ValueError, match="penalty must be >= 0"):
        probe_loss(*problem, penalty=-1)
