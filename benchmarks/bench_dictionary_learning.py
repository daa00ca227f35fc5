"""Dictionary learning against scikit-learn and SPAMS: time to an objective, recovery.

Patches: 8 x 8 patches of the first sample photograph in grey, each patch's mean removed and divided
by max(norm, 1); 256 atoms, signed codes, alpha 0.15. `MiniBatchDictionaryLearning` with coordinate
descent runs until it stops by itself, SPAMS's `trainDL` and `GradSparseCoder` with growing numbers
of iterations.

Toy: the published synthetic signal, 1024 samples of 8 features, 16 atoms, codes >= 0, alpha 0.03.
`DictionaryLearning` with coordinate descent runs until it stops by itself; `GradSparseCoder`, from
the same number of starts, one, likewise. Then recovery of the true dictionary and codes by
`GradSparseCoder` with five starts, codes of unseen samples by several `transform_alpha`; and of the
codes alone by `ITOCoder`.

One exact solver evaluates the objective of every dictionary, outside the timing. Other work on the
machine spoils wall time, so the seconds of the CPU stand beside it, and comparisons are by them.

    python benchmarks/bench_dictionary_learning.py [--quick] [--threads 1]
        [--peer-python PATH of an interpreter that has spams]
"""

import argparse
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from sklearn.decomposition import DictionaryLearning, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.image import extract_patches_2d
from threadpoolctl import threadpool_limits

from skamort import GradSparseCoder, ITOCoder
from skamort.datasets import make_published_signal
from skamort.metrics import dictionary_mcc, latent_mcc, sparse_coding_objective
from skamort.solvers import sparse_encode

ALPHA, N_COMPONENTS = 0.15, 256
TOY_ALPHA, TOY_SEEDS = 0.03, (20240926, 20240927, 20240928)

SPAMS_PROGRAM = """
import sys, time
import numpy as np
import spams
path, n_iter, n_components, alpha, threads = sys.argv[1:]
X = np.asfortranarray(np.load(path + "/X.npy").T)
clock, cpu = time.perf_counter(), time.process_time()
D = spams.trainDL(X, K=int(n_components), lambda1=float(alpha), mode=2, iter=int(n_iter),
                  batchsize=512, numThreads=int(threads), verbose=False)
print("seconds", time.perf_counter() - clock, time.process_time() - cpu)
np.save(path + "/D.npy", np.ascontiguousarray(D.T))
"""


def load_patches(n_patches):
    """Return normalized patches, float32."""
    grey = load_sample_image("china.jpg").mean(axis=2)
    patches = extract_patches_2d(grey, (8, 8), max_patches=n_patches, random_state=0)
    patches = patches.reshape(n_patches, -1)
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1)
    return patches.astype(np.float32)


def evaluate(X, dictionary, alpha, positive):
    """Return the objective of a dictionary with the best codes, its atoms scaled to unit norm."""
    dictionary = dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)
    codes = sparse_encode(
        X, dictionary.astype(X.dtype), algorithm="cd", alpha=alpha, positive=positive, tol=1e-5
    )
    return sparse_coding_objective(X, codes, dictionary, alpha)


def timed_fit(estimator, X):
    """Return the wall and CPU seconds of a fit, warnings of early stops left out."""
    clock, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X)
    return time.perf_counter() - clock, time.process_time() - cpu


