import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from skamort.inspection import ComputeFrontierDisplay
from skamort.inspection._frontier_display import _frontier
from skamort.inspection._table import make_table

plt = pytest.importorskip("matplotlib.pyplot")
X = np.random.default_rng(0).normal(size=(60, 6))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_frontier_is_what_nothing_beats(points):
    cost, quality = np.array(points, dtype=float).T
    chosen = _frontier(cost, quality)
    assert (np.diff(cost[chosen]) > 0).all()
    assert (np.diff(quality[chosen]) > 0).all()
    for c, q in points:  # each point is on it, or one on it is as good and as cheap
        assert any(cost[i] <= c and quality[i] >= q for i in chosen)


def test_draws_points_names_and_frontiers():
    rows = {
        "cheap": {"flops": 10, "seconds": 2.0, "latent_mcc": 0.5},
        "worse": {"flops": 20, "seconds": 1.0, "latent_mcc": 0.4},
        "best": {"flops": 30, "seconds": 3.0, "latent_mcc": 0.9},
        "unknown": {"flops": np.nan, "seconds": 4.0, "latent_mcc": 0.95},
    }
    display = ComputeFrontierDisplay(make_table(rows)).plot()
    assert display.frontiers_ == {
        "flops": ["cheap", "best"],
        "seconds": ["worse", "cheap", "best", "unknown"],
    }
    assert_allclose(display.ax_[0].collections[0].get_offsets(), [[10, 0.5], [20, 0.4], [30, 0.9]])
    assert [text.get_text() for text in display.ax_[1].texts] == list(rows)
    assert display.ax_[0].get_ylabel() == "latent MCC, higher is better"


@pytest.mark.parametrize(
    "flops", [{"small": 12, "large": 60}, lambda pca: 2 * pca.components_.size]
)
def test_from_estimators(flops):
    estimators = {"large": PCA(5), "small": PCA(1)}
    display = ComputeFrontierDisplay.from_estimators(
        estimators, X[:40], X[40:], alpha=0.1, quality="fvu", flops=flops
    )
    assert display.frontiers_["flops"] == ["small", "large"]
    assert (np.asarray(display.table["seconds"]) > 0).all()


def test_seconds_alone_on_given_axes():
    _, ax = plt.subplots()
    display = ComputeFrontierDisplay.from_estimators(
        [PCA(2)], X[:40], X[40:], alpha=0.1, quality="gap", ax=ax
    )
    assert list(display.ax_) == [ax]
    assert display.frontiers_ == {"seconds": ["PCA"]}


def test_bad_input():
    table = make_table({"a": {"fvu": 0.1, "seconds": 1.0}})
    with pytest.raises(ValueError, match="no column 'latent_mcc', it has"):
        ComputeFrontierDisplay(table).plot()
    with pytest.raises(ValueError, match="neither of the columns 'flops' and 'seconds'"):
        ComputeFrontierDisplay(make_table({"a": {"fvu": 0.1}}), quality="fvu").plot()
    with pytest.raises(ValueError, match="1 costs need as many axes, got 2"):
        ComputeFrontierDisplay(table, quality="fvu").plot(plt.subplots(1, 2)[1])


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="ComputeFrontierDisplay draws with matplotlib"):
        ComputeFrontierDisplay(make_table({"a": {"seconds": 1.0, "latent_mcc": 0.1}})).plot()
