"""Files of other packages, read without running what they might hold."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file


def is_path(source: Any) -> bool:
    """Whether a source is a path."""
    return isinstance(source, str | Path)


def file_in(path: Any, name: str, source: str) -> Path:
    """Return a file: that of a name in a directory, or the path itself."""
    path = Path(path)
    path = path / name if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"{source}: there is no file {str(path)!r}; give the directory that holds {name}."
        )
    return path


def read_json(path: Any, name: str, source: str) -> dict[str, Any]:
    """Return what a JSON file in a directory holds."""
    return json.loads(file_in(path, name, source).read_text(encoding="utf-8"))


def read_safetensors(path: Any, name: str, source: str) -> dict[str, Any]:
    """Return the tensors of a safetensors file."""
    return load_file(file_in(path, name, source))


def read_torch(path: Any, name: str, source: str) -> dict[str, Any]:
    """Return the state dict that `torch.save` wrote; nothing but tensors and plain values."""
    path = file_in(path, name, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{source}: {str(path)!r} is no state dict of tensors and plain values, and nothing of "
            "it was run; where you trust who wrote it, load it yourself and pass the state dict."
        ) from error


def read_npz(path: Any, name: str, source: str) -> dict[str, Any]:
    """Return the arrays of an npz file."""
    with np.load(file_in(path, name, source), allow_pickle=False) as file:
        return dict(file)
