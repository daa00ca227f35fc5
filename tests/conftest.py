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


# What compiles kernels first, and at last what uses them most. Two processes take a half each, and
# the second finds on disk what the first has compiled: a quarter of the suite's time is compiling.
_FIRST = ("tests/solvers/", "skamort/")
_LAST = ("tests/gpu/", "tests/training/", "tests/estimators/")


def pytest_collection_modifyitems(items):
    """Sort tests by their folders."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid):
    if nodeid.startswith(_FIRST):
        return 0
    return 1 + sum(nodeid.startswith(_LAST[i:]) for i in range(len(_LAST)))


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report):
    """Fail where a file of tests cannot be imported, of which pytest says no more than a skip: it
    looks for doctests first, whose errors of import are ignored for the sake of extras."""
    if report.skipped and "test_" in report.nodeid and "unable to import" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {report.longrepr[-1]}; import it to see why."
