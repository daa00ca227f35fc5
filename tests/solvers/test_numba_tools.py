"""The cache of compiled kernels."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from engines import needs_numba

import skamort.solvers

SHARED = ("_numba_tools.py", "_cd_numba.py")
USER = """
import numpy as np
from ._numba_tools import kernel, largest

@kernel
def twice_the_largest(values):
    return 2 * largest(values, 0, len(values), True)

print(twice_the_largest(np.array([1.0, 3.0])))
"""


@needs_numba
def test_kernels_are_compiled_anew_when_those_they_contain_have_changed(tmp_path):
    package = tmp_path / "kernels"
    package.mkdir()
    for name in SHARED:
        shutil.copy(Path(skamort.solvers.__file__).parent / name, package)
    (package / "user.py").write_text(USER)

    def run():
        command = [sys.executable, "-m", "kernels.user"]
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        return subprocess.check_output(command, cwd=tmp_path, env=environment, text=True).strip()

    assert run() == "6.0"
    tools = package / "_numba_tools.py"
    text = tools.read_text()
    assert "return _number(top, zero)" in text
    tools.write_text(text.replace("return _number(top, zero)", "return _number(top, zero) + 1"))
    assert run() == "8.0"


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("positive", [False, True])
def test_argmax_is_the_first_largest(dtype, positive):
    from skamort.solvers._numba_tools import argmax

    rng = np.random.default_rng(0)
    for size in (1, 5, 255, 256, 257, 1000):
        values = rng.integers(-9, 10, size).astype(dtype)
        score = values if positive else np.abs(values)
        assert argmax(values, positive) == (score.argmax() if score.max() > 0 else -1)
    assert argmax(np.zeros(300, dtype), positive) == -1
    assert argmax(-np.ones(300, dtype), True) == -1
