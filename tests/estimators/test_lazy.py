"""Estimators on data that are not in memory."""

import numpy as np
import pytest
from on_disk import OnDisk
from sklearn.base import clone

from skamort import GradSparseCoder, SAEEncoder, TopKSAE, WeightedSAE
from skamort.datasets import load_image_patches
from skamort.estimators import _trained
from skamort.training import _chunks


@pytest.fixture(scope="module")
def patches():
    return load_image_patches(2000, patch_size=(6, 6), random_state=0).astype(np.float32)


@pytest.fixture
def small_buffer(monkeypatch):
    """A buffer of 500 rows of 36 features."""
    for module in (_chunks, _trained):
        monkeypatch.setattr(module, "BUFFER_ELEMENTS", 500 * 36)


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
    student = SAEEncoder(code_loss="squared_error", n_components=40, tol=0.02, random_state=0)
    by_chunks = student.fit(OnDisk(patches, (100, 36)), codes=codes)
    error = np.abs(by_chunks.components_ - student.fit(patches, codes=codes).components_).max()
    assert error < 1e-3
    cosine = SAEEncoder(n_components=40, tol=0.02, random_state=0)
    found = cosine.fit(OnDisk(patches, (100, 36)), codes=codes).transform(patches)
    ratio = (found * codes).sum(0) / np.square(found).sum(0)
    np.testing.assert_allclose(ratio[found.any(0)], 1, rtol=1e-4)


def test_transform_reads_blocks_of_rows(patches, monkeypatch):
    from skamort.estimators import _base

    encoder = TRAINED[0].fit(patches[:200])
    monkeypatch.setattr(_base, "CODE_ELEMENTS", 40 * 100)
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