def timed_spams(python, X, n_iter, threads):
    """Return the seconds of SPAMS, without its start, and its dictionary."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "X.npy", X)
        sizes = [str(n_iter), str(N_COMPONENTS), str(ALPHA), str(threads)]
        # Nothing of this process's Python reaches the other one.
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [python, "-c", SPAMS_PROGRAM, folder, *sizes]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("seconds")]
        return tuple(map(float, line.split()[1:])), np.load(Path(folder) / "D.npy")


def report(name, seconds, objective):
    """Print one row."""
    wall, cpu = seconds
    print(f"{name:<36} {wall:7.2f} s {cpu:7.2f} s CPU  {objective:.5f}", flush=True)


def first_at(rows, objective):
    """Return the CPU seconds of the first row that reaches an objective, or infinity."""
    return min((cpu for (_, cpu), reached in rows if reached <= objective), default=np.inf)


def compare_on_patches(X, args):
    """Print times and objectives of all on patches."""
    common = {"n_components": N_COMPONENTS, "alpha": ALPHA, "random_state": 0}
    ours, spams = [], []
    for share in (0.6, 0.7, 0.8):
        coder = GradSparseCoder(
            positive_code=False, algorithm=args.algorithm, max_iter=1, tol=0, **common
        )
        seconds = timed_fit(coder, X[: int(share * len(X))])
        ours.append((seconds, evaluate(X, coder.components_, ALPHA, False)))
        report(f"GradSparseCoder, {share:.0%} of a pass", *ours[-1])
    for max_iter in (1, 2, 3, 5, 8, 12, 20, 30):
        coder = GradSparseCoder(
            positive_code=False, algorithm=args.algorithm, max_iter=max_iter, tol=0, **common
        )
        seconds = timed_fit(coder, X)
        ours.append((seconds, evaluate(X, coder.components_, ALPHA, False)))
        report(f"GradSparseCoder, {max_iter} iterations", *ours[-1])
    coder = GradSparseCoder(positive_code=False, algorithm=args.algorithm, **common)
    seconds = timed_fit(coder, X)
    report(
        f"GradSparseCoder, until it stops ({coder.n_iter_})",
        seconds,
        evaluate(X, coder.components_, ALPHA, False),
    )
    for n_iter in (20, 30, 40, 50, 60, 80, 160, 320, 480) if args.peer_python else ():
        seconds, dictionary = timed_spams(args.peer_python, X, n_iter, args.threads)
        spams.append((seconds, evaluate(X, dictionary, ALPHA, False)))
        report(f"SPAMS trainDL, {n_iter} iterations", *spams[-1])
    theirs = MiniBatchDictionaryLearning(fit_algorithm="cd", **common)
    seconds = timed_fit(theirs, X)
    goal = evaluate(X, theirs.components_, ALPHA, False)
    report("MiniBatchDictionaryLearning", seconds, goal)
    reached = first_at(ours, goal)
    print(f"MiniBatchDictionaryLearning's objective: {seconds[1] / reached:.1f}x faster")
    if spams:
        print(f"  SPAMS takes {first_at(spams, goal) / reached:.1f}x our time to it")
    within = [objective for (_, cpu), objective in ours if cpu <= 5]
    print(f"lowest objective in 5 s: {min(within, default=np.inf):.5f}")


def compare_on_toy():
    """Print times and objectives on the synthetic signal, then what is recovered."""
    for seed in TOY_SEEDS:
        X, dictionary, codes = make_published_signal(seed)
        train, test = X[:1024], X[1024:]
        common = {"n_components": 16, "alpha": TOY_ALPHA, "random_state": 0}
        theirs = DictionaryLearning(
            fit_algorithm="cd", transform_algorithm="lasso_cd", positive_code=True, **common
        )
        seconds = timed_fit(theirs, train.astype(np.float64))
        report(
            f"toy {seed}: DictionaryLearning",
            seconds,
            evaluate(train, theirs.components_, TOY_ALPHA, True),
        )
        for n_init in (1, 5):
            coder = GradSparseCoder(n_init=n_init, **common)
            seconds = timed_fit(coder, train)
            report(
                f"toy {seed}: GradSparseCoder, {n_init} start(s)",
                seconds,
                evaluate(train, coder.components_, TOY_ALPHA, True),
            )
        mcc = [
            f"{alpha}: {latent_mcc(codes[1024:], found):.4f}"
            for alpha in (TOY_ALPHA, 0.01, 0.005, 0.003, 0.001)
            for found in [coder.set_params(transform_alpha=alpha).transform(test)]
        ]
        print(f"    dictionary MCC {dictionary_mcc(dictionary, coder.components_):.5f}")
        print(f"    latent MCC by transform_alpha {', '.join(mcc)}")


def recover_codes(seed=20240625):
    """Print how well optimization finds the codes where the dictionary is known."""
    X, dictionary, codes = make_published_signal(seed, n_samples=1024)
    coder = ITOCoder(dictionary=dictionary, alpha=0.0025, positive_code=True)
    clock = time.perf_counter()
    found = coder.fit(X).transform(X)
    print(f"toy {seed}, dictionary known: ITOCoder {time.perf_counter() - clock:.2f} s", end="")
    print(f" for {len(X)} samples, latent MCC {latent_mcc(codes, found):.4f}")


def main():
    """Print one row a fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4,000 patches instead of 20,000")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--algorithm", default="auto", help="of GradSparseCoder")
    parser.add_argument("--peer-python", help="interpreter of an environment with spams")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    X = load_patches(4000 if args.quick else 20_000)
    warm_up = GradSparseCoder(8, algorithm=args.algorithm, positive_code=False, max_iter=2)
    first, _ = timed_fit(warm_up, X[:100])
    print(f"{len(X):,} patches, {args.threads} thread(s); first call {first:.1f} s (compilation)")
    with threadpool_limits(args.threads):
        compare_on_patches(X, args)
        compare_on_toy()
        recover_codes()


if __name__ == "__main__":
    main()
