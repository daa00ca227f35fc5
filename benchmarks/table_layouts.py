"""From how many components for one active code on the sparse layout of codes trains faster.

    python benchmarks/table_layouts.py [--device cuda] [--output doc/layouts_cuda.inc] [--quick]

Trains `TopKSAE` for some steps with codes held in either layout, for `k` from many to few of the
components, and prints milliseconds a step, those of the processor on a CPU. Where the layouts cross
is what `skamort.modules._codes` holds for the device.
"""

import time
from unittest import mock

import torch
from _list_table import measure_device

from skamort import TopKSAE
from skamort.modules import _autoencoder

RATIOS = (4, 8, 16, 32, 64, 128, 256)
# n_features, n_components, rows of a batch, steps
SIZES = {
    "cuda": ((768, 16_384, 4096, 8), (256, 4096, 4096, 10)),
    "cpu": ((64, 1024, 256, 20), (256, 4096, 256, 6)),
}
QUICK = ((16, 512, 64, 3),)
HEAD = ("sizes", "products", "components a code", "k", "dense, ms", "sparse, ms")


def milliseconds(X, n_components, k, n_steps, precision):
    """Return what a step takes by dense and by sparse codes, the best of three runs each."""
    model = TopKSAE(
        n_components, k=k, batch_size=len(X) // n_steps, max_iter=1, precision=precision,
        dict_init=None, dead_latents=None, schedule=None, random_state=0, device=X.device.type,
    )  # fmt: skip
    times = {False: [], True: []}
    for _ in range(3):
        for is_sparse, found in times.items():
            with mock.patch.object(_autoencoder, "sparse_pays", return_value=is_sparse):
                found.append(seconds_of(lambda: model.fit(X), X.device.type))
    return [1000 * min(found) / n_steps for found in times.values()]


def seconds_of(work, device):
    """Return how long it takes; on a CPU, which others may share, the processor's own time."""
    if device == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(sizes, device):
    """Yield rows of the table."""
    for n_features, n_components, batch_size, n_steps in sizes:
        X = torch.randn(n_steps * batch_size, n_features, device=device)
        for precision in ("full", "bfloat16") if device == "cuda" else ("full",):
            for ratio in RATIOS:
                k = n_components // ratio
                times = milliseconds(X, n_components, k, n_steps, precision)
                told = [f"{t:.2f}" for t in times]
                yield f"{n_features} x {n_components}", precision, str(ratio), str(k), *told


if __name__ == "__main__":
    measure_device("table_layouts.py", __doc__, HEAD, measure, SIZES, QUICK)
