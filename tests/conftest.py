"""Threads: where pytest runs several processes, each computes with one thread. Triton: where there
is no GPU, its kernels are interpreted. And which tests run, in what order.

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

import numpy as np
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anyone imports Triton


_COMPILE = ("tests/solvers/", "skamort/")
_HARDLY_COMPILE = tuple(
    f"tests/{room}/" for room in ("gpu", "training", "inspection", "interop", "hooks")
)


def pytest_addoption(parser):
    parser.addoption(
        "--most-cases",
        type=int,
        metavar="N",
        help="run at most N cases of each test, the first and the last among them",
    )


def pytest_collection_modifyitems(config, items):
    n_cases = config.getoption("most_cases")
    if n_cases is not None:
        chosen = sample_of_cases(items, n_cases)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = [item for item in items if item in chosen]
    compile_once(items)


def sample_of_cases(items, n_cases):
    """Return what is left where of each test no more cases are taken, but all of one marked by
    `every_case`."""
    tests = {}
    for item in items:
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    chosen = set()
    for cases in tests.values():
        n = len(cases) if cases[0].get_closest_marker("every_case") else min(n_cases, len(cases))
        chosen.update(cases[i] for i in np.linspace(0, len(cases) - 1, n).round().astype(int))
    return chosen


def compile_once(items):
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
