"""alpha="auto": relative to the data, kept by what goes on from a fit, read by all that follow."""

import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from on_disk import OnDisk
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import DictionaryLearning
from sklearn.exceptions import NotFittedError

from skamort import (
    AmortizedCoder,
    GradSparseCoder,
    ITOCoder,
    JumpReLUSAE,
    LISTAEncoder,
    SAEEncoder,
    TopKSAE,
)
from skamort.datasets import make_sparse_coded_signal
from skamort.estimators import fit_many
from skamort.estimators._alpha import auto_alpha
from skamort.metrics import amortization_gap

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ESTIMATORS = [e for e in fast_estimators() if hasattr(e, "alpha")]
TRAINED = {"n_components": 12, "max_iter": 2, "random_state": 0}


@pytest.fixture(params=ESTIMATORS, ids=lambda e: type(e).__name__)
def estimator(request):
    estimator = clone(request.param).set_params(n_components=12, random_state=0)
    if isinstance(estimator, ITOCoder):
        return estimator.set_params(estimator=SAEEncoder(max_iter=3))
    return estimator.set_params(max_iter=3)


@pytest.fixture(scope="module")
def X():
    shape = {"n_samples": 100, "n_components": 12, "n_features": 6, "n_nonzero_coefs": 2}
    return make_sparse_coded_signal(**shape, positive=True, random_state=0)[0].astype("f4")


def length(X):
    X = X.astype(float)
    return np.linalg.norm(X - X.mean(0), axis=1).mean()


def test_it_is_a_tenth_of_the_mean_distance_from_the_mean(estimator, X):
    start = 0.1 * length(X)
    expected = start**2 / 2 if isinstance(estimator, JumpReLUSAE) else start
    assert estimator.fit(X).alpha_ == pytest.approx(expected, rel=1e-5)
    assert estimator.alpha == "auto"


def test_a_given_one_stays(estimator, X):
    found = estimator.set_params(alpha=0.03).fit(X)
    assert found.alpha_ == found.alpha == 0.03


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**50])
def test_codes_are_those_of_the_data_times_the_unit(estimator, X, unit):
    one, other = clone(estimator).fit(X), clone(estimator).fit(np.float32(unit) * X)
    power = 2 if isinstance(estimator, JumpReLUSAE) else 1
    assert other.alpha_ == one.alpha_ * unit**power
    codes = other.transform(np.float32(unit) * X) / np.float32(unit)
    assert_allclose(codes, one.transform(X), atol=1e-3)


@pytest.mark.parametrize("unit", [0.5, 64])
def test_powers_of_two_change_no_bit(X, unit):
    coder = GradSparseCoder(12, max_iter=3, random_state=0)
    one, other = (clone(coder).fit(np.float32(factor) * X) for factor in (1, unit))
    assert_array_equal(other.components_, one.components_)
    assert_array_equal(other.transform(np.float32(unit) * X), np.float32(unit) * one.transform(X))


def test_where_the_rows_stand_and_lie_does_not_matter(X):
    expected = SAEEncoder(**TRAINED).fit(X).alpha_
    for source in (OnDisk(X), sparse.csr_array(X), X.astype(float)):
        assert SAEEncoder(**TRAINED).fit(source).alpha_ == pytest.approx(expected)
        assert GradSparseCoder(**TRAINED).fit(source).alpha_ == pytest.approx(expected)
    assert SAEEncoder(**TRAINED).fit(X + 3).alpha_ == pytest.approx(expected, rel=1e-5)


def test_weights_stand_for_equal_rows(X):
    weights = np.arange(len(X)) % 3
    found = SAEEncoder(**TRAINED).fit(X, sample_weight=weights).alpha_
    assert found == pytest.approx(0.1 * length(np.repeat(X, weights, axis=0)))


@pytest.mark.parametrize("X", [np.zeros((3, 2)), np.full((3, 2), 0.1), np.array([[0.3, 0.4]])])
def test_rows_that_are_all_alike_have_the_length_that_they_have(X):
    import torch

    expected = 0.1 * (np.linalg.norm(X[0]) or 1.0)
    assert auto_alpha(torch.from_numpy(X)) == pytest.approx(expected)


def test_missing_entries_count_as_the_mean(X):
    X = X.astype(float)
    with_gaps = X.copy()
    with_gaps[::7, 2] = np.nan
    centered = np.nan_to_num(with_gaps - np.nanmean(with_gaps, axis=0))
    coder = GradSparseCoder(**TRAINED, missing_values=np.nan).fit(with_gaps)
    assert coder.alpha_ == pytest.approx(0.1 * np.linalg.norm(centered, axis=1).mean())
    assert coder.fit(with_gaps + 9).fit_intercept_
    assert_allclose(coder.intercept_, np.nanmean(with_gaps, axis=0) + 9, rtol=1e-6)


@pytest.mark.parametrize("coder", [SAEEncoder, GradSparseCoder, JumpReLUSAE])
def test_what_goes_on_keeps_it_until_it_is_set(X, coder):
    coder = coder(**TRAINED).fit(X)
    first = coder.alpha_
    assert coder.partial_fit(5 * X).alpha_ == first
    assert coder.set_params(warm_start=True).fit(5 * X).alpha_ == first
    assert coder.set_params(alpha=0.2).partial_fit(X).alpha_ == 0.2
    again = coder.set_params(alpha="auto").fit(5 * X).alpha_
    power = 2 if isinstance(coder, JumpReLUSAE) else 1
    assert again == pytest.approx(5**power * first, rel=1e-5)


