"""Curves are drawn as they were written down, and compared at equal cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort import SAEEncoder
from skamort.inspection import TrainingCurveDisplay
from skamort.training import StepScoring

plt = pytest.importorskip("matplotlib.pyplot")
X = np.random.default_rng(0).normal(size=(60, 6))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scores_of_estimators_by_every_cost():
    scoring = StepScoring(
        X, {"L0": lambda z, _: (z > 0).sum(1).mean(), "sum": lambda z, _: z.sum()}
    )
    sae = SAEEncoder(8, max_iter=4, tol=0, random_state=0, callbacks=[("looks", scoring)]).fit(X)
    display = TrainingCurveDisplay.from_estimators(sae)
    assert [ax.get_xlabel() for ax in display.ax_] == ["steps", "samples", "operations", "seconds"]
    assert display.ax_[0].get_ylabel() == "L0"
    (line,) = display.ax_[2].lines
    assert list(line.get_xdata()) == scoring.curve_["flops"][1:]  # from the first step on
    assert list(line.get_ydata()) == scoring.curve_["L0"][1:]
    other = TrainingCurveDisplay.from_estimators({"$a$": sae}, score_name="sum")
    assert list(other.ax_[0].lines[0].get_ydata()) == scoring.curve_["sum"][1:]
    assert [text.get_text() for text in other.ax_[0].get_legend().get_texts()] == ["$a$"]
    plt.close("all")


def test_runs_are_a_mean_in_a_band():
    curves = {"a": {"step": [1, 10], "mcc": [[0.1, 0.3], [0.5, 0.9]]}}
    _, ax = plt.subplots()
    display = TrainingCurveDisplay(curves).plot(ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.2, 0.7])
    (band,) = ax.collections
    assert {tuple(p) for p in band.get_paths()[0].vertices.round(6)} >= {(1, 0.1), (10, 0.9)}
    assert display.figure_ is ax.figure
    plt.close("all")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.lists(st.floats(0, 1), min_size=5))
def test_first_ahead_is_the_start_of_the_lead_that_lasts(mine, theirs):
    costs, others = np.arange(1, 6), np.linspace(0, 7, len(theirs))
    curves = {"a": {"flops": costs, "mcc": mine}, "b": {"flops": others, "mcc": theirs}}
    ahead = np.array(mine) >= np.interp(costs, others, theirs)
    lasting = [cost for i, cost in enumerate(costs) if ahead[i:].all()]
    found = TrainingCurveDisplay(curves).first_ahead("a", "b")
    assert found == lasting[0] if lasting else np.isnan(found)


def test_curves_that_do_not_go_together():
    with pytest.raises(ValueError, match="one has no curve; fit with"):
        TrainingCurveDisplay.from_estimators({"one": SAEEncoder(8)})
    curves = {"a": {"step": [1], "mcc": [1]}, "b": {"flops": [1], "mcc": [1]}}
    with pytest.raises(ValueError, match=r"share a cost and the score 'mcc', they share \['mcc'\]"):
        TrainingCurveDisplay(curves).plot()
    with pytest.raises(ValueError, match="the score 'loss', they share"):
        TrainingCurveDisplay({"a": curves["a"]}, score_name="loss").plot()
    with pytest.raises(TypeError, match=r"must be curves by name, got \{\}"):
        TrainingCurveDisplay({}).plot()
    display = TrainingCurveDisplay({"a": curves["a"]})
    with pytest.raises(ValueError, match="cost='flops' is not in both curves; choose one of"):
        display.first_ahead("a", "a")
    with pytest.raises(ValueError, match=r"there is no curve 'x'; choose among \['a'\]"):
        display.first_ahead("a", "x", cost="step")


@pytest.mark.parametrize(
    ("scores", "match"),
    [([0.1, 0.2], "'step': 3, 'score': 2"), ([[1, 2], [1, 2], [1]], r"looks with \[1, 2\] fig")],
)
def test_ragged_curves_are_refused(scores, match):
    curve = {"step": [1, 10, 100], "score": scores}
    with pytest.raises(ValueError, match=f"TrainingCurveDisplay: 'A' needs .*{match}"):
        TrainingCurveDisplay({"A": curve}).plot()
