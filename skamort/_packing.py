"""Values as data: what JSON and a dict of arrays can hold, and back. No code travels with them.

A packed value is None, a bool, a number, a text or a list of packed values, or a dict whose first
key says what it stands for:

    {"dict": {text: packed}}, {"tuple": [packed]}, {"set": [packed]}, {"number": "inf"}
    {"tensor": name}, {"array": name}, {"strings": [text]}, {"scalar": [dtype, number]}
    {"object": class, "name": name, "state": packed}     of a class that `_classes` knows
    {"same": name}                                       the tensor, array or object packed there

Arrays lie beside it under their names, which are paths: "net_.module.encoder.weight". `pack` is
strict and refuses what it does not know, as files need it; `Packed` is lenient and leaves it as it
is, as pickles need it, which have their own ways for all that is not a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from ._classes import class_of, name_of

_NUMERIC = "biuf"
_LARGEST_ITEM = 8
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class Packed:
    """Base of classes that hold tensors, and whose pickles hold arrays in place of these.

    A pickle of a tensor asks for the device where it lay. A subclass may say in `_parts` and
    `_take_parts` what makes an instance; by default it is all its attributes.
    """

    def _parts(self) -> dict[str, Any]:
        return dict(vars(self))

    def _take_parts(self, parts: dict[str, Any]) -> None:
        self.__dict__.update(parts)

    def __getstate__(self) -> dict[str, Any]:
        packer = _Packer()
        return {"packed": packer.pack(self._parts(), ""), "arrays": packer.arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.keys() != {"packed", "arrays"}:
            raise ValueError(
                f"{type(self).__name__}: this pickle is of another version of skamort; open it "
                "there and use `save`, whose directories every later version loads."
            )
        self._take_parts(_Unpacker(state["arrays"]).unpack(state["packed"]))


def pack(value: Any, owner: str, advice: str) -> tuple[Any, dict[str, np.ndarray], list[str]]:
    """Return a value packed, its arrays by name, and the classes of callbacks that are left out.

    Raises
    ------
    TypeError
        If there is something in it that files do not hold; the error begins with `owner`, who was
        to be packed, and ends with `advice`.
    """
    packer = _StrictPacker(owner, advice)
    return packer.pack(value, ""), packer.arrays, packer.left_out


def unpack(packed: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Undo `pack`; whatever is wrong with what comes in raises an exception of some kind."""
    return _Unpacker(arrays).unpack(packed)


class _Packer:
    """Packs values, and leaves as it is what it does not know."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._seen: dict[int, tuple[str, Any]] = {}  # the value too, or its id were free again

    def pack(self, value: Any, name: str) -> Any:
        """Return a value packed; `name` is its path."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"number": repr(value)}
        if type(value) is dict and all(type(key) is str for key in value):
            items = value.items()
            return {"dict": {key: self.pack(item, _join(name, key)) for key, item in items}}
        if type(value) in _SEQUENCES:
            return self._pack_sequence(value, name)
        if id(value) in self._seen:
            return {"same": self._seen[id(value)][0]}
        packed = self._pack_once(value, name)
        if isinstance(packed, dict) and _NAMED & packed.keys():
            self._seen[id(value)] = name, value
        return packed

    def _pack_sequence(self, value, name):
        items = [self.pack(item, _join(name, index)) for index, item in enumerate(value)]
        return items if type(value) is list else {_SEQUENCES[type(value)]: items}

    def _pack_once(self, value, name):
        """Pack what may be met again."""
        if isinstance(value, Tensor):
            return {"tensor": self._put(to_array(value), name)} | _dtype_of(value)
        if self._knows(value):
            state = self._state_of(value, name)
            return {"object": self._class_of(value), "name": name, "state": state}
        return self._pack_other(value, name)

    def _put(self, array, name):
        self.arrays[name] = array
        return name

    def _knows(self, value):
        return isinstance(value, nn.Module | Callback) or name_of(type(value)) is not None

    def _class_of(self, value):
        return name_of(type(value)) or type(value)

    def _state_of(self, value, name):
        if isinstance(value, nn.Module):
            return self._state_of_module(value, name)
        state = value._parts() if isinstance(value, Packed) else value.__getstate__()
        return self.pack(state, name)

    def _state_of_module(self, module, name):
        own = {key: item for key, item in vars(module).items() if key not in _OF_EVERY_MODULE}
        children = {**module._parameters, **module._buffers, **module._modules}
        packed = {key: self.pack(child, _join(name, key)) for key, child in children.items()}
        return {
            "training": module.training,
            "attributes": self.pack(own, name),
            "parameters": {key: packed[key] for key in module._parameters},
            "frozen": [k for k, p in module._parameters.items() if p is not None and _frozen(p)],
            "buffers": {key: packed[key] for key in module._buffers},
            "modules": {key: packed[key] for key in module._modules},
        }

    def _pack_other(self, value, name):  # noqa: ARG002
        return value


