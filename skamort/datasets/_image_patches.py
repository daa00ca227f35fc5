"""Patches of the two photographs that ship with scikit-learn, in grey, ready for sparse coding.

    patch <- (patch - mean) / sqrt(variance + NOISE_VARIANCE)

by patch, then one factor for all, so that the mean squared norm over the photographs is 1.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dctn, idctn
from scipy.ndimage import uniform_filter
from sklearn.datasets import load_sample_images
from sklearn.utils import check_random_state

from .._compat import Interval, validate_params

_LUMA = np.array([0.299, 0.587, 0.114]) / 255  # ITU-R BT.601, from 0..255 to 0..1
# What counts as noise where contrast is normalized: Coates, Lee and Ng (2011) add 10 to the
# variance of patches in 0..255.
_NOISE_VARIANCE = 10 / 255**2
_CUTOFF = 0.4  # cycles per pixel: Olshausen and Field's 200 cycles in 512 pixels


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "patch_size": [Interval(Integral, 2, None, closed="left"), tuple],
        "whiten": ["boolean"],
        "normalize_contrast": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def load_image_patches(
    n_samples: int = 20_000,
    *,
    patch_size: int | tuple[int, int] = 12,
    whiten: bool = False,
    normalize_contrast: bool = True,
    random_state=None,
) -> np.ndarray:
    """Load random patches of the two photographs that ship with scikit-learn.

    Patches are grey, their mean is removed, and they are scaled so that the squared norm is 1 on
    average. Sparse coding at ``alpha=0.1`` learns oriented edges from them.

    Parameters
    ----------
    n_samples : int, default=20_000
        Number of patches, all at different positions.
    patch_size : int or tuple of two ints, default=12
        Height and width of a patch, in pixels; an int for both.
    whiten : bool, default=False
        Whether to flatten the spectrum of the photographs first, up to 0.4 cycles per pixel, with
        Olshausen and Field's filter. Atoms then become finer.
    normalize_contrast : bool, default=True
        Whether each patch is divided by its standard deviation, with a floor for noise, so that
        walls and petals count as much as the skyline. Otherwise a few patches of high contrast
        make up most of the variance.
    random_state : int, RandomState instance or None, default=None
        Seed of the positions of the patches. Pass an int for the same patches at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, height * width)
        Patches, one a row, float64, in random order.

    Raises
    ------
    ImportError
        If pillow, which reads the photographs, is not installed.
    ValueError
        A number outside its range, a patch larger than the photographs, or more samples than
        there are positions.

    Notes
    -----
    Cast to float32, patches train a net faster. scikit-learn's coordinate descent does not reach
    its tolerance in float32, and takes several times as long.

    References
    ----------
    Olshausen and Field (1997), Sparse coding with an overcomplete basis set: a strategy employed
    by V1? (the filter). Coates, Lee and Ng (2011), An analysis of single-layer networks in
    unsupervised feature learning, section 3.1 (the contrast).

    Examples
    --------
    >>> from skamort.datasets import load_image_patches
    >>> X = load_image_patches(1000, patch_size=8, random_state=0)
    >>> X.shape, X.dtype
    ((1000, 64), dtype('float64'))
    >>> bool(0.9 < (X**2).sum(axis=1).mean() < 1.1)
    True
    """
    photographs = _load_photographs()
    shape = _check_patch_size(patch_size, photographs.shape[1:])
    if whiten:
        photographs = _whiten(photographs, shape)
    windows = sliding_window_view(photographs, shape, axis=(1, 2))
    positions = windows.shape[:3]
    if n_samples > np.prod(positions):
        raise ValueError(
            f"load_image_patches: n_samples={n_samples} exceeds the {np.prod(positions)} positions "
            f"of a patch of {shape[0]} x {shape[1]} pixels; choose fewer samples."
        )
    chosen = check_random_state(random_state).choice(np.prod(positions), n_samples, replace=False)
    patches = windows[np.unravel_index(chosen, positions)].reshape(n_samples, -1)

    patches -= patches.mean(axis=1, keepdims=True)
    variance = _patch_variance(photographs, shape)
    if normalize_contrast:
        patches /= np.sqrt(patches.var(axis=1, keepdims=True) + _NOISE_VARIANCE)
        variance /= variance + _NOISE_VARIANCE
    patches /= np.sqrt(patches.shape[1] * variance.mean())
    return patches


def _check_patch_size(
    patch_size: int | tuple[int, int], largest: tuple[int, int]
) -> tuple[int, int]:
    shape = patch_size if isinstance(patch_size, tuple) else (patch_size, patch_size)
    fits = len(shape) == 2 and all(
        isinstance(size, Integral) and 2 <= size <= limit
        for size, limit in zip(shape, largest, strict=True)
    )
    if not fits:
        raise ValueError(
            f"load_image_patches: patch_size must be one or two ints from 2 up to the size of the "
            f"photographs, {largest[0]} x {largest[1]} pixels, got {patch_size!r}."
        )
    return shape


def _load_photographs() -> np.ndarray:
    """Both photographs, (2, height, width), in grey from 0 to 1."""
    try:
        images = load_sample_images().images
    except ImportError as error:
        raise ImportError(
            "load_image_patches: pillow, which reads the photographs, is not installed; "
            "pip install pillow, or skamort[plot]."
        ) from error
    return np.stack(images) @ _LUMA


def _patch_variance(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Variance of the pixels of every patch, without cutting the patches."""
    window = (1, *shape)
    return (uniform_filter(images**2, window) - uniform_filter(images, window) ** 2).clip(min=0)


def _whiten(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Filter by f exp(-(f / cutoff)^4) at frequency f, keeping the mean variance of patches.

    The cosine transform mirrors the images at their borders, so no edge appears there.
    """
    rows, columns = (np.arange(size) / (2 * size) for size in images.shape[1:])
    frequency = np.hypot(rows[:, None], columns)
    gain = frequency * np.exp(-((frequency / _CUTOFF) ** 4))
    flat = idctn(gain * dctn(images, axes=(1, 2)), axes=(1, 2))
    return flat * np.sqrt(
        _patch_variance(images, shape).mean() / _patch_variance(flat, shape).mean()
    )
