"""Estimators on data that are not in memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_disk import OnDisk
from scipy import sparse
from sklearn.base import clone

from skamort import (
    AmortizedCoder,
    GradSparseCoder,
    ITOCoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
    _rows,
)
from skamort._rows import Rows
from skamort.datasets import load_image_patches
from skamort.estimators._centered_rows import CenteredRows
from skamort.metrics import fraction_variance_unexplained


@pytest.fixture(scope="module")
def patches():
    return load_image_patches(2000, patch_size=(6, 6), random_state=0).astype(np.float32)


@pytest.fixture
def small_buffer(monkeypatch):
    """A buffer of 500 rows of 36 features."""
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 500 * 36)


TRAINED = [
    SAEEncoder(40, tol=0.02, n_iter_no_change=3, random_state=0),
    TopKSAE(40, k=4, tol=0.02, n_iter_no_change=3, random_state=0),
    WeightedSAE(40, tol=0.02, n_iter_no_change=3, random_state=0),
]


@pytest.mark.parametrize("encoder", TRAINED, ids=lambda encoder: type(encoder).__name__)
@pytest.mark.usefixtures("small_buffer")
def test_training_by_chunks_is_as_good_as_in_memory(encoder, patches):
    source = OnDisk(patches, (100, 36))
    by_chunks = encoder.fit(source).score(patches)
    assert source.most_rows <= 500
    assert encoder.components_.dtype == np.float32
    assert by_chunks == pytest.approx(encoder.fit(patches).score(patches), abs=0.03)


@pytest.mark.parametrize("encoder", TRAINED, ids=lambda encoder: type(encoder).__name__)
def test_what_fits_in_the_buffer_trains_to_the_same_bits(encoder, patches, tmp_path):
    np.save(tmp_path / "X.npy", patches[:200])
    encoder = clone(encoder).set_params(tol=0.5)
    dictionary = encoder.fit(patches[:200]).components_
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(encoder.fit(mapped).components_, dictionary)
    np.testing.assert_array_equal(encoder.fit(OnDisk(patches[:200])).components_, dictionary)


@pytest.mark.usefixtures("small_buffer")
def test_known_codes_by_chunks(patches):
    teacher = GradSparseCoder(40, random_state=0).fit(patches)
    codes = teacher.transform(patches)
    student = SAEEncoder(n_components=40, tol=0.02, random_state=0)
    known = {"codes": codes, "code_loss": "squared_error"}
    by_chunks = student.fit(OnDisk(patches, (100, 36)), **known)
    error = np.abs(by_chunks.components_ - student.fit(patches, **known).components_).max()
    assert error < 1e-3
    cosine = SAEEncoder(n_components=40, tol=0.02, random_state=0)
    found = cosine.fit(OnDisk(patches, (100, 36)), codes=codes).transform(patches)
    ratio = (found * codes).sum(0) / np.square(found).sum(0)
    np.testing.assert_allclose(ratio[found.any(0)], 1, rtol=1e-4)


def test_transform_reads_blocks_of_rows(patches, monkeypatch):
    encoder = TRAINED[0].fit(patches[:200])
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 40 * 100)
    source = OnDisk(patches, (100, 36))
    np.testing.assert_array_equal(encoder.transform(source), encoder.transform(patches))
    assert source.most_rows == 100


@pytest.mark.usefixtures("small_buffer")
def test_a_bad_row_is_named_and_nothing_fitted_is_left(patches):
    spoilt = patches.copy()
    spoilt[1234, 5] = np.inf
    encoder = SAEEncoder(40, random_state=0)
    with pytest.raises(ValueError, match="SAEEncoder: row 1234 of the data contains NaN"):
        encoder.fit(OnDisk(spoilt, (100, 36)))
    assert not hasattr(encoder, "net_")


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("stored", [lambda X: X, lambda X: OnDisk(X, (100, 36))])
def test_a_bad_row_in_a_stream_is_named_and_nothing_is_lost(patches, stored):
    spoilt = patches[1000:].copy()
    spoilt[777, 5] = np.nan
    encoder = TopKSAE(40, k=4, random_state=0).partial_fit(patches[:1000])
    before = encoder.score(patches)
    with pytest.raises(ValueError, match="TopKSAE: row 777 of the data contains NaN"):
        encoder.partial_fit(stored(spoilt))
    assert encoder.score(patches) >= before
    assert len(encoder.loss_curve_) == encoder.n_iter_ == 1
    assert encoder.partial_fit(stored(patches[1000:])).score(patches) > before
    assert len(encoder.loss_curve_) == encoder.n_iter_ == 2


def test_width_is_checked(patches):
    encoder = TRAINED[0].fit(patches[:200])
    with pytest.raises(ValueError, match="X has 30 features, but SAEEncoder is expecting 36"):
        encoder.transform(OnDisk(patches[:, :30]))
    with pytest.raises(ValueError, match="X has 30 features, but SAEEncoder is expecting 36"):
        encoder.partial_fit(OnDisk(patches[:, :30]))


def test_later_chunks_may_have_another_float_type(patches):
    encoder = SAEEncoder(40, random_state=0).partial_fit(patches[:100])
    assert encoder.partial_fit(patches[100:200].astype(np.float64)).components_.dtype == np.float32


@pytest.mark.usefixtures("small_buffer")
def test_early_stopping_holds_out_chunks(patches):
    encoder = SAEEncoder(40, early_stopping=True, max_iter=200, tol=0.02, random_state=0)
    encoder.fit(OnDisk(patches, (100, 36)))
    assert len(encoder.validation_loss_curve_) == encoder.n_iter_
    assert encoder.score(patches) > 0.5


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("kind", [sparse.csr_array, lambda codes: OnDisk(codes, most_rows=500)])
def test_known_codes_need_not_be_dense_nor_in_memory(patches, kind):
    codes = TRAINED[1].fit(patches[:200]).transform(patches)
    source = OnDisk(patches, (100, 36))
    dictionaries = [
        SAEEncoder(40, tol=0.5, random_state=0).fit(X, codes=known).components_
        for X in (source, patches)
        for known in (codes, kind(codes))
    ]
    np.testing.assert_array_equal(dictionaries[0], dictionaries[1])
    np.testing.assert_allclose(dictionaries[2], dictionaries[3], atol=1e-3)


def test_a_bad_row_of_codes_is_named(patches):
    codes = np.ones((2000, 40))
    codes[1234, 5] = np.nan
    for known in (codes, OnDisk(codes)):
        with pytest.raises(ValueError, match="SAEEncoder: row 1234 of the codes contains NaN"):
            SAEEncoder(40, max_iter=1).fit(patches, codes=known)


@pytest.mark.parametrize("shift", [0, 1e4])
def test_score_is_the_variance_explained_whatever_the_blocks(patches, monkeypatch, shift):
    X = patches.astype(np.float64) + shift
    encoder = SAEEncoder(40, fit_intercept=True, tol=0.5, random_state=0).fit(X)
    expected = 1 - fraction_variance_unexplained(X, encoder.inverse_transform(encoder.transform(X)))
    for n_rows in (2000, 333, 1):
        monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 40 * n_rows)
        source = OnDisk(X, most_rows=n_rows)
        assert encoder.score(source) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("error", [0, 1])
def test_score_of_data_without_variance(error):
    coder = ITOCoder(dictionary=np.eye(3), alpha=0, positive_code=True, transform_tol=1e-12)
    X = np.full((4, 3), -float(error))
    assert coder.fit(X).score(X) == 1 - error


def test_a_dictionary_needs_few_rows_of_the_data(patches):
    source = OnDisk(patches, (100, 36))
    fitted = TopKSAE(40, k=4, tol=0.5, fit_intercept=False, random_state=0).fit(patches[:200])
    for dictionary in ({"dictionary": fitted.components_}, {"estimator": fitted}):
        ITOCoder(**dictionary, alpha=0.1, positive_code=True).fit(source)
    assert source.most_rows <= 2000


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("n_augmented", [0, 300])
def test_lessons_by_blocks_are_those_in_memory(patches, n_augmented):
    sae = SAEEncoder(40, fit_intercept=True, tol=0.05, n_iter_no_change=3, random_state=0)
    teacher = ITOCoder(estimator=sae.fit(patches[:500]))
    encoder = SAEEncoder(tol=0.05, n_iter_no_change=3)
    coder = AmortizedCoder(teacher=teacher, encoder=encoder, random_state=0)
    coder.set_params(n_augmented=n_augmented)
    source = OnDisk(patches, (100, 36), most_rows=500)
    by_blocks, whole = coder.fit(source).score(patches), coder.fit(patches).score(patches)
    assert by_blocks == pytest.approx(whole, abs=0.02)


@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    start=st.integers(0, 16),
    n=st.integers(1, 16),
    centered=st.booleans(),
)
def test_centered_rows_follow_one_another(lengths, start, n, centered):
    random = np.random.default_rng(0)
    parts = [random.standard_normal((length, 2)) for length in lengths]
    center = random.standard_normal(2) if centered else None
    rows = CenteredRows([Rows(part, "AmortizedCoder") for part in parts], center)
    expected = np.vstack(parts) - (center if centered else 0)
    start = min(start, len(expected) - 1)
    assert rows.shape == expected.shape
    np.testing.assert_array_equal(rows[start : start + n], expected[start : start + n])
