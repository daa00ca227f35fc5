"""Codes for dictionaries a second: which solver is the fastest on a device, and what Triton wins.

    python benchmarks/table_solvers.py [--device cuda] [--output doc/solvers_cuda.inc] [--quick]

Samples are sums of a few atoms of a random dictionary, times 1 to 2, with noise of a tenth. Solvers
of the lasso count rows whose duality gap met the tolerance, the best of two runs after one that
compiles; of 32 rows the gap is computed again on the CPU in float64, and must be the one that the
solver told. Pursuits count all rows. On a GPU solvers run with Triton's kernels and without.
"""

import time
from unittest import mock

import numpy as np
import torch
from _list_table import measure_device

from skamort import _triton
from skamort.solvers import SOLVERS, duality_gap

# n_features, n_components, rows, atoms of a sample, alpha
SIZES = {
    "cuda": (
        (768, 16_896, 16_384, 32, 0.5),
        (768, 16_896, 8192, 32, 0.3),
        (768, 2304, 16_384, 32, 0.4),
        (256, 1024, 32_768, 16, 0.4),
        (64, 256, 65_536, 8, 0.4),
    ),
    "cpu": ((64, 256, 2000, 8, 0.4),),
}
QUICK = ((16, 48, 20, 2, 0.4),)
HEAD = ("features x atoms", "solver", "kernels", "non-zeros", "rows a second")
LASSO = "cd", "fista"
PURSUITS = "omp", "ormp", "gomp"


def make_data(n_features, n_components, n_rows, k, device):
    """Return samples and the dictionary that they come from."""
    options = {"device": device, "generator": torch.Generator(device).manual_seed(0)}
    atoms = torch.randn(n_components, n_features, **options)
    atoms = torch.nn.functional.normalize(atoms)
    X = torch.empty(n_rows, n_features, device=device)
    for rows in torch.arange(n_rows).split(4096):
        chosen = torch.rand(len(rows), n_components, **options).topk(k, dim=1).indices
        sizes = 1 + torch.rand(len(rows), k, **options)
        X[rows] = torch.nn.functional.embedding_bag(
            chosen, atoms, per_sample_weights=sizes, mode="sum"
        )
    return X + 0.1 * torch.randn(n_rows, n_features, **options), atoms


def solve(solver, X, atoms, **asked):
    """Return the result, and the rows a second of the better of two runs."""
    wait = torch.cuda.synchronize if X.is_cuda else lambda: None
    seconds = []
    for _ in range(3):
        wait()
        start = time.perf_counter()
        result = solver.solve(X, atoms, positive=True, **asked)
        wait()
        seconds.append(time.perf_counter() - start)
    return result, len(X) / min(seconds[1:])


def check_gaps(result, X, atoms, alpha):
    """Compare some of the gaps with those of the CPU."""
    rows = torch.linspace(0, len(X) - 1, 32).long()
    exact = [a.cpu().double() for a in (X[rows], result.codes[rows], atoms)]
    gap = duality_gap(*exact, alpha=alpha, positive=True)
    np.testing.assert_allclose(result.gap[rows].cpu(), gap, rtol=1e-3, atol=1e-9)


def measure(sizes, device):
    """Yield rows of the table."""
    for n_features, n_components, n_rows, k, alpha in sizes:
        X, atoms = make_data(n_features, n_components, n_rows, k, device)
        for name in (*LASSO, *PURSUITS):
            limit = {"max_iter": 500} if name in LASSO else {"n_nonzero_coefs": k}
            asked = {"alpha": alpha} if name in LASSO else {}
            told = [f"{n_features} x {n_components}", name]
            n = n_rows if name == "cd" else n_rows // 4
            for has_triton in (True, False) if device == "cuda" and name in LASSO else (False,):
                with mock.patch.object(_triton, "_is_installed", return_value=has_triton):
                    result, speed = solve(SOLVERS[name](**limit), X[:n], atoms, **asked)
                if name in LASSO:
                    check_gaps(result, X[:n], atoms, alpha)
                share = float(result.converged.double().mean())
                active = float((result.codes != 0).sum(dim=1).double().mean())
                kernels = "Triton" if has_triton else result.engine
                yield *told, kernels, f"{active:.0f}", f"{speed * share:,.0f}"


if __name__ == "__main__":
    measure_device("table_solvers.py", __doc__, HEAD, measure, SIZES, QUICK)
