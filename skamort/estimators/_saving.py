"""Estimators in folders: numbers and texts, no code.

`estimator.json` holds the class, the parameters and all that a fit has left, as `_packing` writes
it, with the versions that wrote it; `arrays.safetensors` holds the arrays under the names of the
attributes that they belong to.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

from .._folder import write_folder
from .._packing import pack

FORMAT = 1
JSON, ARRAYS = "estimator.json", "arrays.safetensors"
_ADVICE = "Fit without it, or use joblib, whose files run code where they are opened."
_PACKAGES = {"numpy": np, "scikit-learn": sklearn, "torch": torch}


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write an estimator to a folder; see `BaseSparseCoder.save`."""
    path, name = Path(path), type(estimator).__name__
    packed, arrays, left_out = pack(estimator, f"{name}.save", _ADVICE)
    if left_out:
        warnings.warn(
            f"{name}.save leaves out callbacks of other packages: {', '.join(left_out)}; set them "
            "again before a fit that is to go on with them.",
            UserWarning,
            stacklevel=3,
        )
    _check_place(path, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "format": FORMAT,
        "skamort": import_module("skamort").__version__,
        "versions": {name: package.__version__ for name, package in _PACKAGES.items()},
        "estimator": packed,
    }
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        write_folder(temporary / "new", JSON, about, {ARRAYS: arrays})
        if path.exists():
            os.replace(path, temporary / "old")
        os.replace(temporary / "new", path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_place(path, name):
    """Refuse to put an estimator in the place of anything but one saved before."""
    is_ours = path.is_dir() and ((path / JSON).exists() or not any(path.iterdir()))
    if os.path.lexists(path) and (path.is_symlink() or not is_ours):
        raise FileExistsError(
            f"{name}.save: {str(path)!r} is there and holds no saved estimator; choose a new "
            "directory, or delete it."
        )
