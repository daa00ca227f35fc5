"""Rows that grow on the disk, batch by batch, and survive an interruption between two batches.

A folder holds three files: `rows.bin`, the numbers as they are in memory; `places.bin`, a text and
a position (int64) for each row; and `state.json`, which says how much of the two counts. It is
written last and replaced as a whole, so what lies beyond it is a batch that was not finished.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ._activations import Activations

_VERSION = 1
DTYPES = ("float16", "float32", "float64")
_PLACE = np.dtype(np.int64)


class MemoryStore:
    """The same, in memory."""

    def __init__(self) -> None:
        self.n_rows = self.n_texts = 0
        self._rows: list[np.ndarray] = []
        self._places: list[np.ndarray] = []

    def holds(self, batch: Any) -> bool:  # noqa: ARG002
        """Whether this batch, the next one, was stored before."""
        return False

    def append(self, rows: np.ndarray, places: np.ndarray, n_texts: int) -> None:
        """Add the rows of a batch, with their places."""
        self._rows.append(rows)
        self._places.append(places)
        self.n_rows += len(rows)
        self.n_texts += n_texts

    def finish(self) -> Activations:
        """Return all that was added."""
        return Activations(np.concatenate(self._rows), *np.concatenate(self._places).T)


class FolderStore:
    """Rows in a folder.

    Parameters
    ----------
    path : Path
        Made where it does not exist. What it holds of the same `origin` is gone on with.
    origin : dict
        What the rows come from, compared on going on.
    """

    def __init__(self, path: Path, origin: dict[str, Any]):
        path.mkdir(parents=True, exist_ok=True)
        self.path, self._n_seen, self._digest = path, 0, ""
        if not (path / "state.json").exists():
            _begin(path, origin)
        self.state = read_state(path)
        stored = self.state["origin"]
        changed = [
            f"{key} {stored.get(key)!r}, now {value!r}"
            for key, value in origin.items()
            if stored.get(key) != value
        ]
        if stored != origin:
            raise ValueError(
                f"{path} holds activations of another origin: {'; '.join(changed)}. Choose another "
                "path, or remove it."
            )
        _truncate(path, self.state)

    @property
    def n_rows(self) -> int:
        """Rows so far."""
        return self.state["n_rows"]

    @property
    def n_texts(self) -> int:
        """Texts so far."""
        return self.state["n_texts"]

    def holds(self, batch: Any) -> bool:
        """Whether this batch, the next one, was stored before; ValueError if others were."""
        self._digest = _digest(self._digest, batch)
        self._n_seen += 1
        if self._n_seen == self.state["n_batches"] and self._digest != self.state["digest"]:
            raise self._other_batches()
        return self._n_seen <= self.state["n_batches"]

    def _other_batches(self) -> ValueError:
        return ValueError(
            f"the first {self.state['n_batches']} batches are not those that {self.path} was begun "
            "with; give the same in the same order, or choose another path."
        )

    def append(self, rows: np.ndarray, places: np.ndarray, n_texts: int) -> None:
        """Add the rows of a batch, with their places."""
        _append(self.path / "rows.bin", rows)
        _append(self.path / "places.bin", places)
        self.state |= {
            "n_rows": self.n_rows + len(rows),
            "n_features": rows.shape[1],
            "n_texts": self.n_texts + n_texts,
            "n_batches": self._n_seen,
            "digest": self._digest,
        }
        _write_state(self.path, self.state)

    def finish(self) -> Activations:
        """Return all that was added; ValueError if not all was asked for."""
        if self._n_seen < self.state["n_batches"]:
            raise self._other_batches()
        return open_folder(self.path)


def _digest(so_far: str, batch: Any) -> str:
    """Return what tells these batches, in this order, from others."""
    digest = hashlib.sha256(so_far.encode())
    for array in _arrays(batch):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _arrays(batch: Any) -> list[np.ndarray]:
    if hasattr(batch, "items"):
        batch = tuple(value for _, value in sorted(batch.items()))
    parts = batch if isinstance(batch, tuple) else (batch,)
    return [np.asarray(part.cpu() if isinstance(part, Tensor) else part) for part in parts]


def _append(path: Path, values: np.ndarray) -> None:
    with open(path, "ab") as file:
        file.write(np.ascontiguousarray(values).tobytes())
        file.flush()
        os.fsync(file.fileno())


def open_folder(path: Path) -> Activations:
    """Return what a folder holds, its rows as a read-only memory map."""
    state = read_state(path)
    n_rows, width = state["n_rows"], state["n_features"]
    dtype = np.dtype(state["origin"]["dtype"])
    rows = _mapped(path / "rows.bin", dtype, (n_rows, width))
    places = _mapped(path / "places.bin", _PLACE, (n_rows, 2))
    return Activations(rows, *np.array(places).T)


def _mapped(path: Path, dtype: np.dtype, shape: tuple[int, int]) -> np.ndarray:
    _check_size(path, dtype.itemsize * shape[0] * shape[1])
    return np.memmap(path, dtype, mode="r", shape=shape)


def _begin(path: Path, origin: dict[str, Any]) -> None:
    """Begin in a folder that holds nothing of our names."""
    taken = [name for name in ("rows.bin", "places.bin") if (path / name).exists()]
    if taken:
        raise ValueError(
            f"{path} holds {' and '.join(taken)} that collect_activations did not write; choose "
            "another path."
        )
    _write_state(path, _new_state(origin))


def _new_state(origin: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "origin": origin,
        "n_rows": 0,
        "n_features": 0,
        "n_texts": 0,
        "n_batches": 0,
        "digest": "",
    }


def read_state(path: Path) -> dict[str, Any]:
    """Return what a folder says of itself."""
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        version = state["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold activations of collect_activations.") from error
    if version != _VERSION:
        raise ValueError(
            f"{path} was written in version {version} of the format, this is {_VERSION}."
        )
    if not _is_whole(state):
        raise ValueError(f"{path} has a state.json that is damaged; collect anew.")
    return state


def _is_whole(state: dict[str, Any]) -> bool:
    counts = [state.get(f"n_{name}") for name in ("rows", "features", "texts", "batches")]
    origin = state.get("origin")
    return (
        all(type(count) is int and 0 <= count < 1 << 62 for count in counts)
        and isinstance(state.get("digest"), str)
        and isinstance(origin, dict)
        and origin.get("dtype") in DTYPES
    )


def _write_state(path: Path, state: dict[str, Any]) -> None:
    new = path / "state.json.new"
    with open(new, "w", encoding="utf-8") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path / "state.json")


def _truncate(path: Path, state: dict[str, Any]) -> None:
    """Drop what an interrupted batch left."""
    row = np.dtype(state["origin"]["dtype"]).itemsize * state["n_features"]
    for name, size in (("rows", row), ("places", 2 * _PLACE.itemsize)):
        file = path / f"{name}.bin"
        file.touch()
        _check_size(file, state["n_rows"] * size)
        os.truncate(file, state["n_rows"] * size)


def _check_size(path: Path, size: int) -> None:
    if path.stat().st_size < size:
        raise ValueError(f"{path} is shorter than its folder's state.json says; collect anew.")