def test_many_models_find_theirs(X):
    models = fit_many(SAEEncoder(**TRAINED), X, {"alpha": ["auto", 0.3]})
    alone = SAEEncoder(**TRAINED).fit(X)
    assert [model.alpha_ for model in models] == [alone.alpha_, 0.3]
    assert_allclose(models[0].components_, alone.components_, atol=1e-5)


def test_verbose_tells_it(X, capsys):
    for coder in (SAEEncoder(**TRAINED, verbose=True), GradSparseCoder(**TRAINED, verbose=True)):
        coder.fit(X)
        told = capsys.readouterr().out
        assert told.startswith(f"{type(coder).__name__}: alpha={coder.alpha_:.4g}, ")


def test_what_reads_a_weight_reads_the_one_that_was_used(X):
    sae = SAEEncoder(**TRAINED).fit(X)
    assert amortization_gap(sae, X).alpha == sae.alpha_
    assert ITOCoder(estimator=sae).fit(3 * X).alpha_ == sae.alpha_
    coder = GradSparseCoder(**TRAINED, transform_alpha=0.01).fit(X)
    assert amortization_gap(coder, X).alpha == ITOCoder(estimator=coder).fit(X).alpha_ == 0.01
    settings = {"transform_algorithm": "lasso_cd", "random_state": 0}
    theirs = DictionaryLearning(4, alpha=0.7, max_iter=2, **settings).fit(X)
    assert ITOCoder(estimator=theirs, positive_code=False).fit(X).alpha_ == 0.7


@pytest.mark.parametrize("Encoder", [TopKSAE, JumpReLUSAE])
def test_without_a_weight_of_sizes_it_is_that_of_the_data(X, Encoder):
    extra = {"k": 2} if Encoder is TopKSAE else {}
    fitted = Encoder(**TRAINED, **extra).fit(X)
    found = ITOCoder(estimator=fitted, algorithm="cd").fit(X).alpha_
    assert found == pytest.approx(0.1 * length(X))
    assert amortization_gap(fitted, X).alpha == 0  # their codes are judged by their number


@pytest.mark.parametrize("wish", [{}, {"alpha": 0.1, "fit_intercept": True}])
def test_what_the_rows_have_to_say_is_not_found_out_from_a_batch(X, wish):
    dictionary = np.eye(6, dtype="f4")
    coder = ITOCoder(dictionary=dictionary, **wish)
    with pytest.raises(NotFittedError):
        coder.transform(X)
    one, half = (coder.fit(X).transform(rows) for rows in (X, X[:7]))
    assert_array_equal(one[:7], half)
    assert len(ITOCoder(dictionary=dictionary, n_nonzero_coefs=2).transform(X)) == len(X)


def test_a_dictionary_takes_a_center_on_request(X):
    coder = ITOCoder(dictionary=np.eye(6, dtype="f4"), fit_intercept="mean").fit(X)
    assert_allclose(coder.intercept_, X.mean(0), rtol=1e-5)
    codes = coder.transform(X)
    assert_allclose(coder.inverse_transform(codes), codes + coder.intercept_, rtol=1e-5)
    assert ITOCoder(dictionary=np.eye(6, dtype="f4")).fit(X).intercept_ is None
    with pytest.raises(ValueError, match="set fit_intercept of estimator="):
        ITOCoder(fit_intercept=True).fit(X)


# -- A teacher and its student ---------------------------------------------------------------------


def test_the_whole_tells_the_teacher(X):
    coder = AmortizedCoder(12, alpha=0.02, fit_intercept=True, max_iter=2, random_state=0).fit(X)
    assert coder.teacher_.alpha_ == coder.encoder_.alpha_ == coder.alpha_ == 0.02
    assert coder.teacher_.n_iter_ <= 2 >= coder.encoder_.n_iter_
    assert_allclose(coder.intercept_, X.mean(0), rtol=1e-4)
    off = AmortizedCoder(12, fit_intercept=False, max_iter=2, random_state=0).fit(X + 9)
    assert not off.intercept_.any()


@pytest.mark.parametrize("wish", [{"alpha": 0.1}, {"fit_intercept": False}])
def test_a_fitted_teacher_is_told_nothing(X, wish):
    teacher = GradSparseCoder(**TRAINED).fit(X)
    with pytest.raises(ValueError, match=f"{next(iter(wish))} and a fitted teacher both"):
        AmortizedCoder(teacher=teacher, **wish).fit(X)


def test_an_encoder_that_is_auto_starts_where_the_teacher_is(X):
    teacher = GradSparseCoder(12, alpha=0.02, max_iter=2, random_state=0).fit(X)
    coder = AmortizedCoder(teacher=teacher, encoder=LISTAEncoder(max_iter=1), random_state=0)
    assert coder.fit(X).encoder_.alpha_ == 0.02


def test_a_large_mean_is_no_length_of_double_data():
    X = np.random.default_rng(0).random((50, 6))
    near, far = (SAEEncoder(4, max_iter=1, tol=0).fit(X + shift).alpha_ for shift in (0, 1e6))
    assert far == pytest.approx(near, rel=1e-3)
