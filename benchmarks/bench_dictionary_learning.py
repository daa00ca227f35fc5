"""Time for dictionary learning to reach scikit-learn's objective.

The data: 8 x 8 patches of the first sample photograph in grey, each patch's mean removed and
divided by max(norm, 1); 256 atoms, signed codes, alpha 0.15.
`MiniBatchDictionaryLearning(fit_algorithm="cd")` runs until it stops by itself; then
`GradSparseCoder` with growing numbers of iterations. One exact solver evaluates the objective of
every dictionary on all patches, outside the timing.

    python benchmarks/bench_dictionary_learning.py [--quick] [--threads 1]
"""

import argparse
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.image import extract_patches_2d
from threadpoolctl import threadpool_limits

from skamort import GradSparseCoder
from skamort.metrics import sparse_coding_objective
from skamort.solvers import sparse_encode

ALPHA, N_COMPONENTS = 0.15, 256


def load_patches(n_patches):
    """Return normalized patches, float32."""
    grey = load_sample_image("china.jpg").mean(axis=2)
    patches = extract_patches_2d(grey, (8, 8), max_patches=n_patches, random_state=0)
    patches = patches.reshape(n_patches, -1)
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1)
    return patches.astype(np.float32)


def evaluate(X, dictionary):
    """Return the objective of a dictionary with the best codes, its atoms scaled to unit norm."""
    dictionary = dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)
    codes = sparse_encode(X, dictionary.astype(X.dtype), alpha=ALPHA, tol=1e-5, max_iter=5000)
    return sparse_coding_objective(X, codes, dictionary, ALPHA)


def timed_fit(estimator, X):
    """Return the seconds of a fit, warnings of early stops left out."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X)
    return time.perf_counter() - start


def main():
    """Print one row a fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4,000 patches instead of 20,000")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--algorithm", default="auto", help="of GradSparseCoder")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    X = load_patches(4000 if args.quick else 20_000)

    common = {"n_components": N_COMPONENTS, "alpha": ALPHA, "random_state": 0}
    warm_up = GradSparseCoder(8, algorithm=args.algorithm, positive_code=False, max_iter=2)
    seconds = timed_fit(warm_up, X[:100])
    print(f"{len(X):,} patches, {args.threads} thread(s); first call {seconds:.1f} s (compilation)")
    with threadpool_limits(args.threads):
        theirs = MiniBatchDictionaryLearning(fit_algorithm="cd", **common)
        their_seconds = timed_fit(theirs, X)
        their_objective = evaluate(X, theirs.components_)
        print(f"MiniBatchDictionaryLearning  {their_seconds:7.2f} s  {their_objective:.5f}")
        reached = None
        for max_iter in (1, 2, 3, 5, 8, 12, 20, 30, 50, 100):
            ours = GradSparseCoder(
                positive_code=False, algorithm=args.algorithm, max_iter=max_iter, tol=0, **common
            )
            seconds = timed_fit(ours, X)
            objective = evaluate(X, ours.components_)
            print(f"GradSparseCoder {max_iter:>4} iter.   {seconds:7.2f} s  {objective:.5f}")
            if reached is None and objective <= their_objective:
                reached = seconds
    if reached is not None:
        print(f"their objective in {reached:.2f} s: {their_seconds / reached:.1f}x faster")


if __name__ == "__main__":
    main()
