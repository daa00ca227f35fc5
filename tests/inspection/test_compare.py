import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA, DictionaryLearning, SparseCoder, TruncatedSVD
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, PowerTransformer, StandardScaler

from skamort.datasets import make_sparse_coded_signal
from skamort.estimators import ITOCoder, SAEEncoder
from skamort.inspection import (
    ComparisonDisplay,
    ComparisonReport,
    ComputeFrontierDisplay,
    compare_encoders,
)
from skamort.inspection import _compare as compare
from skamort.inspection._table import make_table
from skamort.metrics import (
    amortization_gap,
    dead_fraction,
    dictionary_mcc,
    fraction_variance_unexplained,
    latent_mcc,
    mean_l0,
    sparse_coding_objective,
)

COLUMNS = [
    "fvu",
    "l0",
    "dead_fraction",
    "objective",
    "gap",
    "gap_upper",
    "latent_mcc",
    "dictionary_mcc",
    "fit_seconds",
    "samples_per_second",
    "n_parameters",
    "sign",
]


@pytest.fixture(scope="module")
def signal():
    X, dictionary, codes = make_sparse_coded_signal(
        120,
        n_components=10,
        n_features=6,
        n_nonzero_coefs=2,
        positive=True,
        noise=0.01,
        random_state=0,
    )
    return {
        "X_train": X[:80],
        "X_test": X[80:],
        "codes": codes[80:],
        "dictionary": dictionary,
    }


def learner(**parameters):
    settings = {
        "alpha": 0.1,
        "max_iter": 5,
        "fit_algorithm": "cd",
        "transform_algorithm": "lasso_cd",
        "transform_max_iter": 10_000,
        "random_state": 0,
    }
    return DictionaryLearning(8, **{**settings, **parameters})


def test_figures_are_those_of_the_metrics(signal):
    X = signal["X_test"]
    table, fitted = compare_encoders(
        {"learned": learner(), "PCA": PCA(3)}, alpha=0.2, return_estimators=True, **signal
    )
    assert list(table.columns) == COLUMNS
    assert list(table.index) == ["learned", "PCA"]
    for name, estimator in fitted.items():
        row, codes = table.loc[name], estimator.transform(X)
        mean = getattr(estimator, "mean_", 0)
        gap = amortization_gap(estimator, X, 0.2)
        reconstruction = codes @ estimator.components_ + mean
        expected = {
            "fvu": fraction_variance_unexplained(X, reconstruction),
            "l0": mean_l0(codes),
            "dead_fraction": dead_fraction(codes),
            "objective": sparse_coding_objective(X - mean, codes, estimator.components_, 0.2),
            "gap": gap.gap,
            "gap_upper": gap.gap_upper,
            "latent_mcc": latent_mcc(signal["codes"], codes),
            "dictionary_mcc": dictionary_mcc(signal["dictionary"], estimator.components_),
        }
        for column, value in expected.items():
            assert row[column] == pytest.approx(value, abs=1e-9), column
        assert row["fit_seconds"] > 0
        assert row["samples_per_second"] > 0
    assert table["n_parameters"].tolist() == [8 * 6, 3 * 6 + 6]
    assert table["sign"].tolist() == ["any", "any"]


def test_ours_beside_sklearns(signal):
    sae = SAEEncoder(8, alpha=0.1, tol=0.1, random_state=0)
    table = compare_encoders(
        [sae, ITOCoder(estimator=sae, alpha=0.1), learner()], alpha=0.1, **signal
    )
    assert list(table.index) == ["SAEEncoder", "ITOCoder", "DictionaryLearning"]
    assert table["gap"]["ITOCoder"] < 1e-4 < table["gap"]["SAEEncoder"]
    assert table["gap_upper"]["DictionaryLearning"] < 1e-4
    # The weights of encoder and decoder; ITOCoder holds the encoder that it starts from.
    assert table["n_parameters"]["SAEEncoder"] == table["n_parameters"]["ITOCoder"] >= 2 * 8 * 6
    assert table["sign"]["SAEEncoder"] == ">= 0"