class _StrictPacker(_Packer):
    """Packs what files hold, and refuses the rest but for callbacks, which it leaves out."""

    def __init__(self, owner: str, advice: str):
        super().__init__()
        self.owner, self.advice = owner, advice
        self.left_out: list[str] = []

    def _pack_sequence(self, value, name):
        kept = [item for item in value if not self._is_foreign_callback(item)]
        return super()._pack_sequence(type(value)(kept), name)

    def _is_foreign_callback(self, item):
        callback = item[-1] if type(item) is tuple and item else item
        is_foreign = isinstance(callback, Callback) and not self._knows(callback)
        if is_foreign and type(callback).__name__ not in self.left_out:
            self.left_out.append(type(callback).__name__)
        return is_foreign

    def _knows(self, value):
        return name_of(type(value)) is not None

    def _pack_other(self, value, name):
        if isinstance(value, np.ndarray) and type(value) in (np.ndarray, np.memmap):
            return self._pack_array(value, name)
        if isinstance(value, np.generic) and _is_numeric(value.dtype):
            return {"scalar": [value.dtype.name, value.item()]}
        if isinstance(value, np.random.RandomState):
            return {"random_state": self.pack(value.get_state(legacy=False), name)}
        if isinstance(value, Path):
            return {"path": str(value)}
        raise self._refusal(value, name)

    def _pack_array(self, array, name):
        if _is_numeric(array.dtype):
            if array.flags.f_contiguous and not array.flags.c_contiguous:
                return {"transposed": self._put(array.T, name)}  # sums go by the layout
            return {"array": self._put(array, name)}
        texts = array.tolist()
        if array.ndim != 1 or not all(type(text) is str for text in texts):
            raise self._refusal(array, name)
        return {"strings": texts, "kind": array.dtype.kind}

    def _refusal(self, value, name):
        what = type(value).__name__
        if isinstance(value, np.ndarray):
            what += f" of {value.dtype}"
        return TypeError(
            f"{self.owner}: {name or 'the object itself'} is a {what}; files hold numbers, texts, "
            "arrays, lists, dicts of these by texts, and objects of skamort, scikit-learn and "
            "torch.nn. " + self.advice
        )


class _Unpacker:
    """Undoes what a packer did."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays = arrays
        self._seen: dict[str, Any] = {}

    def unpack(self, value: Any) -> Any:
        """Return what a packed value stands for."""
        if type(value) is list:
            return [self.unpack(item) for item in value]
        if type(value) is not dict:
            return value
        tag, content = next(iter(value.items()))
        if tag == "dict":
            return {key: self.unpack(item) for key, item in content.items()}
        if tag in _OF_ITEMS:
            return _OF_ITEMS[tag](self.unpack(content))
        if tag == "same":
            return self._seen[content]
        if tag in _NAMED:
            name = value["name"] if tag == "object" else content
            self._seen[name] = found = getattr(self, f"_{tag}")(value)
            return found
        return _FROM_TEXT[tag](value)

    def _tensor(self, value):
        tensor = torch.from_numpy(_own(self.arrays[value["tensor"]]))
        return tensor.view(torch.bfloat16) if "dtype" in value else tensor

    def _array(self, value):
        return _own(self.arrays[value["array"]])

    def _transposed(self, value):
        return _own(self.arrays[value["transposed"]]).T

    def _object(self, value):
        cls = value["object"]
        cls = class_of(cls) if isinstance(cls, str) else cls
        made = cls.__new__(cls)
        if issubclass(cls, nn.Module):
            self._fill_module(made, value["state"])
            return made
        state = self.unpack(value["state"])
        if issubclass(cls, Packed):
            made._take_parts(state)
        elif hasattr(made, "__setstate__"):
            made.__setstate__(state)
        elif state is not None:
            made.__dict__.update(state)
        return made

    def _fill_module(self, module, state):
        nn.Module.__init__(module)
        module.__dict__.update(self.unpack(state["attributes"]))
        for name, packed in state["parameters"].items():
            tensor = self.unpack(packed)
            learned = name not in state["frozen"]
            parameter = tensor if tensor is None else nn.Parameter(tensor, requires_grad=learned)
            module.register_parameter(name, parameter)
        for name, packed in state["buffers"].items():
            module.register_buffer(name, self.unpack(packed))
        for name, packed in state["modules"].items():
            module.register_module(name, self.unpack(packed))
        module.training = state["training"]


_NAMED = frozenset({"tensor", "array", "transposed", "object"})
_SEQUENCES: dict[type, str] = {list: "list", tuple: "tuple", frozenset: "frozenset", set: "set"}
_OF_ITEMS: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "frozenset": frozenset,
    "set": set,
    "random_state": lambda state: _random_state(state),
}
_FROM_TEXT: dict[str, Callable[[dict], Any]] = {
    "number": lambda value: float(value["number"]),
    "path": lambda value: Path(value["path"]),
    "scalar": lambda value: _numeric(value["scalar"][0]).type(value["scalar"][1]),
    "strings": lambda value: np.array(
        value["strings"], dtype=object if value["kind"] == "O" else str
    ),
}


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _frozen(parameter: nn.Parameter) -> bool:
    return not parameter.requires_grad


def to_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array, which may share its memory; bfloat16 as integers of its bits."""
    tensor = tensor.detach().cpu().contiguous()
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _dtype_of(tensor: Tensor) -> dict[str, str]:
    return {"dtype": "bfloat16"} if tensor.dtype == torch.bfloat16 else {}  # NumPy has none


def _is_numeric(dtype: np.dtype) -> bool:
    return dtype.kind in _NUMERIC and dtype.itemsize <= _LARGEST_ITEM and dtype.isnative


def _numeric(name: str) -> np.dtype:
    dtype = np.dtype(name)
    if not _is_numeric(dtype):
        raise ValueError(f"no number is a {name}")
    return dtype


def _own(array: np.ndarray) -> np.ndarray:
    """Return an array that may be written to; those of a file or of another process may not."""
    return array if array.flags.writeable else array.copy()


def _random_state(state: dict[str, Any]) -> np.random.RandomState:
    made = np.random.RandomState()
    made.set_state(state)
    return made
