"""Files of other packages, read without running what they might hold."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


def checked_config(config: Any, name: str, source: str) -> Mapping[str, Any]:
    """Return a configuration, which must be a mapping."""
    if not isinstance(config, Mapping):
        raise TypeError(
            f"{source}: a state dict needs {name}=, a mapping such as sae.cfg.to_dict(), got "
            f"{type(config).__name__}."
        )
    return config


def read_json(path: Any, name: str, source: str) -> dict[str, Any]:
    """Return what a JSON file in a directory holds, which must be an object."""
    path = file_in(path, name, source)
    with _reading(path, "JSON file of one object", source):
        return dict(json.loads(path.read_text(encoding="utf-8")).items())


def read_safetensors(path: Any, name: str, source: str) -> dict[str, Any]:
    """Return the tensors of a safetensors file."""
    path = file_in(path, name, source)
    with _reading(path, "safetensors file", source):
        return load_file(path)


def read_torch(path: Any, name: str, source: str) -> dict[str, Any]:
    """Return the state dict that `torch.save` wrote; nothing but tensors and plain values."""
    path = file_in(path, name, source)
    what = "state dict of tensors and plain values"
    with _reading(path, what, source), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def read_npz(path: Any, name: str, source: str) -> dict[str, Any]:
    """Return the arrays of an npz file."""
    path = file_in(path, name, source)
    with (
        _reading(path, "npz file of arrays of numbers", source),
        path.open("rb") as opened,  # which NumPy leaves open where it is damaged
        np.load(opened, allow_pickle=False) as file,
    ):
        return dict(file)


@contextmanager
def _reading(path: Path, what: str, source: str) -> Iterator[None]:
    """Say of a file that it is not what it should be, whatever its reader says."""
    try:
        yield
    except Exception as error:  # readers have their own kinds, and advise to run what is inside
        raise ValueError(
            f"{source}: {str(path)!r} is no {what}, or damaged, and nothing of it was run; fetch "
            "it anew. Where you trust who wrote it, you may read it yourself and pass what it "
            "holds."
        ) from error
