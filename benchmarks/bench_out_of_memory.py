"""Training and encoding from a file, against the same in memory: speed and peak memory.

    python benchmarks/bench_out_of_memory.py [--quick] [--threads 1] [--rows 100000]

Training: `TopKSAE`, k=32, 384 x 3072, one pass over the rows of a NumPy file (a memory map) and,
where h5py, zarr and datasets are installed, of their files, read by chunks; interleaved with the
same in memory.
Encoding: the memory map to CSR codes, and the most memory this takes above the codes.
"""

import argparse
import importlib
import resource
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from skamort import TopKSAE


def optional(module):
    """Import a module, or return None."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def write_rows(folder, n_rows, n_features):
    """Write random rows to files; return what opens them, by name."""
    X = np.random.default_rng(0).standard_normal((n_rows, n_features), dtype=np.float32)
    np.save(folder / "X.npy", X)
    sources = {"memory": X, "memory map": np.load(folder / "X.npy", mmap_mode="r")}
    if h5py := optional("h5py"):
        with h5py.File(folder / "X.h5", "w") as file:
            file.create_dataset("X", data=X, chunks=(1024, n_features))
        sources["HDF5"] = h5py.File(folder / "X.h5")["X"]
    if zarr := optional("zarr"):
        shape = {"shape": X.shape, "chunks": (1024, n_features), "dtype": X.dtype}
        sources["zarr"] = zarr.open(str(folder / "X.zarr"), mode="w", **shape)
        sources["zarr"][:] = X
    if datasets := optional("datasets"):
        datasets.disable_progress_bars()
        kind = datasets.Sequence(datasets.Value("float32"), length=n_features)
        table = datasets.Dataset.from_dict({"X": X}, features=datasets.Features({"X": kind}))
        table.save_to_disk(folder / "table")
        sources["data set"] = datasets.load_from_disk(folder / "table").with_format("torch")["X"]
    return sources


def seconds_of(function, *args):
    """Return what a call takes."""
    start = perf_counter()
    function(*args)
    return perf_counter() - start


@torch.no_grad()
def multiply(X, weight, bias):
    """Compute what no encoder can do without."""
    for start in range(0, len(X), 4096):
        torch.addmm(bias, torch.from_numpy(X[start : start + 4096].copy()), weight.T)


def peak_memory():
    """Return the most memory this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main():
    """Print a row a source."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50,000 rows, three passes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    n_rows, n_passes = (50_000, 3) if args.quick else (args.rows, 5)
    with tempfile.TemporaryDirectory() as folder:
        sources = write_rows(Path(folder), n_rows, 384)
        common = {"n_components": 3072, "k": 32, "batch_size": 2048, "random_state": 0}
        coders = {name: TopKSAE(**common).partial_fit(X[:4096]) for name, X in sources.items()}
        seconds = {name: [] for name in sources}
        for _ in range(n_passes):
            for name, X in sources.items():
                seconds[name].append(seconds_of(coders[name].partial_fit, X))
        for name, times in seconds.items():
            ratio = median(a / b for a, b in zip(seconds["memory"], times, strict=True))
            rate = n_rows / median(times)
            print(f"training from {name:10}: {rate:8,.0f} rows a second, {ratio:.2f} of memory's")

        X = sources["memory map"]
        coder = coders["memory map"].set_params(sparse_output=True)
        layer = coder.net_.module_.encoder
        bare = median(seconds_of(multiply, X, layer.weight, layer.bias) for _ in range(3))
        before = peak_memory()
        start = perf_counter()
        codes = coder.transform(X)
        ratio = bare / (perf_counter() - start)
        held = (codes.data.nbytes + codes.indices.nbytes + codes.indptr.nbytes) / 2**30
        print(f"encoding to CSR: {ratio:.2f} of the encoder product's speed, codes {held:.2f} GB, ")
        print(f"  peak memory {before:.2f} GB before and {peak_memory():.2f} GB after")


if __name__ == "__main__":
    main()
