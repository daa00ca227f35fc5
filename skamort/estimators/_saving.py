"""Estimators in folders: numbers and texts, no code.

`estimator.json` holds the class, the parameters and all that a fit has left, as `_packing` writes
it, with the versions that wrote it; `arrays.safetensors` holds the arrays under the names of the
attributes that they belong to.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

from .._folder import CorruptFolder, write_folder, written_names
from .._packing import pack
from .._validation import as_path

FORMAT = 1
JSON, ARRAYS = "estimator.json", "arrays.safetensors"
_N_NAMED = 5
_ADVICE = "Fit without it, or use joblib, whose files run code where they are opened."
_PACKAGES = {"numpy": np, "scikit-learn": sklearn, "torch": torch}


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write an estimator to a folder; see `BaseSparseCoder.save`."""
    name = type(estimator).__name__
    path = as_path(path, f"{name}.save: path")
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
    new, old = temporary / "new", temporary / "old"
    try:
        write_folder(new, JSON, about, {ARRAYS: arrays})
        if path.exists():
            os.replace(path, old)
        os.replace(new, path)
    finally:
        if new.exists() and old.exists():  # an interruption between the two moves
            os.replace(old, path)
        shutil.rmtree(temporary, ignore_errors=True)


def _check_place(path, name):
    """Refuse to put an estimator in the place of anything but one saved before."""
    if path.name in ("", ".."):
        raise ValueError(
            f"{name}.save: {str(path)!r} has no name of its own, and is no place for a new "
            "directory; give one a name, such as './sae'."
        )
    if os.path.lexists(path) and (found := _foreign(path)):
        raise FileExistsError(
            f"{name}.save: {str(path)!r} is there and holds no saved estimator alone, for it "
            f"{found}; choose a new directory, or delete it."
        )


def _foreign(path):
    """Return what says that a place does not hold what `save` wrote and nothing else, or None."""
    if path.is_symlink() or not path.is_dir():
        return "is a link" if path.is_symlink() else "is no directory"
    names = {inside.name for inside in path.iterdir()}
    try:
        others = names - written_names(path, JSON) if names else set()
    except CorruptFolder as error:
        return f"holds {', '.join(sorted(names)[:_N_NAMED])}, and {error}"
    others |= {name for name in names if not stat.S_ISREG((path / name).lstat().st_mode)}
    return f"holds {', '.join(sorted(others)[:_N_NAMED])} too" if others else None
