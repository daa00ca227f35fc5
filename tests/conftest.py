"""Threads: where pytest runs several processes, each computes with one thread. Triton: where there
is no GPU, its kernels are interpreted. And the order of tests.

Pools of threads that fight over the same cores made the suite six times slower. The variables count
only before numpy, torch and numba are imported, and reach the workers of joblib too.
"""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ]:
        os.environ.setdefault(variable, "1")

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anyone imports Triton


_COMPILE = ("tests/solvers/", "skamort/")
_HARDLY_COMPILE = tuple(
    f"tests/{room}/" for room in ("gpu", "training", "inspection", "interop", "hooks")
)


def pytest_collection_modifyitems(items):
    """Let the first half begin with tests that compile kernels, the second with tests that hardly
    need any: of two processes one then finds on disk what the other has compiled."""
    first = [item for item in items if item.nodeid.startswith(_COMPILE)]
    free = [item for item in items if item.nodeid.startswith(_HARDLY_COMPILE)]
    rest = [item for item in items if not item.nodeid.startswith(_COMPILE + _HARDLY_COMPILE)]
    n_before = max(0, len(items) // 2 - len(first))
    items[:] = first + rest[:n_before] + free + rest[n_before:]


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report):
    """Fail where a file of tests cannot be imported, of which pytest says no more than a skip: it
    looks for doctests first, whose errors of import are ignored for the sake of extras."""
    if report.skipped and "test_" in report.nodeid and "unable to import" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {report.longrepr[-1]}; import it to see why."
