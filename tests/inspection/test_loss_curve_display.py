"""Losses are drawn as they were."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from skamort import SAEEncoder
from skamort.inspection import LossCurveDisplay

plt = pytest.importorskip("matplotlib.pyplot")
X = np.random.default_rng(0).normal(size=(60, 6))


@pytest.fixture
def model():
    return SAEEncoder(8, max_iter=4, tol=0, random_state=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_losses_by_epoch(model):
    model.fit(X)
    _, ax = plt.subplots()
    display = LossCurveDisplay.from_estimators(model, ax=ax)
    assert display.ax_ is ax
    (line,) = ax.lines
    assert list(line.get_xdata()) == [1, 2, 3, 4]
    assert list(line.get_ydata()) == list(model.loss_curve_)
    assert ax.get_legend() is None
    two = LossCurveDisplay.from_estimators({"a $x$": model, "b": model})
    assert [text.get_text() for text in two.ax_.get_legend().get_texts()] == ["a $x$", "b"]
    pipeline = Pipeline([("last", model)])
    listed = LossCurveDisplay.from_estimators([model, pipeline, ("c", model)])
    names = [text.get_text() for text in listed.ax_.get_legend().get_texts()]
    assert names == ["SAEEncoder", "Pipeline", "c"]
    assert all(list(line.get_ydata()) == list(model.loss_curve_) for line in listed.ax_.lines)
    plt.close("all")


def test_losses_that_are_not_positive_are_drawn_as_well():
    display = LossCurveDisplay({"a": [1.0, 0.0, -1.0]}).plot()
    assert display.ax_.get_yscale() == "linear"
    plt.close("all")


def test_estimators_without_losses(model):
    with pytest.raises(ValueError, match="one, two has no loss_curve_"):
        LossCurveDisplay.from_estimators({"one": PCA(), "two": model})
