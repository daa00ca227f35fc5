"""Training and encoding from a file, against the same in memory: speed and peak memory.

    python benchmarks/bench_out_of_memory.py [--quick] [--threads 1] [--rows 100000]
    python benchmarks/bench_out_of_memory.py --encode --rows 1000000 --features 256 --atoms 16384
    python benchmarks/bench_out_of_memory.py --sparse --rows 100000 --features 50000 --atoms 64

Training: `TopKSAE`, k=32, 384 x 3072, one pass over the rows of a NumPy file (a memory map) and,
where h5py, zarr and datasets are installed, of their files, read by chunks; interleaved with the
same in memory.
Encoding: the memory map to CSR codes, against the encoder's product alone on the same blocks of
rows, the two taking turns; and the most memory that the process holds of its own meanwhile, the
codes included and the pages of the file not. `--encode` skips training.
Sparse (`--sparse`, nothing else): one pass over a CSR array, a thousandth of it not zero, and its
codes, with the memory of each; and the rate of training beside that on the same rows as a dense
array, on as many of them as make 1 GB, interleaved.
"""

import argparse
import importlib
import tempfile
import threading
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import numpy as np
import torch
from scipy import sparse

from skamort import TopKSAE

K = 32
BLOCK_ROWS = 1024


def optional(module):
    """Import a module, or return None."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def write_rows(path, n_rows, n_features):
    """Write random rows to a file, a block at a time; return its memory map."""
    shape = {"dtype": np.float32, "shape": (n_rows, n_features)}
    file = np.lib.format.open_memmap(path, mode="w+", **shape)
    random = np.random.default_rng(0)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = file[start : start + BLOCK_ROWS]
        random.standard_normal(out=block, dtype=np.float32)
    file.flush()
    return np.load(path, mmap_mode="r")


def open_sources(folder, mapped):
    """Return the rows in memory and in files of every kind that can be read here, by name."""
    X = np.array(mapped)
    sources = {"memory": X, "memory map": mapped}
    if h5py := optional("h5py"):
        with h5py.File(folder / "X.h5", "w") as file:
            file.create_dataset("X", data=X, chunks=(1024, X.shape[1]))
        sources["HDF5"] = h5py.File(folder / "X.h5")["X"]
    if zarr := optional("zarr"):
        shape = {"shape": X.shape, "chunks": (1024, X.shape[1]), "dtype": X.dtype}
        sources["zarr"] = zarr.open(str(folder / "X.zarr"), mode="w", **shape)
        sources["zarr"][:] = X
    if datasets := optional("datasets"):
        datasets.disable_progress_bars()
        kind = datasets.Sequence(datasets.Value("float32"), length=X.shape[1])
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
def multiply(X, layer):
    """Compute what no encoder can do without."""
    for start in range(0, len(X), BLOCK_ROWS):
        layer(torch.from_numpy(X[start : start + BLOCK_ROWS].copy()))


class OwnMemory:
    """The most memory of its own that the process holds in a block, in GB above the start."""

    def __enter__(self):
        self.peak = 0.0
        self.stop = threading.Event()
        self.start = self.held()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.stop.set()
        self.thread.join()

    def watch(self):
        """Look every few milliseconds."""
        while not self.stop.is_set():
            self.peak = max(self.peak, self.held() - self.start)
            sleep(0.005)

    @staticmethod
    def held():
        """Return the anonymous memory that Linux says the process has, in GB."""
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if "RssAnon" in line) / 2**20


def bench_training(sources, n_passes, n_components):
    """Print a row a source."""
    common = {"n_components": n_components, "k": K, "batch_size": 2048, "random_state": 0}
    coders = {name: TopKSAE(**common).partial_fit(X[:4096]) for name, X in sources.items()}
    seconds = {name: [] for name in sources}
    for _ in range(n_passes):
        for name, X in sources.items():
            seconds[name].append(seconds_of(coders[name].partial_fit, X))
    for name, times in seconds.items():
        ratio = median(a / b for a, b in zip(seconds["memory"], times, strict=True))
        rate = len(sources[name]) / median(times)
        print(f"training from {name:10}: {rate:8,.0f} rows a second, {ratio:.2f} of memory's")


def bench_encoding(X, n_components, n_rounds, slice_rows=20_000):
    """Print the speed and the memory of `transform`."""
    coder = TopKSAE(n_components, k=K, random_state=0, sparse_output=True, batch_size=2048)
    layer = coder.partial_fit(X[:4096]).net_.module_.encoder
    coder.transform(X[:4096])
    ratios = []
    for i in range(n_rounds):
        start = i * slice_rows % max(1, len(X) - slice_rows)
        rows = X[start : start + slice_rows]
        ratios.append(seconds_of(multiply, rows, layer) / seconds_of(coder.transform, rows))
    with OwnMemory() as memory:
        start = perf_counter()
        codes = coder.transform(X)
        rate = len(X) / (perf_counter() - start)
    held = (codes.data.nbytes + codes.indices.nbytes + codes.indptr.nbytes) / 2**30
    print(f"encoding {len(X):,} x {X.shape[1]} to CSR over {n_components:,} atoms: ", end="")
    print(f"{median(ratios):.2f} of the encoder product's speed, {rate:,.0f} rows a second")
    print(f"  peak memory {memory.peak:.2f} GB above the input, of which the codes {held:.2f} GB")


def random_csr(n_rows, n_features, density=1e-3):
    """Return counts like those of words, float32."""
    random = np.random.default_rng(0)
    n_stored = max(1, round(density * n_features))
    columns = random.integers(0, n_features, n_rows * n_stored, dtype=np.int32)
    values = random.exponential(size=len(columns)).astype(np.float32)
    bounds = np.arange(0, len(columns) + 1, n_stored, dtype=np.int32)
    return sparse.csr_array((values, columns, bounds), (n_rows, n_features))


def bench_sparse(X, n_components, n_passes, dense_bytes=2**30):
    """Print the memory of a fit and of its codes, and the rate of training beside dense rows."""
    settings = {"k": min(K, n_components), "batch_size": 256, "random_state": 0}
    coder = TopKSAE(n_components, sparse_output=True, **settings).partial_fit(X[:512])
    for name, call in {"training": coder.partial_fit, "encoding": coder.transform}.items():
        with OwnMemory() as memory:
            seconds = seconds_of(call, X)
        print(f"{name} {X.shape[0]:,} x {X.shape[1]:,}: ", end="")
        print(f"{X.shape[0] / seconds:,.0f} rows a second, {memory.peak:.2f} GB above the input")
    few = X[: max(512, dense_bytes // (4 * X.shape[1]))]
    dense, ratios = few.toarray(), []
    for _ in range(n_passes):
        ratios.append(seconds_of(coder.partial_fit, dense) / seconds_of(coder.partial_fit, few))
    print(f"training from CSR: {median(ratios):.2f} of the rate from a dense array")


def main():
    """Write a file, train from it, encode it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50,000 rows, three passes")
    parser.add_argument("--encode", action="store_true", help="encode only")
    parser.add_argument("--sparse", action="store_true", help="a CSR array only")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--atoms", type=int, default=3072)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    n_rows, n_passes = (50_000, 3) if args.quick else (args.rows, 5)
    if args.sparse:
        bench_sparse(random_csr(n_rows, args.features), args.atoms, n_passes)
        return
    with tempfile.TemporaryDirectory() as folder:
        mapped = write_rows(Path(folder) / "X.npy", n_rows, args.features)
        if not args.encode:
            bench_training(open_sources(Path(folder), mapped), n_passes, args.atoms)
        bench_encoding(mapped, args.atoms, n_passes)


if __name__ == "__main__":
    main()
