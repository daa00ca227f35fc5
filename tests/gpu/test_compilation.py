"""Triton's kernels compile for a card that is not here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skamort

pytest.importorskip("triton", "3.6")
TESTS = Path(__file__).parents[1]


def test_every_kernel_compiles(tmp_path):
    package = Path(skamort.__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(package.parent),
        "TRITON_CACHE_DIR": str(tmp_path),
        "TRITON_INTERPRET": "0",
    }
    command = [sys.executable, "-W", "error", TESTS / "compile_kernels.py", "90"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    launched = {
        (path.stem, name)
        for path in package.rglob("*_triton.py")
        for name in re.findall(r"_triton\.launch\(\s*(\w+)", path.read_text())
    }
    assert {tuple(line.split()) for line in done.stdout.splitlines()} == launched
