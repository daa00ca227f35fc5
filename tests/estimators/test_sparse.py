"""Estimators on sparse data: what they do with dense ones, without ever holding them so."""

import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skamort import AmortizedCoder, ITOCoder, MLPEncoder, SAEEncoder, TopKSAE, _rows
from skamort._rows import Rows
from skamort.estimators import fit_many

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("quick_inner_encoder"),
]


@pytest.fixture(scope="module")
def X():
    """600 rows of counts, mostly zero."""
    random = np.random.default_rng(0)
    return sparse.csr_array(random.poisson(0.2, (600, 12)).astype(np.float32))


@pytest.fixture(params=fast_estimators(), ids=lambda e: type(e).__name__)
def estimator(request):
    return clone(request.param).set_params(n_components=16, random_state=0)


@pytest.fixture
def most_rows(monkeypatch):
    """Set how many rows of 16 numbers make a block, and refuse to make more of them dense."""

    def set_most_rows(n_rows):
        whole = Rows._dense

        def checked(self, values):
            n_at_once = values.shape[0] if sparse.issparse(values) else 0
            assert n_at_once * values.shape[1] <= n_rows * 16, "too many rows at once"
            return whole(self, values)

        monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", n_rows * 16)
        monkeypatch.setattr(_rows, "_FEW", n_rows // 2)
        monkeypatch.setattr(Rows, "_dense", checked)

    return set_most_rows


def test_small_data_give_the_bits_of_dense_ones(estimator, X):
    dense = clone(estimator).fit(X.toarray())
    codes = dense.transform(X.toarray())
    assert_array_equal(estimator.fit(X).transform(X), codes)
    assert estimator.score(X) == dense.score(X.toarray())
    if hasattr(estimator, "partial_fit"):
        expected = dense.partial_fit(X.toarray()).components_
        assert_array_equal(estimator.partial_fit(X).components_, expected)


FORMATS = ["coo", "csc", "csr", "dok", "lil", "dia", "bsr"]


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(sparse.csr_array, "f4"), (sparse.csr_matrix, "i8"), (sparse.csr_array, "?")],
)
def test_every_format_will_do(X, form, dtype, kind):
    given = kind(X.astype(dtype)).asformat(form)
    encoder = TopKSAE(16, max_iter=1, random_state=0).fit(given)
    expected = clone(encoder).fit(given.toarray())
    assert_array_equal(encoder.components_, expected.components_)
    assert encoder.components_.dtype == ("f4" if dtype == "f4" else "f8")
    codes = kind(encoder.transform(given)).asformat(form)
    decoded = encoder.inverse_transform(codes.toarray())
    assert_allclose(encoder.inverse_transform(codes), decoded, atol=1e-6)


VARIANTS = [
    {},
    {"fit_intercept": True},
    {"dict_init": "samples"},
    {"early_stopping": True},
    {"feature_weights": "variance"},
]


CASES = [
    pytest.param(estimator, variant, id=f"{type(estimator).__name__}-{variant}")
    for estimator in fast_estimators()
    for variant in VARIANTS
    if set(variant) <= set(estimator.get_params())
    and not (variant and isinstance(estimator, ITOCoder))  # the center is its estimator's
]


@pytest.mark.parametrize(("estimator", "variant"), CASES)
def test_large_data_give_the_codes_of_dense_ones(estimator, X, variant, most_rows):
    estimator = clone(estimator).set_params(n_components=16, random_state=0, **variant)
    most_rows(440)  # 586 rows of 12 numbers
    expected = clone(estimator).fit(X.toarray()).transform(X.toarray())
    assert_allclose(estimator.fit(X).transform(X), expected, atol=1e-4)


WEIGHTED = [
    SAEEncoder(fit_intercept=True, feature_weights="variance"),
    TopKSAE(dict_init="samples", early_stopping=True),
    MLPEncoder(hidden_layer_sizes=(8,)),
]


@pytest.mark.parametrize("encoder", WEIGHTED, ids=lambda encoder: type(encoder).__name__)
def test_weights_of_large_data_count_as_those_of_dense_ones(X, encoder, most_rows):
    most_rows(440)
    encoder = clone(encoder).set_params(
        n_components=16, max_iter=5, learning_rate=1e-3, random_state=0
    )
    weights = np.random.default_rng(0).integers(0, 4, X.shape[0])
    expected = clone(encoder).fit(X.toarray(), sample_weight=weights)
    encoder.fit(X, sample_weight=weights)
    assert_allclose(encoder.transform(X), expected.transform(X), atol=1e-4)
    assert encoder.score(X, sample_weight=weights) == pytest.approx(
        expected.score(X.toarray(), sample_weight=weights), abs=1e-6
    )


@pytest.mark.parametrize("codes_are_sparse", [False, True])
def test_known_codes_of_large_data(X, codes_are_sparse, most_rows):
    codes = SAEEncoder(16, max_iter=5, random_state=0).fit(X).transform(X)
    most_rows(440)
    student = SAEEncoder(16, max_iter=5, random_state=0)
    expected = clone(student).fit(X.toarray(), codes=codes).components_
    known = sparse.csc_array(codes) if codes_are_sparse else codes
    for given in (X, X.toarray()):
        assert_allclose(student.fit(given, codes=known).components_, expected, atol=1e-5)


def test_grids_on_large_data(X, most_rows):
    most_rows(440)
    encoder, grid = SAEEncoder(16, max_iter=3, random_state=0), {"alpha": [0.01, 0.1]}
    for ours, theirs in zip(
        fit_many(encoder, X, grid), fit_many(encoder, X.toarray(), grid), strict=True
    ):
        assert_allclose(ours.components_, theirs.components_, atol=1e-5)


def test_a_killed_run_on_large_data_goes_on_to_the_same_bits(X, most_rows, tmp_path):
    most_rows(440)
    whole = TopKSAE(16, max_iter=6, schedule=None, random_state=0).fit(X)
    part = clone(whole).set_params(max_iter=3, checkpoint=tmp_path).fit(X)
    part.set_params(max_iter=6).fit(X, resume=True)
    assert_array_equal(part.components_, whole.components_)
    other = X.copy()
    other.data[-1] += 1
    with pytest.raises(ValueError, match="some rows"):
        part.fit(other, resume=True)


@pytest.mark.parametrize("n_augmented", [0, 100])
def test_lessons_of_a_centered_teacher_stay_sparse(X, n_augmented, most_rows):
    most_rows(440)
    teacher = SAEEncoder(16, fit_intercept=True, max_iter=5, random_state=0).fit(X)
    encoder = SAEEncoder(max_iter=5)
    coder = AmortizedCoder(
        teacher=teacher, encoder=encoder, n_augmented=n_augmented, random_state=0
    )
    expected = clone(coder).set_params(teacher=teacher).fit(X.toarray()).score(X)
    assert coder.fit(X).score(X) == pytest.approx(expected, abs=0.05 if n_augmented else 1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_row_is_named(estimator, X, bad):
    spoilt = X.copy()
    spoilt.data[spoilt.indptr[433]] = bad
    with pytest.raises(ValueError, match=r"\w+: row 433 of the data contains NaN or infinity"):
        estimator.fit(spoilt)
