"""Ways in which the folder of a saved estimator is damaged.

    python tests/damage.py 10000

damages so many copies by chance and by intent, and ends with an error where one is not refused.
"""

import hashlib
import json
import os
import pickle
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

JSON, ARRAYS = "estimator.json", "arrays.safetensors"
EVIL = Path(tempfile.gettempdir()) / f"evil-{os.getpid()}"


class Bomb:
    """A pickle that makes a file where it is opened."""

    def __reduce__(self):
        return os.mkdir, (str(EVIL),)


def copy(whole, path):
    """Copy a folder."""
    shutil.copytree(whole, path)
    return path


# -- By chance -------------------------------------------------------------------------------------


def damaged(whole, path, rng):
    """Copy a folder and damage one of its files somewhere."""
    file = copy(whole, path) / rng.choice([JSON, ARRAYS])
    content = bytearray(file.read_bytes())
    place = rng.integers(len(content))
    kind = rng.choice(["bit", "cut", "insert", "zeros", "swap"])
    if kind == "bit":
        content[place] ^= 1 << rng.integers(8)
    elif kind == "cut":
        del content[place:]
    elif kind == "insert":
        content[place:place] = rng.bytes(1 + rng.integers(20))
    elif kind == "zeros":
        content[place : place + 16] = bytes(16 + rng.integers(1, 5))
    else:
        content[place:] = content[place:][::-1] + b" "
    file.write_bytes(content)


# -- By intent, with the right digests -------------------------------------------------------------


def sealed(path, about, arrays=None):
    """Write a folder whose digests are right, whatever it holds."""
    if arrays is not None:
        save_file(arrays, path / ARRAYS)
    content = (path / ARRAYS).read_bytes()
    digests = {ARRAYS: [len(content), hashlib.sha256(content).hexdigest()]}
    about["sha256"] = digests
    text = json.dumps(about, sort_keys=True)
    about["sha256"] = {**digests, JSON: hashlib.sha256(text.encode()).hexdigest()}
    (path / JSON).write_text(json.dumps(about))


def opened(path):
    """Return what a folder holds."""
    about = json.loads((path / JSON).read_text())
    del about["sha256"]
    return about, load_file(path / ARRAYS)


def places(value, place=()):
    """Return the places of all that is in what JSON holds."""
    if not isinstance(value, dict | list):
        return [place]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [place] + [found for key, item in items for found in places(item, (*place, key))]


WEIRD = [None, True, -1, 0, 10**12, 1e300, "", "../../x", [], {}, [[]], {"same": "x"}, "object"]
WEIRD += [{"object": "os.system", "name": "x", "state": {}}, {"tensor": "components_"}, {"dict": 3}]
WEIRD += [{"object": "skamort.modules.LinearEncoder", "name": "x", "state": {}}]
WEIRD += [{"scalar": ["O", 1]}]


def forged(whole, path, rng):
    """Copy a folder and change one of its values, or one of its arrays, and seal it again."""
    about, arrays = opened(copy(whole, path))
    if rng.random() < 0.5:
        everywhere = [place for place in places(about["estimator"]) if place]
        *outer, last = everywhere[rng.integers(len(everywhere))]
        target = about["estimator"]
        for key in outer:
            target = target[key]
        target[last] = WEIRD[rng.integers(len(WEIRD))]
    else:
        name = rng.choice(sorted(arrays))
        array = arrays[name]
        changes = [
            lambda: array.astype(np.int64),
            lambda: array.reshape(-1),
            lambda: array[..., :-1] if array.ndim else array[None],
            lambda: np.concatenate([array.reshape(-1)] * 2),
            lambda: array[None],
            lambda: np.full_like(array, np.iinfo(np.int64).max if array.dtype == int else 255),
            lambda: None,
        ]
        changed = changes[rng.integers(len(changes))]()
        if changed is None:
            del arrays[name]
        else:
            arrays[name] = np.ascontiguousarray(changed)
    sealed(path, about, arrays)


def _with(change):
    def damage(whole, path):
        about, arrays = opened(copy(whole, path))
        sealed(path, change(about, arrays) or about, arrays)

    return damage


def _without(name):
    return lambda whole, path: (copy(whole, path) / name).unlink()


def _write(name, content):
    return lambda whole, path: (copy(whole, path) / name).write_bytes(content)


def _huge_header(whole, path):
    file = copy(whole, path) / ARRAYS
    file.write_bytes(struct.pack("<Q", 100 << 30) + file.read_bytes()[8:])


def _huge_tensor(whole, path):
    about, _ = opened(copy(whole, path))
    header = {"x": {"dtype": "F32", "shape": [5 << 30, 5], "data_offsets": [0, 100 << 30]}}
    text = json.dumps(header).encode()
    (path / ARRAYS).write_bytes(struct.pack("<Q", len(text)) + text)
    sealed(path, about)


