"""A folder of one JSON file and files of arrays, written whole or not at all, and read warily.

The JSON file, written last, says of each file of arrays how long it is and what its SHA-256 is, and
has a digest of itself, so that a bit that has changed anywhere is noticed. Nothing that is read is
code, and no name in it is taken for a path.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

_LARGEST_JSON = 1 << 28
_DIGESTS = "sha256"

Arrays = Mapping[str, np.ndarray]


class CorruptFolder(Exception):
    """Something in a folder is not as it was written; the text says what."""


def write_folder(
    temporary: Path, json_name: str, about: Mapping[str, Any], files: Mapping[str, Arrays]
) -> None:
    """Make a folder, durable and whole, or none.

    Parameters
    ----------
    temporary : Path
        The folder, where nobody looks for it; the caller moves it to its place.
    json_name : str
        Name of the JSON file.
    about : mapping
        What it holds.
    files : mapping of str to mapping of str to ndarray
        Arrays by name, by the names of their files.
    """
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        digests: dict[str, Any] = {}
        for name, arrays in files.items():
            content = safetensors.numpy.save({k: _plain(v) for k, v in arrays.items()})
            digests[name] = [len(content), hashlib.sha256(content).hexdigest()]
            _write_synced(temporary / name, content)
        whole = {**about, _DIGESTS: digests}
        whole[_DIGESTS] = {**digests, json_name: _digest(whole)}
        _write_synced(temporary / json_name, json.dumps(whole, indent=1).encode())
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a folder, the last of which says how the others are to be read.

    An interruption leaves all the old files, or all the new, or not the last one: never some of
    both that would be read together.

    Parameters
    ----------
    folder : Path
        The folder, which is made; other files in it stay.
    files : mapping of str to bytes
        Contents by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as temporary:
        for name, content in files.items():
            _write_synced(Path(temporary) / name, content)
        (folder / list(files)[-1]).unlink(missing_ok=True)
        for name in files:
            os.replace(Path(temporary) / name, folder / name)


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds, unchecked but for being an object.

    Raises
    ------
    CorruptFolder
        If it is none.
    """
    try:
        if _size(path) > _LARGEST_JSON:
            raise CorruptFolder(f"{path.name} is larger than any that is written")
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFolder(f"{path.name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CorruptFolder(f"{path.name} holds no object")
    return found


def read_arrays(folder: Path, json_name: str, about: dict[str, Any]) -> dict[str, Any]:
    """Check what `read_json` found and return the arrays, by the names of their files.

    Raises
    ------
    CorruptFolder
        If anything is not as it was written.
    """
    digests = _taken_digests(json_name, about)
    return {name: _read_file(folder, name, told) for name, told in digests.items()}


def written_names(folder: Path, json_name: str) -> set[str]:
    """Return the names of the files that `write_folder` has put in a folder.

    Raises
    ------
    CorruptFolder
        If the JSON file is none that it has written.
    """
    return {json_name, *_taken_digests(json_name, read_json(folder / json_name))}


def _taken_digests(json_name, about):
    """Take the digests of files out of what `read_json` found, once its own fits."""
    digests = about.pop(_DIGESTS, None)
    if not isinstance(digests, dict):
        raise CorruptFolder(f"{json_name} has no digests")
    own = digests.pop(json_name, None)
    if own != _digest({**about, _DIGESTS: digests}):
        raise CorruptFolder(f"{json_name} was changed")
    return digests


def _read_file(folder, name, told):
    if Path(name).name != name or not isinstance(told, list):
        raise CorruptFolder(f"{name!r} is no name of a file of arrays")
    path = folder / name
    try:
        if _size(path) != told[0]:
            raise CorruptFolder(f"{name} has not the length that it had")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != told[1]:
            raise CorruptFolder(f"{name} was changed")
        return safetensors.numpy.load_file(path)
    except CorruptFolder:
        raise
    except Exception as error:  # safetensors has its own kinds
        raise CorruptFolder(f"{name} cannot be read: {error}") from error


def _size(path):
    """Return the length of a file, which must be one: a link or a pipe is not."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise CorruptFolder(f"{path.name} is no plain file")
    return found.st_size


def _plain(array):
    return np.require(array, requirements="C").view(np.ndarray)


def _digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _write_synced(path, content):
    """Write a file that survives a power failure."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