def test_without_truth_there_is_no_mcc(signal):
    table = compare_encoders([PCA(2)], signal["X_train"], signal["X_test"], alpha=0.1)
    assert [column for column in COLUMNS if "mcc" not in column] == list(table.columns)


def test_fitted_estimators_are_taken_as_they_are(signal):
    fitted, unfitted = PCA(2).fit(signal["X_train"][:10]), PCA(2)
    coder = SparseCoder(signal["dictionary"], transform_algorithm="lasso_cd", transform_alpha=0.1)
    table, estimators = compare_encoders(
        {"fitted": fitted, "unfitted": unfitted, "coder": coder},
        alpha=0.1,
        return_estimators=True,
        **signal,
    )
    assert estimators["fitted"] is fitted
    assert estimators["unfitted"] is not unfitted
    assert not hasattr(unfitted, "components_")
    assert np.isnan(table["fit_seconds"]).tolist() == [True, False, True]
    assert table["dictionary_mcc"]["coder"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("estimators", "names"),
    [
        ({"a": PCA(1), "b": PCA(2)}, ["a", "b"]),
        ([("a", PCA(1)), ("b", PCA(2))], ["a", "b"]),
        ([PCA(1), TruncatedSVD(1), PCA(2)], ["PCA-1", "TruncatedSVD", "PCA-2"]),
        ([("mine", PCA(1)), PCA(2)], ["mine", "PCA"]),
    ],
)
def test_names(signal, estimators, names):
    table = compare_encoders(estimators, signal["X_train"], signal["X_test"], alpha=0.1)
    assert list(table.index) == names


def test_csr_codes_and_data_frames(signal):
    pd = pytest.importorskip("pandas")

    class SparsePCA(PCA):
        def transform(self, X):
            return sparse.csr_array(super().transform(X))

    plain = compare_encoders([PCA(2)], alpha=0.1, **signal).iloc[0]
    as_csr = compare_encoders([SparsePCA(2)], alpha=0.1, **signal).iloc[0]
    framed = {part: pd.DataFrame(signal[part]) for part in signal}
    for part in ("X_train", "X_test"):
        framed[part].columns = list("abcdef")
    as_frames = compare_encoders([PCA(2).set_output(transform="pandas")], alpha=0.1, **framed).iloc[
        0
    ]
    for column in COLUMNS[:8]:
        assert plain[column] == pytest.approx(as_csr[column], abs=1e-9)
        assert plain[column] == pytest.approx(as_frames[column], abs=1e-9)


