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
    else:  # without eps it ends where it likes
        codes = spams.ompMask(X, dictionary, mask, L=int(value), eps=0.0, numThreads=1)
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

    def report(self, name, setting, seconds, codes):
        """Print a line."""
        solver, value = setting.split("=")
        active = (codes != 0).sum(axis=1).mean()
        objective = f"  objective {self.objective(codes, float(value)):.6f}"
        print(
            f"  {setting:10} {name:8} {1e6 * seconds / len(self.X):6.1f} us  "
            f"{self.psnr(codes):6.2f} dB  {active:5.1f} codes{objective * (solver == 'lasso')}",
            flush=True,
        )


class Ours:
    """skamort's solvers on a problem."""

    name = "skamort"

    def __init__(self, problem, clock):
        import torch

        self.clock = getattr(time, clock)
        parts = problem.X, problem.mask, problem.dictionary.astype(np.float32)
        self.X, self.mask, self.dictionary = map(torch.from_numpy, parts)

    def solve(self, setting, rows=slice(None)):
        from skamort.solvers import ORMP, CoordinateDescent

        method, value = setting.split("=")
        mask, options = self.mask[rows], {"positive": False}
        if method == "lasso":
            options["alpha"] = float(value) * mask.double().mean(dim=1)
        solver = CoordinateDescent() if method == "lasso" else ORMP(int(value))
        return solver.solve(self.X[rows], self.dictionary, mask=mask, **options).codes.numpy()

    def turn(self, settings):
        """Seconds and codes of every setting."""
        found = {}
        for setting in settings:
            start = self.clock()
            codes = self.solve(setting)
            found[setting] = self.clock() - start, codes
        return found


class Spams:
    """SPAMS on the problem that lies in a folder."""

    name = "SPAMS"

    def __init__(self, problem, clock, python, folder):
        self.command = [python, "-c", SPAMS_PROGRAM, folder, clock]
        self.folder = Path(folder)
        parts = {"X": problem.X, "mask": problem.mask, "dictionary": problem.dictionary}
        np.savez(self.folder / "problem.npz", **parts)

    def turn(self, settings):
        """Seconds and codes of every setting."""
        subprocess.run([*self.command, *settings], check=True, stdout=subprocess.DEVNULL)
        found = {}
        for setting in settings:
            with np.load(self.folder / f"{setting}.npz") as file:
                found[setting] = float(file["seconds"]), file["codes"]
        return found


def compare(problem, settings, turns, clock, python, folder):
    ours = Ours(problem, clock)
    for setting in settings:  # compiles
        ours.solve(setting, slice(None, None, 50))
    solvers = [ours, *([Spams(problem, clock, python, folder)] if python else [])]
    rounds = [[solver.turn(settings) for solver in solvers] for _ in range(turns)]
    for setting in settings:
        for number, solver in enumerate(solvers):
            seconds = np.median([found[number][setting][0] for found in rounds])
            problem.report(solver.name, setting, seconds, rounds[-1][number][setting][1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with spams")
    parser.add_argument(
        "--alphas", nargs="*", type=float, default=[0.4, 0.2, 0.1, 0.05, 0.02, 0.01]
    )
    parser.add_argument("--n-nonzero-coefs", nargs="*", type=int, default=[3, 5, 10, 15, 20])
    parser.add_argument("--picture", default="china.jpg", help="of scikit-learn's sample images")
    parser.add_argument("--corner", nargs=2, type=int, default=[60, 200], help="row and column")
    parser.add_argument("--size", type=int, default=256, help="of the square cut out there")
    parser.add_argument("--other", default="flower.jpg", help="to learn from; 'none' for the same")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--clock", choices=["perf_counter", "process_time"], default="process_time")
    parser.add_argument("--quick", action="store_true", help="a square of 64 and one turn")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    size, turns = (64, 1) if arguments.quick else (arguments.size, arguments.turns)
    other = None
    if arguments.other != "none":
        other = photo(arguments.other, (60, 200), (360, 400))
    problem = Problem(photo(arguments.picture, arguments.corner, (size, size)), other)
    print(f"{len(problem.X):,} patches, 256 atoms, half of the pixels known")
    settings = [f"lasso={alpha:g}" for alpha in arguments.alphas]
    settings += [f"ormp={k}" for k in arguments.n_nonzero_coefs]
    if not arguments.peer_python:
        print("SPAMS skipped: name an interpreter with spams-bin by --peer-python.")
    with tempfile.TemporaryDirectory() as folder:
        compare(problem, settings, turns, arguments.clock, arguments.peer_python, folder)


if __name__ == "__main__":
    main()
