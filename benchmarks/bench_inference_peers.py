"""Samples a second of sparse inference: skamort against scikit-learn and SPAMS, on one core.

    python benchmarks/bench_inference_peers.py --peer-python /path/to/venv/bin/python \\
        --activations /path/to/activations.npz

SPAMS runs in an interpreter of its own, where `pip install spams-bin` has been done; without one it
is skipped. All methods take turns in every repetition, and medians are shown. Every method gets the
Gram matrix of the dictionary, or the time that it takes to build its own is shown apart ("setup").
Accuracy stands beside every speed: the duality gap relative to 1/2 ||x||^2 (99th percentile and
largest over samples), or for k-sparse codes the relative residual and the share of samples whose
true support was found exactly. No method that looks at all atoms is faster than one product X D^T,
in the dtype of X; the share that each speed is of that bound stands beside its ratios.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 (the number of threads is read on import)

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


# --- The peer's side: SPAMS, in an interpreter without skamort ------------------------------------


def serve(clock) -> None:
    """Answer requests, one JSON object a line: solve a problem file, report seconds, save the
    codes."""
    import spams

    print(json.dumps({"ready": True}), flush=True)
    problem, gram, setups = None, None, {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["problem"] != problem:
            problem, setups = request["problem"], {}
            with np.load(problem) as file:
                X, dictionary = file["X"], file["dictionary"]
            x, d = np.asfortranarray(X.T), np.asfortranarray(dictionary.T)
            start = clock()
            gram = np.asfortranarray(d.T @ d)
            setups["lasso"] = clock() - start
        if request["method"] == "lasso":
            start = clock()
            q = np.asfortranarray(d.T @ x)
            codes = spams.lasso(
                x, d, Q=gram, q=q, lambda1=request["alpha"], mode=2, pos=False, numThreads=1
            )
            seconds = clock() - start
        else:
            # Left out, its error bound is uninitialized memory. It builds its own Gram matrix in
            # every call: half the samples tell what that takes.
            half = x[:, : x.shape[1] // 2].copy(order="F")
            start = clock()
            spams.omp(half, d, L=request["k"], eps=0.0, numThreads=1)
            middle = clock()
            codes = spams.omp(x, d, L=request["k"], eps=0.0, numThreads=1)
            whole = clock() - middle
            seconds = 2 * (whole - (middle - start))
            # Too small a share to tell from noise: the whole is all that is known.
            seconds = seconds if 0.1 * whole < seconds < whole else whole
            setups["omp"] = whole - seconds
        codes = codes.T.tocsr()
        np.savez(request["answer"], data=codes.data, indices=codes.indices, indptr=codes.indptr)
        print(json.dumps({"seconds": seconds, "setup": setups[request["method"]]}), flush=True)


class Peer:
    """SPAMS behind a pipe; falsy where it cannot be started."""

    def __init__(self, python: str, folder: Path, clock: str) -> None:
        self.folder = folder
        command = [python, __file__, "--serve", "--clock", clock]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.alive = bool(self.process.stdout.readline())

    def __bool__(self) -> bool:
        return self.alive

    def run(self, problem: Problem, method: str) -> tuple[float, float, np.ndarray]:
        from scipy.sparse import csr_array

        answer = self.folder / "codes.npz"
        request = {
            "problem": str(problem.save(self.folder)),
            "method": method,
            "alpha": problem.alpha,
            "k": problem.k,
            "answer": str(answer),
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        with np.load(answer) as file:
            codes = csr_array(
                (file["data"], file["indices"], file["indptr"]),
                shape=(len(problem.X), len(problem.dictionary)),
            )
        return reply["seconds"], reply["setup"], codes.toarray()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


# --- Problems -------------------------------------------------------------------------------------


class Problem:
    """Data, a dictionary, and what is asked: an L1 weight and a number of non-zeros."""

    def __init__(self, name, X, dictionary, alpha, k, *, n_slow, gram=True, truth=None) -> None:
        self.name, self.alpha, self.k, self.n_slow, self.truth = name, alpha, k, n_slow, truth
        self.X, self.dictionary, self.ours_takes_gram = X, dictionary, gram
        start = time.process_time()
        self.gram = dictionary @ dictionary.T
        self.setup = time.process_time() - start
        self.bound = float("nan")

    def save(self, folder: Path) -> Path:
        path = folder / f"problem_{self.name}.npz"
        if not path.exists():
            np.savez(path, X=self.X, dictionary=self.dictionary)
        return path


def synthetic(name, n_samples, n_features, n_components, k, **options) -> Problem:
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((n_components, n_features), dtype=np.float32)
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    truth = np.zeros((n_samples, n_components), dtype=np.float32)
    for row in truth:
        row[rng.choice(n_components, k, replace=False)] = np.abs(rng.standard_normal(k))
    return Problem(name, truth @ dictionary, dictionary, 0.1, k, truth=truth, **options)


def learn(X: np.ndarray, n_components: int, alpha: float, batch_size: int) -> np.ndarray:
    """A dictionary learned from the data in one online pass."""
    from skamort import GradSparseCoder

    coder = GradSparseCoder(
        n_components=n_components,
        alpha=alpha,
        batch_size=batch_size,
        dict_init="samples",
        positive_code=False,
        random_state=0,
    )
    return coder.partial_fit(X).components_


def patches() -> Problem:
    from sklearn.datasets import load_sample_image
    from sklearn.feature_extraction.image import extract_patches_2d

    image = load_sample_image("china.jpg").mean(axis=2, dtype=np.float32) / 255
    X = extract_patches_2d(image, (8, 8), max_patches=20_000, random_state=0).reshape(-1, 64)
    X = X - X.mean(axis=1, keepdims=True)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1)
    return Problem("v", X[:5000], learn(X, 256, 0.15, 256), 0.15, 6, n_slow=1000)


def activations(path: Path) -> Problem:
    """Rows of a language model, centered and scaled to a mean square of 1."""
    with np.load(path) as file:
        X = file["train"].astype(np.float32)
    X -= X.mean(axis=0)
    X /= np.sqrt(np.mean(np.sum(X**2, axis=1)))
    dictionary = learn(X[:10_000], 2304, 0.05, 1024)
    return Problem("vi", X[:1000], dictionary, 0.05, 32, n_slow=30)


PROBLEMS = {
    "i": lambda: synthetic("i", 20_000, 8, 16, 3, n_slow=1000),
    "ii": lambda: synthetic("ii", 1000, 200, 1000, 20, n_slow=100),
    "iii": lambda: synthetic("iii", 1000, 768, 4096, 32, n_slow=20),
    "iv": lambda: synthetic("iv", 64, 768, 16_896, 32, n_slow=4, gram=False),
    "v": patches,
}


# --- Methods --------------------------------------------------------------------------------------


def ours(problem: Problem, algorithm: str, engine: str) -> np.ndarray:
    from skamort.solvers import sparse_encode

    options = {"alpha": problem.alpha} if algorithm == "cd" else {"n_nonzero_coefs": problem.k}
    return sparse_encode(
        problem.X,
        problem.dictionary,
        gram=problem.gram if problem.ours_takes_gram else None,
        algorithm=algorithm,
        engine=engine,
        n_jobs=1,
        **options,
    )


def scikit_learn(problem: Problem, method: str) -> np.ndarray:
    from sklearn.decomposition import sparse_encode

    lasso = {"algorithm": "lasso_cd", "alpha": problem.alpha}
    omp = {"algorithm": "omp", "n_nonzero_coefs": problem.k}
    return sparse_encode(
        problem.X[: problem.n_slow],
        problem.dictionary,
        gram=problem.gram,
        **(lasso if method == "lasso" else omp),
    )


METHODS = {
    "lasso": [("skamort cd", "numba"), ("skamort cd", "torch"), ("sklearn", ""), ("spams", "")],
    "omp": [
        ("skamort omp", "numba"),
        ("skamort ormp", "numba"),
        ("skamort gomp", "numba"),
        ("skamort omp", "torch"),
        ("sklearn", ""),
        ("spams", ""),
    ],
}


def accuracy(problem: Problem, task: str, codes: np.ndarray) -> dict[str, float]:
    """How good codes of the first samples are."""
    from skamort.solvers import duality_gap

    X = problem.X[: len(codes)]
    if task == "lasso":
        gap = duality_gap(X, codes, problem.dictionary, problem.alpha)
        relative = gap / np.maximum(0.5 * (X.astype(float) ** 2).sum(axis=1), 1e-30)
        return {"gap_p99": float(np.quantile(relative, 0.99)), "gap_max": float(relative.max())}
    left = ((X - codes @ problem.dictionary) ** 2).sum(axis=1)
    result = {"residual": float(np.mean(left / np.maximum((X**2).sum(axis=1), 1e-30)))}
    if problem.truth is not None:
        exact = ((codes != 0) == (problem.truth[: len(codes)] != 0)).all(axis=1)
        result["exact_support"] = float(exact.mean())
    return result


def product_rate(problem: Problem, repeats: int, clock) -> float:
    """Samples a second of one product X D^T."""
    import torch

    X, dictionary = torch.from_numpy(problem.X), torch.from_numpy(problem.dictionary)
    out, seconds = X @ dictionary.T, []
    for _ in range(repeats):
        start = clock()
        torch.mm(X, dictionary.T, out=out)
        seconds.append(clock() - start)
    return len(X) / np.median(seconds)


def measure(problem: Problem, task: str, peer: Peer | None, repeats: int, clock) -> list[dict]:
    """All methods on one task, in turns; a row each."""
    seconds: dict[tuple[str, str], list[float]] = {}
    codes, setups = {}, {}
    for repeat in range(repeats + 1):
        for method in METHODS[task]:
            name, engine = method
            if name == "spams":
                if not peer:
                    continue
                elapsed, setups[method], codes[method] = peer.run(problem, task)
            else:
                start = clock()
                if name == "sklearn":
                    if repeat == 0:
                        continue
                    codes[method] = scikit_learn(problem, task)
                else:
                    codes[method] = ours(problem, name.split()[1], engine)
                elapsed = clock() - start
                takes_gram = name == "sklearn" or problem.ours_takes_gram
                setups[method] = problem.setup if takes_gram else 0.0
            # The first turn compiles and warms up.
            if repeat:
                seconds.setdefault(method, []).append(elapsed)
    rows = []
    for method, times in seconds.items():
        rate = len(codes[method]) / np.median(times)
        row = {"problem": problem.name, "task": task, "method": " ".join(method).strip()}
        row |= {"samples_per_second": rate, "setup_seconds": setups[method]}
        row["product_share"] = rate / problem.bound
        whole = np.median(times) + setups[method]
        row["samples_per_second_with_setup"] = len(codes[method]) / whole
        rows.append(row | accuracy(problem, task, codes[method]))
    for rival in ("sklearn", "spams"):
        base = [row["samples_per_second"] for row in rows if row["method"] == rival]
        for row in rows:
            row[f"x_{rival}"] = row["samples_per_second"] / base[0] if base else float("nan")
    return rows


def compile_kernels() -> None:
    """Call every kernel once, which says how long it compiled: 0 s where numba's cache has it."""
    from skamort.solvers import sparse_encode

    X = np.eye(3, dtype=np.float32)
    asked = {"cd": {"alpha": 0.1}}
    for algorithm in ("cd", "omp", "ormp", "gomp"):
        options = asked.get(algorithm, {"n_nonzero_coefs": 1})
        sparse_encode(X, X, gram=X, algorithm=algorithm, engine="numba", verbose=1, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", default=os.environ.get("SKAMORT_PEER_PYTHON"))
    parser.add_argument("--problems", nargs="+", choices=[*PROBLEMS, "vi"])
    parser.add_argument("--tasks", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--activations", type=Path, help="npz with an array 'train', for (vi)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one turn of (i), (ii) and (v)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--output", type=Path, default=Path("results/inference_peers.csv"))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    clock = CLOCKS[arguments.clock]
    if arguments.serve:
        serve(clock)
        return

    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    compile_kernels()
    names = ["i", "ii", "v"] if arguments.quick else [*PROBLEMS, "vi"]
    names = arguments.problems or names
    makers = PROBLEMS.copy()
    if arguments.activations:
        makers["vi"] = lambda: activations(arguments.activations)
    elif "vi" in names:
        names.remove("vi")
        print("(vi) skipped: name a file of activations by --activations.")
    repeats = 1 if arguments.quick else arguments.repeats
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        python = arguments.peer_python
        peer = Peer(python, Path(folder), arguments.clock) if python else None
        if not peer:
            print("SPAMS skipped: name an interpreter with spams-bin by --peer-python.")
        for name in names:
            problem = makers[name]()
            shape = "x".join(map(str, reversed(problem.dictionary.shape)))
            print(f"\n({problem.name}) {shape}, alpha={problem.alpha}, k={problem.k}")
            problem.bound = product_rate(problem, repeats, clock)
            print(f"  bound: X D^T {problem.bound:28,.0f}/s")
            for task in arguments.tasks:
                for row in measure(problem, task, peer, repeats, clock):
                    rows.append(row)
                    print_row(row)
        if peer:
            peer.close()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with arguments.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    print(f"\nwritten to {arguments.output}")


def print_row(row: dict) -> None:
    shown = [f"{row['task']:5} {row['method']:20} {row['samples_per_second']:12,.0f}/s"]
    shown += [f"{row['x_sklearn']:7.1f}x sklearn {row['x_spams']:6.2f}x spams"]
    shown += [f"{100 * row['product_share']:5.1f}% of X D^T"]
    shown += [f"with setup ({row['setup_seconds']:.2f} s) "]
    shown[-1] += f"{row['samples_per_second_with_setup']:,.0f}/s"
    for name in ("gap_p99", "gap_max", "residual", "exact_support"):
        if name in row:
            shown.append(
                f"{name} {row[name]:.1e}" if "su" not in name else f"{name} {row[name]:.3f}"
            )
    print("  " + "  ".join(shown), flush=True)


if __name__ == "__main__":
    main()
