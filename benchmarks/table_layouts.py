"""From how many components for one active code on the sparse layout of codes trains faster.

    python benchmarks/table_layouts.py [--device cuda] [--output doc/layouts_cuda.inc] [--quick]

Trains `TopKSAE` for some steps with codes held in either layout, for `k` from many to few of the
components, and prints milliseconds a step of the best epoch after the first, those of the processor
on a CPU. Where the layouts cross is what `skamort.modules._codes` holds for the device.
"""

from unittest import mock

import torch
from _clock import Clock
from _list_table import measure_device
from sklearn.base import clone

from skamort import TopKSAE
from skamort.modules import _autoencoder

RATIOS = (4, 8, 16, 32, 64, 128, 256)
# n_features, n_components, rows of a batch, steps
SIZES = {
    "cuda": ((768, 16_384, 4096, 8), (256, 4096, 4096, 10)),
    "cpu": ((64, 1024, 256, 20), (256, 4096, 256, 6)),
}
QUICK = ((16, 512, 64, 3),)
N_EPOCHS = 4
HEAD = ("sizes", "products", "components a code", "k", "dense, ms", "sparse, ms")


def milliseconds(X, n_components, k, n_steps, precision):
    """Return what a step takes by dense and by sparse codes."""
    model = TopKSAE(
        n_components, k=k, batch_size=len(X) // n_steps, max_iter=N_EPOCHS, precision=precision,
        dict_init=None, dead_latents=None, schedule=None, random_state=0, device=X.device.type,
    )  # fmt: skip
    times = []
    for is_sparse in (False, True):
        clock = Clock(X.device.type)
        with mock.patch.object(_autoencoder, "sparse_pays", return_value=is_sparse):
            clone(model).set_params(callbacks=[clock]).fit(X)
        times.append(1000 * min(clock.seconds()) / n_steps)
    return times


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
