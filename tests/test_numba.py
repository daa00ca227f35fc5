"""How kernels are compiled, and the cache of their machine code."""

import os
import shutil
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from engines import needs_numba

import skamort
from skamort import _numba
from skamort.solvers import sparse_encode

LEAF = """
from ._numba import leaf

@leaf
def double(value):
    return 2 * value
"""
MIDDLE = """
from .leaf import double

FACTOR = 1
"""
USER = """
from ._numba import kernel
from .middle import FACTOR, double

@kernel
def scale(value):
    return FACTOR * double(value)

print(scale(3.0))
"""


def package(folder: Path) -> Path:
    """Write a package of kernels, one of which contains what two other modules hold."""
    folder = folder / "kernels"
    folder.mkdir()
    shutil.copy(_numba.__file__, folder)
    for name, text in (("leaf", LEAF), ("middle", MIDDLE), ("user", USER)):
        (folder / f"{name}.py").write_text(text)
    return folder


@needs_numba
@pytest.mark.parametrize(
    ("module", "old", "new"), [("leaf", "2 * value", "3 * value"), ("middle", "= 1", "= 1.5")]
)
def test_kernels_are_compiled_anew_when_what_they_contain_has_changed(tmp_path, module, old, new):
    file = package(tmp_path) / f"{module}.py"

    def run():
        command = [sys.executable, "-m", "kernels.user"]
        own = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        # Python itself takes a file of the same second and length for the one that it compiled.
        environment = os.environ | own | {"PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, check=True, capture_output=True
        )
        return done.stdout.strip(), done.stderr.count("compiles kernels")

    assert run() == ("6.0", 1)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    assert run()[0] == "9.0"
    assert run() == ("9.0", 0)  # found on disk


@needs_numba
def test_the_fingerprint_is_that_of_the_modules_that_a_kernel_is_made_of(monkeypatch):
    """Edits of other modules of the package leave compiled kernels valid."""
    import skamort.solvers._cd_gram_numba as module

    read = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: read.append(self.stem) or original(self))
    _numba._fingerprint.__wrapped__(module.__name__)
    assert {"_cd_gram_numba", "_working_set_numba", "_numba_tools", "_numba"} <= set(read)
    assert not {"_omp_numba", "_base", "_cd", "__init__"} & set(read)


@needs_numba
def test_kernel_takes_options_in_place_of_those_of_all():
    @_numba.kernel(error_model="python")
    def divide(a, b):
        return a / b

    @_numba.kernel
    def divide_unchecked(a, b):
        return a / b

    with pytest.raises(ZeroDivisionError):
        divide(1.0, 0.0)
    assert divide_unchecked(1.0, 0.0) == float("inf")


@needs_numba
def test_tells_compiling_from_running():
    import numba

    double = numba.njit(lambda x: 2 * x)
    for n_compiled in (1, 0):
        with _numba.compile_times() as seconds:
            assert double(2) == 4
        assert len(seconds) == n_compiled
        assert all(time > 0 for time in seconds)


def test_without_numba_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(_numba, "has_numba", lambda: False)
    with _numba.compile_times() as seconds:
        pass
    assert seconds == []


@needs_numba
@pytest.mark.parametrize("file", sorted(Path(skamort.__file__).parent.glob("solvers/*_numba.py")))
def test_what_a_kernel_calls_becomes_part_of_it(file):
    """Or its last bits in the process that compiles would be others than from the cache."""
    from numba.core.dispatcher import Dispatcher

    module = import_module(f"skamort.solvers.{file.stem}")
    own = [k.py_func for k in vars(module).values() if isinstance(k, Dispatcher)]
    names = {name for function in own for name in function.__code__.co_names}
    called = [vars(module)[name] for name in names & vars(module).keys()]
    options = [kernel.targetoptions for kernel in called if isinstance(kernel, Dispatcher)]
    assert all(taken.get("forceinline") or taken.get("inline") for taken in options)


@needs_numba
def test_no_layout_of_arguments_compiles_a_kernel_once_more():
    """Rows of any number and stride, read-only ones, starts and masks: one kernel a dtype."""
    from numba.core.dispatcher import Dispatcher

    rng = np.random.default_rng(0)
    dictionary, X = np.asfortranarray(rng.standard_normal((6, 4))), rng.standard_normal((5, 8))
    X.flags.writeable = False
    for algorithm in ("cd", "omp", "ormp", "gomp", "exchange", "exact"):
        weight = {"alpha": 0.1} if algorithm == "cd" else {"n_nonzero_coefs": 2}
        call = partial(sparse_encode, dictionary=dictionary, algorithm=algorithm, **weight)
        codes = [call(rows) for rows in (X[:, ::2], X[:1, :4], X[::-2, 4:])]
        if algorithm not in ("exact", "exchange"):
            call(X[:, :4], mask=rng.random((5, 4)) < 0.8, init=np.asfortranarray(codes[0]))
    modules = [module for name, module in sys.modules.items() if name.endswith("_numba")]
    kernels = [k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)]
    ours = [k for k in kernels if not k.targetoptions.get("no_cpython_wrapper")]
    assert sum(len(kernel.signatures) for kernel in ours) >= 6
    for kernel in ours:
        dtypes = [tuple(getattr(a, "dtype", a) for a in s) for s in kernel.signatures]
        assert len(set(dtypes)) == len(dtypes), (kernel.__qualname__, kernel.signatures)
