import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_sample_images

from skamort.datasets import load_image_patches

pytest.importorskip("PIL", reason="pillow reads the photographs")


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("normalize_contrast", [False, True])
def test_mean_is_removed_and_average_norm_is_one(whiten, normalize_contrast):
    X = load_image_patches(
        5000,
        patch_size=(8, 10),
        whiten=whiten,
        normalize_contrast=normalize_contrast,
        random_state=0,
    )
    assert X.shape == (5000, 80)
    assert X.dtype == np.float64
    assert_allclose(X.mean(axis=1), 0, atol=1e-12)
    assert (X**2).sum(axis=1).mean() == pytest.approx(1, rel=0.1)


def test_patches_are_cut_from_the_photographs():
    """Up to mean and scale, the first patch stands somewhere in a photograph."""
    patch = load_image_patches(1, patch_size=6, normalize_contrast=False, random_state=0)
    target = patch.ravel() / np.linalg.norm(patch)
    images = [image @ [0.299, 0.587, 0.114] for image in load_sample_images().images]
    best = 0.0
    for image in images:
        windows = np.lib.stride_tricks.sliding_window_view(image, (6, 6)).reshape(-1, 36)
        windows = windows - windows.mean(axis=1, keepdims=True)
        best = max(best, (windows @ target / np.linalg.norm(windows, axis=1).clip(1e-9)).max())
    assert best == pytest.approx(1, abs=1e-5)


def test_positions_differ_and_both_photographs_appear():
    """All positions of a large patch, so that there are few of them."""
    X = load_image_patches(
        2 * 3 * 5, patch_size=(425, 636), normalize_contrast=False, random_state=0
    )
    assert len({row.tobytes() for row in X}) == 30


def test_random_state():
    first, again = (load_image_patches(50, random_state=3) for _ in range(2))
    assert_array_equal(first, again)
    assert not np.array_equal(first, load_image_patches(50, random_state=4))


def test_a_patch_does_not_depend_on_the_others():
    """Few samples are among all samples, to the bit."""
    every = load_image_patches(30, patch_size=(425, 636), random_state=0)
    few = load_image_patches(3, patch_size=(425, 636), random_state=1)
    assert {row.tobytes() for row in few} <= {row.tobytes() for row in every}


def test_contrast_normalization_evens_out():
    def share_of_strongest_tenth(X):
        energy = np.sort((X**2).sum(axis=1))
        return energy[-len(X) // 10 :].sum() / energy.sum()

    raw = load_image_patches(5000, normalize_contrast=False, random_state=0)
    even = load_image_patches(5000, random_state=0)
    assert share_of_strongest_tenth(even) < 0.25 < 0.5 < share_of_strongest_tenth(raw)


def test_whitening_flattens_the_spectrum():
    def power_by_frequency(X):
        power = np.abs(np.fft.fft2(X.reshape(-1, 16, 16))) ** 2
        return power.mean(axis=0)[1:5, 0]  # 1/16 to 4/16 cycles per pixel, down the rows

    plain, flat = (
        power_by_frequency(load_image_patches(5000, patch_size=16, whiten=whiten, random_state=0))
        for whiten in (False, True)
    )
    assert plain.max() / plain.min() > 10
    assert flat.max() / flat.min() < 3


@pytest.mark.parametrize("size", [1, 0, 428, (12,), (3, 700), (2.0, 3.0), "12", [4, 4]])
def test_bad_patch_size(size):
    with pytest.raises(ValueError, match=r"patch_size"):
        load_image_patches(10, patch_size=size)


def test_more_patches_than_positions():
    with pytest.raises(ValueError, match=r"n_samples=31 exceeds the 30 positions"):
        load_image_patches(31, patch_size=(425, 636))


def test_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pillow.* is not installed; pip install pillow"):
        load_image_patches(10)
