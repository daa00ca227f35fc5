"""Dictionary learners of several packages behind one small interface, for `bench_ksparse.py`.

Each runs in its own process with the Python that has it installed, one thread, and prints a line
whenever the time it has spent on learning doubles: the processor's seconds so far, and the file
with its dictionary. One whose next step is not done in twice the time given ends there. It is
started by `learn`; run alone it does nothing.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np

# -- The benchmark's side ------------------------------------------------------------------------


def learn(name, python, settings):
    """Yield the processor's seconds and the dictionary, again and again.

    Parameters
    ----------
    name : str
        A key of `LEARNERS`.
    python : str
        The interpreter that has the package.
    settings : dict
        train (path of a .npy file), folder, n_components, k, alpha, positive, first (the seconds
        of the first look) and seconds (the most).
    """
    process = subprocess.Popen(
        [python, __file__, name, json.dumps(settings)],
        stdout=subprocess.PIPE,
        stderr=None if settings.get("debug") else subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    for line in process.stdout:
        answer = json.loads(line)
        yield answer["seconds"], np.load(answer["path"])
    if process.wait() not in (0, -signal.SIGXCPU):
        raise RuntimeError(f"{name}: its process failed; run with --debug to see why.")


# -- The packages' side --------------------------------------------------------------------------


def scikit_learn(X, start, batches, s):
    """MiniBatchDictionaryLearning.partial_fit, by the L1 penalty, which is all that it has."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    learner = MiniBatchDictionaryLearning(
        len(start), alpha=s["alpha"], fit_algorithm="cd", positive_code=s["positive"],
        dict_init=start, batch_size=256, random_state=0,
    )  # fmt: skip
    for rows in batches(256):
        yield learner.partial_fit(X[rows]).components_


def spams(X, start, batches, s):  # noqa: ARG001
    """trainDL with at most k non-zeros, anew with twice as many mini-batches each time."""
    import spams

    X, n_batches = np.asfortranarray(X.T), 8
    while True:
        D = spams.trainDL(
            X, D=np.asfortranarray(start.T), mode=3, lambda1=s["k"], iter=n_batches,
            batchsize=512, numThreads=1, verbose=False,
        )  # fmt: skip
        yield D.T
        n_batches *= 2


def k_svd(X, start, batches, s):  # noqa: ARG001
    """Approximate K-SVD of the package dictlearn, all rows in each iteration."""
    from dictlearn import DictionaryLearning

    while True:
        learner = DictionaryLearning(
            len(start), fit_algorithm="aksvd", n_nonzero_coefs=s["k"], max_iter=1,
            dict_init=start, random_state=0,
        )  # fmt: skip
        start = learner.fit(X).components_
        yield start


def online(X, start, batches, s):
    """Online learning with OMP codes of the package dictlearn."""
    from dictlearn import MiniBatchDictionaryLearning

    learner = MiniBatchDictionaryLearning(
        len(start), n_nonzero_coefs=s["k"], dict_init=start, random_state=0
    )
    for rows in batches(256):
        learner.partial_fit(X[rows])
        yield learner.components_


LEARNERS = {
    "scikit-learn": scikit_learn,
    "spams": spams,
    "dictlearn K-SVD": k_svd,
    "dictlearn online": online,
}
# Those that begin anew for every dictionary that they yield.
FROM_THE_START = {"spams"}


def main():
    """Serve one package."""
    name, settings = sys.argv[1], json.loads(sys.argv[2])
    limit = 10 + int(2 * settings["seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    X = np.load(settings["train"]).astype(np.float64)
    random = np.random.default_rng(0)
    start = X[random.permutation(len(X))[: settings["n_components"]]]
    start = start / np.linalg.norm(start, axis=1, keepdims=True)

    def batches(size):
        while True:
            yield from np.split(random.permutation(len(X)), range(size, len(X), size))

    learning = LEARNERS[name](X, start, batches, settings)
    spent, following, number = 0.0, settings["first"], 0
    while spent < settings["seconds"]:
        begin = time.process_time()
        dictionary = next(learning)
        spent = time.process_time() - begin + (0.0 if name in FROM_THE_START else spent)
        if spent >= following:
            path = f"{settings['folder']}/{name}-{number}.npy"
            np.save(path, dictionary)
            print(json.dumps({"seconds": spent, "path": path}), flush=True)
            following, number = 2 * spent, number + 1


if __name__ == "__main__":
    main()
