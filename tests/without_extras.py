"""A pytest plugin that hides the optional dependencies, as if they were not installed.

`python -m pytest -p tests.without_extras` shows what works without them, in one environment.
"""

import sys
from importlib.machinery import PathFinder

OPTIONAL = {
    "PIL",
    "dask",
    "datasets",
    "distributed",
    "h5py",
    "llvmlite",
    "matplotlib",
    "numba",
    "pandas",
    "polars",
    "pyarrow",
    "triton",
    "zarr",
}


class FinderOfTheRest(PathFinder):
    """Finds what Python's own finder does, but for the optional dependencies."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        optional = path is None and fullname in OPTIONAL
        return None if optional else super().find_spec(fullname, path, target)


def pytest_configure():
    """Only where pytest takes this module as a plugin: looking for doctests imports it too."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = FinderOfTheRest
