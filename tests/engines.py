"""The engines that the tests can run: torch alone where numba is not installed."""

from importlib.util import find_spec

import pytest

ENGINES = ["torch", "numba"] if find_spec("numba") else ["torch"]
needs_numba = pytest.mark.skipif(not find_spec("numba"), reason="needs numba")
each_engine = pytest.mark.parametrize("engine", ENGINES)


def callable_part(part):
    """A part of kernels, which has no entry for Python, as a kernel that does nothing else."""
    from numba import njit

    return njit(lambda *arguments: part(*arguments))
