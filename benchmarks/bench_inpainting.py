"""Half of a photograph's pixels filled in: skamort's masked solvers against SPAMS, on one core.

    python benchmarks/bench_inpainting.py [--peer-python PATH of an interpreter that has spams]

The dictionary is learned from another photograph, or from the observed pixels of the same; all
overlapping patches of 8 x 8, each less the mean of its observed pixels, are coded and put together
again. SPAMS (`pip install spams-bin`) runs in an interpreter of its own, in turns with skamort, and
solves the same problems: its `lassoMask` multiplies the penalty of a patch by the share of its
pixels that are observed, and its `ompMask` is order-recursive pursuit. Microseconds a patch are
medians over the turns, without compilation and without the start of the peer; what says how good
codes are is the signal-to-noise ratio of the filled image, by the error of all its pixels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 (the number of threads is read on import)

SPAMS_PROGRAM = """
import sys, time
import numpy as np
import spams

folder, clock, *settings = sys.argv[1:]
clock = getattr(time, clock)
with np.load(folder + "/problem.npz") as file:
    X, mask, dictionary = (np.asfortranarray(file[name].T) for name in ("X", "mask", "dictionary"))
for setting in settings:
    solver, value = setting.split("=")
    start = clock()
    if solver == "lasso":
        codes = spams.lassoMask(X, dictionary, mask, lambda1=float(value), mode=2, numThreads=1)
    else:
        codes = spams.ompMask(X, dictionary, mask, L=int(value), numThreads=1)
    seconds = clock() - start
    np.savez(f"{folder}/{setting}.npz", codes=codes.T.toarray(), seconds=seconds)
"""
SIZE = 8


def photo(name, corner, shape):
    from sklearn.datasets import load_sample_image

    image = load_sample_image(name).mean(axis=2, dtype=np.float32) / 255
    return image[tuple(slice(at, at + n) for at, n in zip(corner, shape, strict=True))]


def patches(image):
    return np.lib.stride_tricks.sliding_window_view(image, (SIZE, SIZE)).reshape(-1, SIZE**2)


def learn(X, **options):
    """A dictionary of 256 atoms."""
    from skamort import GradSparseCoder

    options |= {"positive_code": False, "dict_init": "samples", "random_state": 0}
    return GradSparseCoder(256, alpha=0.1, **options).partial_fit(X).components_


class Problem:
    """An image, which of its pixels are known, and its patches less their means."""

    def __init__(self, image, other=None):
        self.image = image
        self.known = np.random.default_rng(0).random(image.shape) < 0.5
        X, self.mask = patches(image), patches(self.known)
        self.means = (X * self.mask).sum(axis=1, keepdims=True) / self.mask.sum(1, keepdims=True)
        self.X = np.where(self.mask, X - self.means, 0).astype(np.float32)
        if other is None:
            holed = np.where(self.mask, self.X, np.nan)
            self.dictionary = learn(holed, missing_values=np.nan)
        else:
            X = patches(other)[::7]
            self.dictionary = learn(X - X.mean(axis=1, keepdims=True))

    def psnr(self, codes):
        """Peak signal-to-noise ratio of the image that codes fill in, dB."""
        from sklearn.feature_extraction.image import reconstruct_from_patches_2d

        parts = (codes @ self.dictionary + self.means).reshape(-1, SIZE, SIZE)
        filled = reconstruct_from_patches_2d(parts, self.image.shape)
        error = np.where(self.known, 0, filled - self.image)
        return -10 * np.log10(np.mean(error**2))

    def objective(self, codes, alpha):
        """Mean objective of the lasso, that which both minimize."""
        error = self.mask * (self.X - codes.astype(float) @ self.dictionary)
        cost = alpha * self.mask.mean(axis=1) * np.abs(codes).sum(axis=1)
        return np.mean(0.5 * (error**2).sum(axis=1) + cost)