def _huge_file(whole, path):
    with (copy(whole, path) / ARRAYS).open("r+b") as file:
        file.truncate(100 << 30)  # with holes: it takes no place


def _huge_json(whole, path):
    with (copy(whole, path) / JSON).open("r+b") as file:
        file.truncate(100 << 30)


def _link(name, target):
    def damage(whole, path):
        (copy(whole, path) / name).unlink()
        (path / name).symlink_to(target or Path(whole) / name)

    return damage


def _pipe(whole, path):
    (copy(whole, path) / ARRAYS).unlink()
    os.mkfifo(path / ARRAYS)


def _climbing(whole, path):
    about, _ = opened(copy(whole, path))
    shutil.copy(path / ARRAYS, path.parent / "outside")
    digests = {"../outside": [(path / ARRAYS).stat().st_size, "0"]}
    text = json.dumps({**about, "sha256": digests}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (path / JSON).write_text(json.dumps({**about, "sha256": {**digests, JSON: digest}}))


def _object(name, state):
    return _with(
        lambda about, _: {**about, "estimator": {"object": name, "name": "", "state": state}}
    )


def _moments(about, arrays):
    for name in arrays:
        if name.endswith("exp_avg"):
            arrays[name] = arrays[name].reshape(-1)[:1]


def _steps(about, arrays):
    for name in arrays:
        if name.endswith("step"):
            arrays[name] = arrays[name].reshape(1)


def _biases(about, arrays):
    for name in arrays:
        if name.endswith("encoder.bias"):
            arrays[name] = arrays[name][:1]


def _statistics(about, arrays):
    for name in arrays:
        if name.endswith("gram_codes"):
            arrays[name] = arrays[name][:1, :1]


DAMAGES = {
    "no json": _without(JSON),
    "no arrays": _without(ARRAYS),
    "pickle for json": _write(JSON, pickle.dumps(Bomb())),
    "pickle for arrays": _write(ARRAYS, pickle.dumps(Bomb())),
    "deep json": _write(JSON, b'{"format": 1, "estimator": ' + b"[" * 100_000),
    "a list": _write(JSON, b"[]"),
    "long number": _write(JSON, b'{"format": ' + b"9" * 10_000 + b"}"),
    "not text": _write(JSON, b"\xff\xfe"),
    "huge header": _huge_header,
    "huge tensor": _huge_tensor,
    "huge file": _huge_file,
    "huge json": _huge_json,
    "link to json": _link(JSON, None),
    "link to arrays": _link(ARRAYS, None),
    "endless link": _link(ARRAYS, "/dev/zero"),
    "pipe": _pipe,
    "path that climbs": _climbing,
    "no arrays in it": _with(lambda about, arrays: arrays.clear()),
    "format of text": _with(lambda about, _: {**about, "format": "1"}),
    "format zero": _with(lambda about, _: {**about, "format": 0}),
    "no estimator": _with(lambda about, _: {**about, "estimator": None}),
    "class of os": _object("os.system", {"dict": {}}),
    "class of builtins": _object("builtins.eval", {"dict": {}}),
    "module to import": _object("sklearn.__check_build.X", {"dict": {}}),
    "function of sklearn": _object("sklearn.datasets.load_files", {"dict": {}}),
    "class to inherit": _object("sklearn.base.BaseEstimator", {"dict": {}}),
    "other class": _object("sklearn.decomposition.PCA", {"dict": {}}),
    "no state": _object("skamort.estimators.SAEEncoder", None),
    "short moments": _with(_moments),
    "many counts of steps": _with(_steps),
    "short biases": _with(_biases),
    "small statistics": _with(_statistics),
}


def main():
    """Damage many copies of one saved estimator."""
    import tracemalloc
    import warnings

    import skamort

    warnings.simplefilter("ignore")
    X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    coder = skamort.AmortizedCoder(
        teacher=skamort.GradSparseCoder(6, max_iter=2),
        encoder=skamort.SAEEncoder(max_iter=2),
        random_state=0,
    )
    counts = {"refused": 0, "other numbers": 0}
    with tempfile.TemporaryDirectory() as folder:
        whole, path = Path(folder) / "whole", Path(folder) / "copy"
        coder.fit(X).save(whole)
        tracemalloc.start()
        for seed in range(int(sys.argv[1])):
            rng = np.random.default_rng(seed)
            (forged if seed % 2 else damaged)(whole, path, rng)
            try:
                skamort.load(path)
            except ValueError:
                counts["refused"] += 1
            else:
                counts["other numbers"] += 1
                assert seed % 2, f"the damage of seed {seed} was not noticed"
            assert not EVIL.exists(), f"seed {seed} was run"
            shutil.rmtree(path)
    print(counts, f"at most {tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
