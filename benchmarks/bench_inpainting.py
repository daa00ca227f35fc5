"""Half of a photograph's pixels filled in: skamort's masked lasso against SPAMS, on one core.

    python benchmarks/bench_inpainting.py [--peer-python PATH of an interpreter that has spams]

The dictionary is learned from another photograph; all overlapping patches of 8 x 8, each less the
mean of its observed pixels, are coded and put together again. SPAMS (`pip install spams-bin`) runs
in an interpreter of its own; its `lassoMask` takes a penalty by the share of pixels that are
observed, so that both are shown for several. Seconds are those of the codes, without compilation
and without the start of the peer; what says how good they are is the signal-to-noise ratio of the
filled image.
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

folder, clock, *alphas = sys.argv[1:]
clock = getattr(time, clock)
with np.load(folder + "/problem.npz") as file:
    X, mask, dictionary = (np.asfortranarray(file[name].T) for name in ("X", "mask", "dictionary"))
for alpha in alphas:
    start = clock()
    codes = spams.lassoMask(X, dictionary, mask, lambda1=float(alpha), mode=2, numThreads=1)
    seconds = clock() - start
    np.savez(f"{folder}/{alpha}.npz", codes=codes.T.toarray(), seconds=seconds)
"""
SIZE = 8


def photo(name, shape):
    from sklearn.datasets import load_sample_image

    image = load_sample_image(name).mean(axis=2, dtype=np.float32)[60:, 200:] / 255
    return image[: shape[0], : shape[1]]


def patches(image):
    return np.lib.stride_tricks.sliding_window_view(image, (SIZE, SIZE)).reshape(-1, SIZE**2)


def learn():
    """A dictionary of 256 atoms from patches of another photograph."""
    from skamort import GradSparseCoder

    X = patches(photo("flower.jpg", (360, 400)))[::7]
    X = X - X.mean(axis=1, keepdims=True)
    options = {"positive_code": False, "dict_init": "samples", "random_state": 0}
    return GradSparseCoder(256, alpha=0.1, **options).partial_fit(X).components_


class Problem:
    """An image, which of its pixels are known, and its patches less their means."""

    def __init__(self, shape):
        self.image = photo("china.jpg", shape)
        self.known = np.random.default_rng(0).random(self.image.shape) < 0.5
        X, self.mask = patches(self.image), patches(self.known)
        self.means = (X * self.mask).sum(axis=1, keepdims=True) / self.mask.sum(1, keepdims=True)
        self.X = np.where(self.mask, X - self.means, 0).astype(np.float32)
        self.dictionary = learn()

    def psnr(self, codes):
        """Peak signal-to-noise ratio of the image that codes fill in, dB."""
        from sklearn.feature_extraction.image import reconstruct_from_patches_2d

        parts = (codes @ self.dictionary + self.means).reshape(-1, SIZE, SIZE)
        filled = reconstruct_from_patches_2d(parts, self.image.shape)
        error = np.where(self.known, 0, filled - self.image)
        return -10 * np.log10(np.mean(error**2))

    def report(self, name, alpha, seconds, codes):
        """Print a line."""
        active = (codes != 0).sum(axis=1).mean()
        print(
            f"  {name:8} alpha={alpha:<5g} {seconds:7.2f} s  {self.psnr(codes):6.2f} dB  "
            f"{active:5.1f} codes a patch",
            flush=True,
        )


def ours(problem, alphas, clock):
    from skamort.solvers import sparse_encode

    few = slice(None, None, 50)
    sparse_encode(problem.X[few], problem.dictionary, alpha=alphas[0], mask=problem.mask[few])
    for alpha in alphas:
        start = clock()
        codes = sparse_encode(problem.X, problem.dictionary, alpha=alpha, mask=problem.mask)
        problem.report("skamort", alpha, clock() - start, codes)


def spams(problem, alphas, python, clock):
    with tempfile.TemporaryDirectory() as folder:
        parts = {"X": problem.X, "mask": problem.mask, "dictionary": problem.dictionary}
        np.savez(Path(folder, "problem.npz"), **parts)
        command = [python, "-c", SPAMS_PROGRAM, folder, clock, *map(str, alphas)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for alpha in alphas:
            with np.load(Path(folder, f"{alpha}.npz")) as file:
                problem.report("SPAMS", alpha, float(file["seconds"]), file["codes"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with spams")
    parser.add_argument("--alphas", nargs="+", type=float, default=[0.02, 0.05, 0.1])
    parser.add_argument("--clock", choices=["perf_counter", "process_time"], default="perf_counter")
    parser.add_argument("--quick", action="store_true", help="a quarter of the image")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    problem = Problem((128, 128) if arguments.quick else (256, 256))
    print(f"{len(problem.X):,} patches, 256 atoms, half of the pixels known")
    ours(problem, arguments.alphas, getattr(time, arguments.clock))
    if arguments.peer_python:
        spams(problem, arguments.alphas, arguments.peer_python, arguments.clock)
    else:
        print("SPAMS skipped: name an interpreter with spams-bin by --peer-python.")


if __name__ == "__main__":
    main()