def test_speed_is_that_of_the_fastest_run(monkeypatch, signal):
    """Time is counted by a clock that we set: 3, 1 and 2 seconds, after the tick before the fit."""
    ticks = iter([0.0, 0.0, 3.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr(compare, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(compare, "_SECONDS_TO_TIME", 5)
    fitted = PCA(2).fit(signal["X_train"])
    table = compare_encoders([fitted], alpha=0.1, **signal)
    assert table["samples_per_second"]["PCA"] == 40


def make_table_without_pandas(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        return make_table(rows)


def test_without_pandas(monkeypatch, signal):
    monkeypatch.setattr(compare, "make_table", make_table_without_pandas)
    table = compare_encoders({"first": PCA(2), "second": PCA(3)}, alpha=0.1, **signal)
    assert list(table) == COLUMNS
    assert table.index == ["first", "second"]
    assert table["n_parameters"].tolist() == [18, 24]
    lines = repr(table).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == COLUMNS
    assert lines[1].split()[0] == "first"


class Broken(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        raise RuntimeError("no luck")

    def transform(self, X):
        return X


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"estimators": []}, ValueError, "estimators is empty"),
        ({"estimators": [PCA]}, TypeError, "got the class PCA; pass an instance"),
        ({"estimators": ["PCA"]}, TypeError, "with transform, got 'PCA'"),
        ({"estimators": [("a", PCA(1)), ("a", PCA(2))]}, ValueError, "'a' comes twice"),
        ({"alpha": -0.1}, ValueError, "alpha must be >= 0"),
        ({"X_test": np.ones((40, 5))}, ValueError, "X_train has 6 features and X_test 5"),
        ({"X_train": np.full((80, 6), np.nan)}, ValueError, "X_train contains NaN"),
        ({"codes": np.ones((39, 10))}, ValueError, "codes and X_test must have the same number"),
        ({"dictionary": np.ones((10, 5))}, ValueError, r"dictionary has shape \(10, 5\)"),
    ],
)
def test_bad_input_before_any_fit(signal, wrong, error, message):
    with pytest.raises(error, match=message):
        compare_encoders(**{"estimators": [Broken()], "alpha": 0.1, **signal, **wrong})


def test_one_estimator_is_a_comparison_too(signal):
    for one in (PCA(2), make_pipeline(StandardScaler(), PCA(2))):
        alone = compare_encoders(one, alpha=0.1, **signal)
        assert list(alone.index) == [type(one).__name__]
        listed = compare_encoders([one], alpha=0.1, **signal)
        assert alone["fvu"].iloc[0] == listed["fvu"].iloc[0]


def test_an_error_says_whose_it_is(signal):
    with pytest.raises(RuntimeError, match="no luck") as caught:
        compare_encoders({"unlucky": Broken()}, alpha=0.1, **signal)
    assert "estimator 'unlucky'" in caught.value.__notes__[0]


def test_what_cannot_be_compared_costs_the_others_nothing(monkeypatch, signal):
    whole = {"first": PCA(2), "second": PCA(3)}
    expected = compare_encoders(whole, alpha=0.1, **signal)
    some = {"unlucky": Broken(), "first": PCA(2), "no atoms": StandardScaler(), "second": PCA(3)}
    for pandas in (True, False):
        if not pandas:
            monkeypatch.setattr(compare, "make_table", make_table_without_pandas)
        told = "2 of 4 .* NaN. 'unlucky': RuntimeError: no luck; 'no atoms': TypeError: "
        with pytest.warns(FitFailedWarning, match=told):
            table, models = compare_encoders(some, alpha=0.1, return_estimators=True, **signal)
        assert list(table.index) == list(some)
        assert list(table) == COLUMNS
        assert list(models) == list(whole)
        rows = {name: place for place, name in enumerate(some)}
        for column in COLUMNS[:8]:
            values = np.asarray(table[column], dtype=float)
            assert_allclose(values[[rows[name] for name in whole]], np.asarray(expected[column]))
            assert np.isnan(values[[rows["unlucky"], rows["no atoms"]]]).all()
        assert list(table["sign"]) == ["", "any", "", "any"]


def test_where_nothing_can_be_compared_the_first_error_is_raised(signal):
    with pytest.raises(TypeError, match="components_") as caught:
        compare_encoders({"a": StandardScaler(), "b": Broken()}, alpha=0.1, **signal)
    assert "estimator 'a'" in caught.value.__notes__[0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
def test_displays_and_reports_draw_the_others(signal, tmp_path):
    pytest.importorskip("matplotlib")
    some = {"unlucky": Broken(), "PCA": PCA(2)}
    bars = ComparisonDisplay.from_estimators(
        some, alpha=0.1, columns=["objective", "gap", "l0"], **signal
    )
    assert [axes.texts[0].get_text() for axes in bars.ax_] == ["n/a"] * 3
    points = ComputeFrontierDisplay.from_estimators(some, alpha=0.1, flops=id, **signal)
    assert points.frontiers_ == {"flops": ["PCA"], "seconds": ["PCA"]}
    ComparisonReport.from_estimators(some, alpha=0.1, **signal).save(tmp_path / "report.html")
    assert "nan %" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_sparse_data_have_the_figures_of_dense_ones():
    X = sparse.csr_array(np.random.default_rng(0).poisson(0.3, (60, 8)).astype(float))
    estimators = [SAEEncoder(6, tol=0.1, learning_rate=0.02, random_state=0), TruncatedSVD(3)]
    expected = compare_encoders(estimators, X[:40].toarray(), X[40:].toarray(), alpha=0.1)
    table = compare_encoders(estimators, X[:40].tocsc(), X[40:], alpha=0.1)
    for name in set(COLUMNS[:6]) | {"n_parameters"}:
        for row in ("SAEEncoder", "TruncatedSVD"):
            assert table[name][row] == pytest.approx(expected[name][row], rel=1e-6, abs=1e-9)


def scaler(scale=(1.0, 2.0, 0.5, 3.0, 1.0, 4.0)):
    scaled = StandardScaler().fit(np.array([np.zeros(6), np.ones(6)]))
    scaled.mean_, scaled.scale_ = np.arange(6.0), np.array(scale)
    return scaled


def test_errors_of_a_pipeline_are_those_in_the_space_of_X(signal):
    """Of steps that only shift, or scale all alike, the figures are those of the coder alone."""
    X_train, X_test = signal["X_train"], signal["X_test"]
    for lead in (scaler(), PCA(4).fit(X_train)):
        last = PCA(3).fit(lead.transform(X_train))
        pipeline = make_pipeline(lead, "passthrough", last)
        row = compare_encoders([pipeline], alpha=0.2, **signal).iloc[0]
        X_hat = pipeline.inverse_transform(pipeline.transform(X_test))
        assert row["fvu"] == pytest.approx(fraction_variance_unexplained(X_test, X_hat))
        assert row["n_parameters"] == last.components_.size + last.mean_.any() * last.mean_.size
    coder = ITOCoder(dictionary=signal["dictionary"], alpha=0.2)
    twice = ITOCoder(dictionary=signal["dictionary"], alpha=0.1)
    halved = scaler([2.0] * 6)
    halved.mean_ = np.zeros(6)
    for is_sparse in (False, True):
        pipeline = make_pipeline(halved, twice.set_params(sparse_output=is_sparse))
        table = compare_encoders({"alone": coder, "halved": pipeline}, alpha=0.2, **signal)
        for column in COLUMNS[:8]:
            assert table[column]["halved"] == pytest.approx(table[column]["alone"], abs=1e-3)
    assert table["gap_upper"]["halved"] < 1e-3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pipeline_is_fitted_and_returned(signal):
    pipeline = make_pipeline(StandardScaler(), SAEEncoder(8, max_iter=2, random_state=0))
    table, models = compare_encoders({"p": pipeline}, alpha=0.1, return_estimators=True, **signal)
    found = amortization_gap(models["p"], signal["X_test"], 0.1)
    assert table["gap"]["p"] == pytest.approx(found.gap)
    assert table["sign"]["p"] == ">= 0"
    with pytest.raises(ValueError, match="no L1 weight of its own"):
        amortization_gap(models["p"], signal["X_test"])


@pytest.mark.parametrize(
    ("lead", "error", "message"),
    [
        (PowerTransformer(), ValueError, "do not map back linearly"),
        (Normalizer(), TypeError, "'normalizer' has no inverse_transform"),
    ],
)
def test_a_pipeline_without_a_way_back_is_refused(signal, lead, error, message):
    skewed = {**signal, "X_train": np.exp(signal["X_train"]), "X_test": np.exp(signal["X_test"])}
    pipeline = make_pipeline(lead, PCA(2))
    with pytest.raises(error, match=message):
        compare_encoders([pipeline], alpha=0.1, **skewed)


def test_progress_is_told_by_name(capsys):
    X = np.random.default_rng(0).normal(size=(30, 4))
    models = {"one": PCA(2), "other": PCA(3)}
    compare_encoders(models, X[:20], X[20:], alpha=0.1)
    assert capsys.readouterr() == ("", "")
    compare_encoders(models, X[:20], X[20:], alpha=0.1, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(", ")[0] for line in lines] == [
        "compare_encoders: one",
        "compare_encoders: other",
    ]
