"""Data with entries missing: codes of what is observed, dictionaries learned from it, holes
filled."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from discovery import fast_estimators
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import GradSparseCoder, ITOCoder, SAEEncoder, _rows
from skamort._explained_variance import ExplainedVariance
from skamort.datasets import make_sparse_coded_signal
from skamort.estimators._missing import complete, unobserved
from skamort.metrics import dictionary_mcc
from skamort.solvers import sparse_encode, update_dictionary

short_fits = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
never_observed = pytest.mark.filterwarnings("ignore:.*have no observed entry:UserWarning")
NAMES = {"GradSparseCoder", "ITOCoder"}
OTHERS = [e for e in fast_estimators() if type(e).__name__ not in NAMES]


@pytest.fixture(scope="module")
def signal():
    """X, the same with two of five entries missing, and the dictionary."""
    X, dictionary, _ = make_sparse_coded_signal(
        n_samples=400, n_components=12, n_features=16, n_nonzero_coefs=2, positive=True,
        random_state=0,
    )  # fmt: skip
    X, dictionary = np.ascontiguousarray(X), np.ascontiguousarray(dictionary)
    holes = np.random.default_rng(0).random(X.shape) < 0.4
    return X, np.where(holes, np.nan, X), dictionary


def test_codes_are_those_of_what_is_observed(signal):
    _, holed, dictionary = signal
    ito = ITOCoder(dictionary=dictionary, alpha=0.02, missing_values=np.nan).fit(holed)
    found = sparse_encode(holed, dictionary, alpha=0.02, mask=~np.isnan(holed))
    np.testing.assert_array_equal(ito.transform(holed), found)
    np.testing.assert_array_equal(clone(ito).fit(holed).transform(holed), found)


@pytest.mark.parametrize("sparse_output", [False, True])
def test_what_is_missing_is_filled_in(signal, sparse_output):
    X, holed, dictionary = signal
    ito = ITOCoder(
        dictionary=dictionary, alpha=1e-3, missing_values=np.nan, sparse_output=sparse_output
    ).fit(holed)
    filled = ito.inverse_transform(ito.transform(holed))
    holes = np.isnan(holed)
    assert np.square(filled - X)[holes].mean() < 0.02 * np.square(X[holes]).mean()
    assert ito.score(holed) > 0.99


@pytest.mark.parametrize("algorithm", ["cd", "fista"])
def test_a_dictionary_is_learned_from_what_is_observed(signal, algorithm):
    X, holed, dictionary = signal
    options = {"alpha": 0.02, "algorithm": algorithm, "missing_values": np.nan, "random_state": 0}
    coder = GradSparseCoder(12, **options).fit(holed)
    codes, curve = coder.transform(holed), np.array(coder.loss_curve_)
    assert (curve[1:] <= 1.02 * curve[:-1]).all()
    error = np.nansum((holed - codes @ coder.components_) ** 2)
    objective = (0.5 * error + 0.02 * np.abs(codes).sum()) / len(holed)
    assert objective == pytest.approx(curve[-1], rel=0.02)
    assert dictionary_mcc(dictionary, coder.components_) > 0.95
    holes = np.isnan(holed)
    filled = coder.inverse_transform(codes)
    assert np.square(filled - X)[holes].mean() < 0.1 * np.square(X[holes]).mean()


def test_no_update_of_the_dictionary_makes_the_error_rise():
    rng = np.random.default_rng(0)
    for _ in range(20):
        X, codes = rng.standard_normal((30, 6)), rng.standard_normal((30, 9))
        X[rng.random(X.shape) < rng.uniform(0.1, 0.9)] = np.nan
        atoms = rng.standard_normal((9, 6))
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        before = np.nansum((X - codes @ atoms) ** 2)
        filled = complete(*map(torch.from_numpy, (X, codes, atoms))).numpy()
        np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
        update_dictionary(atoms, codes.T @ codes, codes.T @ filled)
        assert np.nansum((X - codes @ atoms) ** 2) <= before


@pytest.mark.parametrize(("batch_size", "dict_init"), [(None, None), (100, "k-means++")])
@short_fits
def test_complete_data_are_learned_from_as_before(signal, batch_size, dict_init):
    X, _, _ = signal
    plain = GradSparseCoder(
        12, batch_size=batch_size, dict_init=dict_init, max_iter=5, random_state=0
    ).fit(X)
    allowing = clone(plain).set_params(missing_values=np.nan).fit(X)
    np.testing.assert_array_equal(plain.components_, allowing.components_)
    np.testing.assert_array_equal(plain.transform(X), allowing.transform(X))
    assert plain.score(X) == allowing.score(X)


def test_chunks_have_holes_too(signal):
    X, holed, _ = signal
    coder = GradSparseCoder(12, alpha=0.02, missing_values=np.nan, random_state=0)
    for _ in range(4):
        for chunk in np.array_split(holed, 4):
            coder.partial_fit(chunk)
    assert coder.loss_curve_[-1] < 0.5 * coder.loss_curve_[0]
    filled = coder.inverse_transform(coder.transform(holed))
    assert np.square(filled - X).mean() < 0.6 * np.square(X).mean()


@short_fits
def test_a_warm_start_comes_from_data_filled_with_the_center(signal):
    X, holed, _ = signal
    sae = SAEEncoder(12, alpha=0.02, max_iter=5, fit_intercept=True, random_state=0).fit(X)
    ito = ITOCoder(estimator=sae, alpha=0.02, missing_values=np.nan, transform_tol=1e-8).fit(holed)
    without = sparse_encode(
        holed - sae.intercept_, sae.components_, alpha=0.02, positive=True, tol=1e-8,
        mask=~np.isnan(holed),
    )  # fmt: skip
    np.testing.assert_allclose(ito.transform(holed), without, atol=1e-3)


@never_observed
@short_fits
def test_rows_and_columns_may_be_missing_as_a_whole(signal):
    _, holed, dictionary = signal
    holed = holed.copy()
    holed[3], holed[:, 5] = np.nan, np.nan
    ito = ITOCoder(dictionary=dictionary, alpha=0.02, missing_values=np.nan).fit(holed)
    assert not ito.transform(holed)[3].any()
    assert 0 < ito.score(holed) <= 1
    coder = GradSparseCoder(12, alpha=0.02, max_iter=5, missing_values=np.nan).fit(holed)
    assert np.isfinite(coder.components_).all()
    assert np.isfinite(coder.inverse_transform(coder.transform(holed))).all()


def test_holes_come_from_disk_and_through_pipelines(signal, tmp_path):
    _, holed, dictionary = signal
    stored = np.memmap(tmp_path / "X", dtype=np.float64, mode="w+", shape=holed.shape)
    stored[:] = holed
    ito = ITOCoder(dictionary=dictionary, missing_values=np.nan).fit(stored)
    np.testing.assert_array_equal(ito.transform(stored), ito.transform(holed))
    assert ito.score(stored) == ito.score(holed)
    pipeline = make_pipeline(StandardScaler(), clone(ito)).fit(holed)
    assert np.isfinite(pipeline.transform(holed)).all()


def test_score_is_that_of_observed_entries(signal):
    _, holed, dictionary = signal
    ito = ITOCoder(dictionary=dictionary, alpha=0.1, missing_values=np.nan).fit(holed)
    error = holed - ito.inverse_transform(ito.transform(holed))
    variance = np.nansum((holed - np.nanmean(holed, axis=0)) ** 2)
    assert ito.score(holed) == pytest.approx(1 - np.nansum(error**2) / variance)
    repeated = np.repeat(holed, np.arange(len(holed)) % 3, axis=0)
    weights = np.arange(len(holed)) % 3
    assert ito.score(holed, sample_weight=weights) == pytest.approx(ito.score(repeated))


@pytest.mark.parametrize("weighted", [False, True])
def test_variance_is_the_same_in_blocks(signal, weighted):
    _, holed, _ = signal
    holed = holed.copy()
    holed[:100], holed[:300, 2], holed[180:270] = 1.0, np.nan, np.nan
    rng = np.random.default_rng(0)
    images, weights = rng.standard_normal(holed.shape), rng.random(len(holed))
    whole, parts = ExplainedVariance(), ExplainedVariance()
    for variance, blocks in (
        (whole, [slice(None)]),
        (parts, [slice(i, i + 90) for i in range(0, 400, 90)]),
    ):
        for rows in blocks:
            given = (weights[rows],) if weighted else ()
            variance.add(holed[rows], images[rows], *given)
    assert parts.fraction() == pytest.approx(whole.fraction(), rel=1e-12)


@pytest.mark.parametrize("estimator", OTHERS, ids=lambda e: type(e).__name__)
def test_other_estimators_say_which_take_holes(estimator, signal):
    _, holed, _ = signal
    with pytest.raises(ValueError, match=r"NaN.*missing_values=np\.nan of GradSparseCoder or ITO"):
        estimator.fit(holed)
    assert not estimator.__sklearn_tags__().input_tags.allow_nan


@pytest.mark.parametrize("name", sorted(NAMES))
def test_holes_are_taken_on_request_only(name, signal):
    _, holed, _ = signal
    estimator = next(e for e in fast_estimators() if type(e).__name__ == name)
    with pytest.raises(ValueError, match=r"NaN.*missing_values=np\.nan"):
        estimator.fit(holed)
    estimator.set_params(missing_values=np.nan)
    assert estimator.__sklearn_tags__().input_tags.allow_nan
    with pytest.raises(ValueError, match=r"infinity.*put NaN for what is missing"):
        estimator.fit(np.where(np.isnan(holed), np.inf, holed))


def test_what_needs_complete_data_says_so(signal):
    _, holed, _ = signal
    coder = GradSparseCoder(12, missing_values=np.nan)
    with pytest.raises(ValueError, match="codes= needs complete data"):
        coder.fit(holed, codes=np.ones((len(holed), 12)))
    for name, value in (("algorithm", "adam"), ("fit_intercept", "geometric_median")):
        with pytest.raises(ValueError, match=f"{name}='{value}' needs complete data"):
            clone(coder).set_params(**{name: value}).fit(holed)


@never_observed
@short_fits
@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_the_center_is_the_mean_of_what_is_observed(signal, kind):
    _, holed, _ = signal
    holed = 3 + holed
    holed[:, 5] = np.nan
    mean = np.append(np.nanmean(np.delete(holed, 5, axis=1), axis=0), 0.0)
    mean = np.insert(mean[:-1], 5, 0.0)
    options = {"alpha": 0.02, "fit_intercept": True, "missing_values": np.nan, "max_iter": 3}
    coder = GradSparseCoder(12, **options).fit(kind(holed))
    np.testing.assert_allclose(coder.intercept_, mean)
    known = ITOCoder(dictionary=coder.components_, alpha=0.02, missing_values=np.nan)
    known.set_params(positive_code=True)
    np.testing.assert_allclose(
        coder.transform(holed), known.fit(holed - mean).transform(holed - mean)
    )
    coder = GradSparseCoder(12, **options)
    for chunk in np.array_split(holed, 4):
        coder.partial_fit(kind(chunk))
    np.testing.assert_allclose(coder.intercept_, mean, atol=0.1)


@short_fits
def test_the_size_of_holed_data_does_not_matter(signal):
    _, holed, _ = signal
    options = {"missing_values": np.nan, "random_state": 0, "max_iter": 3}
    plain = GradSparseCoder(12, alpha=0.1, **options).fit(holed)
    size = 2.0**200
    large = GradSparseCoder(12, alpha=0.1 * size, **options).fit(size * holed)
    np.testing.assert_allclose(large.components_, plain.components_, atol=1e-6)


@pytest.mark.parametrize("coder", [
    GradSparseCoder(4, missing_values=np.nan),
    ITOCoder(dictionary=np.eye(3), missing_values=np.nan),
    ITOCoder(dictionary=np.eye(3), alpha=0.1, missing_values=np.nan),
], ids=["learned", "by rows", "known"])  # fmt: skip
def test_data_without_an_entry_are_refused(coder):
    holed = np.full((5, 3), np.nan)
    for learn in (coder.fit, getattr(coder, "partial_fit", coder.fit)):
        with pytest.raises(ValueError, match="all entries of X are missing"):
            learn(holed)
    holed[2, 1] = 0.5
    with (
        pytest.warns(UserWarning, match="2 column")
        if isinstance(coder, GradSparseCoder)
        else nullcontext()
    ):
        codes = coder.fit(holed).transform(holed)
    assert not codes[[0, 1, 3, 4]].any()


@short_fits
@pytest.mark.parametrize("settings", [{}, {"n_nonzero_coefs": 1}, {"fit_intercept": True}], ids=str)
@pytest.mark.parametrize("columns", [[2], [0, 5]])
def test_nothing_is_made_up_where_a_column_was_never_observed(signal, settings, columns):
    holed = signal[1][:60].copy()
    holed[:, columns] = np.nan
    coder = GradSparseCoder(12, max_iter=3, missing_values=np.nan, random_state=0, **settings)
    with pytest.warns(UserWarning, match=f"no observed entry, number {str(columns)[1:-1]}: atoms"):
        coder.fit(holed)
    assert not coder.components_[:, columns].any()
    assert not coder.inverse_transform(coder.transform(holed))[:, columns].any()
    np.testing.assert_allclose(np.linalg.norm(coder.components_, axis=1), 1)
    given = clone(coder).set_params(dict_init=signal[2])
    with pytest.warns(UserWarning, match="or as they were given"):
        given.fit(holed)
    assert given.components_[:, columns].any()


@never_observed
@short_fits
@pytest.mark.parametrize("n_components", [3, 9])
def test_atoms_in_excess_are_0_where_nothing_was_observed_too(n_components):
    """Those that are equal go elsewhere, and have nowhere to go."""
    holed = np.full((40, 6), np.nan)
    holed[:, 1] = np.random.default_rng(0).standard_normal(40)
    coder = GradSparseCoder(n_components, missing_values=np.nan, random_state=0).fit(holed)
    np.testing.assert_allclose(abs(coder.components_), np.tile(np.eye(6)[1], (n_components, 1)))


@never_observed
@short_fits
def test_a_warm_start_forgets_no_column_that_is_silent_now(signal):
    coder = GradSparseCoder(12, alpha=0.02, missing_values=np.nan, max_iter=3, random_state=0)
    before = coder.set_params(warm_start=True).fit(signal[1]).components_[:, 3]
    silent = signal[1].copy()
    silent[:, 3] = np.nan
    after = coder.fit(silent).components_[:, 3]
    assert abs(before).max() > 0.1
    np.testing.assert_allclose(after, before, atol=0.15)


@short_fits
def test_a_column_that_is_silent_for_a_chunk_is_learned_from_the_next(signal):
    X, holed, _ = signal
    silent = holed[:200].copy()
    silent[:, 3] = np.nan
    coder = GradSparseCoder(12, alpha=0.02, missing_values=np.nan, random_state=0)
    assert not coder.partial_fit(silent).components_[:, 3].any()  # and without a warning
    assert abs(coder.partial_fit(X[200:]).components_[:, 3]).max() > 0.1


def test_a_column_is_observed_where_any_block_has_an_entry(monkeypatch):
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 12)  # blocks of 3 rows
    holed = np.ones((9, 4))
    holed[:3, 0] = holed[3:6, 1] = holed[6:, 2] = holed[:, 3] = np.nan
    assert unobserved(_rows.Rows(holed, "data", allow_nan=True)).tolist() == [0, 0, 0, 1]
