"""From how many components for one active code on the sparse layout of codes trains faster.

    python benchmarks/table_layouts.py [--device cuda] [--output doc/layouts_cuda.inc] [--quick]

Trains `TopKSAE` for some steps with codes held in either layout, for `k` from few to many of the
components, and prints milliseconds a step. Where the layouts cross is what
`skamort.modules._codes` holds for the device.
"""

import argparse
import time
import warnings
from pathlib import Path
from unittest import mock

import torch
from _list_table import to_rst
from sklearn.exceptions import ConvergenceWarning

from skamort import TopKSAE
from skamort.modules import _autoencoder

RATIOS = (4, 8, 16, 32, 64, 128, 256, 512)
# n_features, n_components, rows of a batch, steps
SIZES = {
    "cuda": ((256, 4096, 4096, 30), (768, 16_384, 4096, 20)),
    "cpu": ((64, 1024, 256, 30), (256, 4096, 256, 10)),
}
QUICK = ((16, 512, 64, 3),)


def milliseconds(X, n_components, k, n_steps, precision, is_sparse):
    """Return what a step takes, the second time."""
    model = TopKSAE(
        n_components, k=k, batch_size=len(X) // n_steps, max_iter=1, precision=precision,
        dict_init=None, dead_latents=None, schedule=None, random_state=0, device=X.device.type,
    )  # fmt: skip
    wait = torch.cuda.synchronize if X.is_cuda else lambda: None
    with mock.patch.object(_autoencoder, "sparse_pays", return_value=is_sparse):
        for _ in range(2):
            wait()
            start = time.perf_counter()
            model.fit(X)
            wait()
            seconds = time.perf_counter() - start
    return 1000 * seconds / n_steps


def measure(sizes, device):
    """Yield rows of the table."""
    for n_features, n_components, batch_size, n_steps in sizes:
        X = torch.randn(n_steps * batch_size, n_features, device=device)
        for precision in ("full", "bfloat16") if device == "cuda" else ("full",):
            for ratio in RATIOS:
                k = n_components // ratio
                given = X, n_components, k, n_steps, precision
                times = [f"{milliseconds(*given, layout):.2f}" for layout in (False, True)]
                yield f"{n_features} x {n_components}", precision, str(ratio), str(k), *times


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=tuple(SIZES), default="cpu")
    parser.add_argument("--output", type=Path, help="write the table there as reStructuredText")
    parser.add_argument("--quick", action="store_true", help="one small size, three steps")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for row in measure(QUICK if arguments.quick else SIZES[arguments.device], arguments.device):
        print(*row, sep="\t", flush=True)
        rows.append(row)
    if arguments.output:
        head = ("sizes", "products", "components a code", "k", "dense, ms", "sparse, ms")
        arguments.output.write_text(to_rst("table_layouts.py", head, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
