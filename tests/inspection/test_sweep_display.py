"""Sweeps measure what they say and mark where the curve bends."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skamort import TopKSAE
from skamort.estimators import fit_many
from skamort.inspection import SweepDisplay
from skamort.inspection._sweep_display import _elbow
from skamort.inspection._table import make_table
from skamort.metrics import dead_fraction, fraction_variance_unexplained, mean_l0, stability

plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning"
)
X = np.random.default_rng(0).normal(size=(90, 6))
SAE = TopKSAE(12, max_iter=3, random_state=0)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.mark.parametrize("fit", [None, fit_many])
@pytest.mark.parametrize("seeds", [None, [3], [3, 4, 5]])
def test_measures_are_means_over_seeds(fit, seeds):
    display = SweepDisplay.from_estimator(
        SAE, X[:60], X[60:], param_name="k", param_range=[1, 2, 4], random_states=seeds, fit=fit
    )
    assert list(display.table["value"]) == [1, 2, 4]
    models = [TopKSAE(12, k=2, max_iter=3, random_state=s).fit(X[:60]) for s in seeds or [0]]
    codes = [model.transform(X[60:]) for model in models]
    errors = [
        fraction_variance_unexplained(X[60:], model.inverse_transform(z))
        for model, z in zip(models, codes, strict=True)
    ]
    row = {name: display.table[name].iloc[1] for name in display.table}
    assert row["fvu"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert row["l0"] == pytest.approx(np.mean([mean_l0(z) for z in codes]), rel=1e-4)
    assert row["dead_fraction"] == pytest.approx(np.mean([dead_fraction(z) for z in codes]))
    several = len(models) > 1
    assert ("stability" in row) == several
    assert len(display.ax_) == 3 + several
    if several:
        assert row["stability"] == pytest.approx(stability(models), rel=1e-4)


def test_what_scikit_learn_fits_as_well():
    display = SweepDisplay.from_estimator(
        PCA(), X[:60], X[60:], param_name="n_components", param_range=[1, 2, 6]
    )
    assert list(display.table["l0"]) == [1, 2, 6]
    assert np.diff(display.table["fvu"]).max() < 0


@pytest.mark.parametrize("bend", range(1, 9))
def test_the_elbow_is_where_two_lines_meet(bend):
    l0 = np.arange(10.0)
    fvu = np.where(l0 <= bend, 1 - 0.09 * l0 * 9 / bend, 0.19 - 0.01 * (l0 - bend))
    for order in (slice(None), slice(None, None, -1)):
        assert l0[order][_elbow(l0[order], fvu[order])] == bend


def test_a_sweep_is_drawn_on_given_axes_and_marked():
    rows = {
        str(v): {"value": v, "fvu": f, "l0": n, "dead_fraction": 0.0}
        for v, f, n in [(0.1, 0.1, 20), (1.0, 0.2, 5), (10.0, 0.9, 1)]
    }
    _, axes = plt.subplots(1, 3)
    display = SweepDisplay(make_table(rows), param_name="alpha").plot(axes)
    assert display.elbow_ == 1.0
    assert [ax.get_xscale() for ax in axes] == ["log"] * 3
    assert {ax.get_xlabel() for ax in axes} == {"alpha"}
    assert all(ax.lines[1].get_xdata()[0] == 1.0 for ax in axes)
    with pytest.raises(ValueError, match="3 measures need as many axes"):
        display.plot(axes[:2])


def test_one_value_is_no_sweep():
    with pytest.raises(ValueError, match=r"two values or more, got \[3\]"):
        SweepDisplay.from_estimator(SAE, X, X, param_name="k", param_range=[3])


def test_the_estimator_stays_as_it_is():
    SweepDisplay.from_estimator(SAE, X[:60], X[60:], param_name="k", param_range=[1, 2])
    assert not hasattr(SAE, "components_")


@pytest.mark.parametrize("values", [[1, 2, 4, 64], ["a", "b", "c", "d"], [1, 2, 3, 4]])
def test_where_all_are_as_sparse_the_values_count(values):
    rows = {
        str(v): {"value": v, "fvu": f, "l0": 8.0, "dead_fraction": 0.0}
        for v, f in zip(values, [0.9, 0.2, 0.19, 0.18], strict=True)
    }
    display = SweepDisplay(make_table(rows), param_name="n_components").plot()
    assert display.elbow_ == values[1]


@pytest.mark.parametrize(
    ("name", "values"), [("dead_latents", [None, "auxk"]), ("fit_intercept", [True, False])]
)
def test_values_that_are_no_numbers(name, values):
    display = SweepDisplay.from_estimator(
        clone(SAE), X[:60], X[60:], param_name=name, param_range=values
    )
    assert list(display.table["value"]) == [str(value) for value in values]
    assert display.elbow_ in display.table.index
    display.figure_.canvas.draw()


def test_no_seed():
    with pytest.raises(ValueError, match="random_states must hold a seed"):
        SweepDisplay.from_estimator(SAE, X, X, param_name="k", param_range=[1, 2], random_states=[])


@pytest.mark.parametrize("fit", [None, fit_many])
def test_a_pipeline_is_swept_by_the_names_of_its_steps_and_measured_in_the_space_of_the_data(fit):
    scaled = X * [1, 2, 4, 8, 16, 32]
    pipe = make_pipeline(StandardScaler(), SAE)
    settings = {"param_name": "topksae__k", "param_range": [1, 4], "random_states": [3, 4]}
    display = SweepDisplay.from_estimator(pipe, scaled[:60], scaled[60:], fit=fit, **settings)
    models = [
        make_pipeline(StandardScaler(), TopKSAE(12, k=4, max_iter=3, random_state=s))
        for s in (3, 4)
    ]
    codes = [model.fit(scaled[:60]).transform(scaled[60:]) for model in models]
    errors = [
        fraction_variance_unexplained(scaled[60:], model.inverse_transform(z))
        for model, z in zip(models, codes, strict=True)
    ]
    assert display.table["fvu"].iloc[1] == pytest.approx(np.mean(errors), rel=1e-6)
    assert display.table["l0"].iloc[1] == pytest.approx(np.mean([mean_l0(z) for z in codes]))
    assert 0 < display.table["stability"].iloc[1] < 1
    assert display.ax_[0].get_xlabel() == "topksae__k"


def test_steps_that_do_not_map_back_are_refused():
    pipe = make_pipeline(Normalizer(), SAE)
    with pytest.raises(TypeError, match="'normalizer' has no inverse_transform"):
        SweepDisplay.from_estimator(pipe, X, X, param_name="topksae__k", param_range=[1, 2])
