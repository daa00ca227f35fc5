"""Classes by name: those of which a file may ask for an instance.

They are the classes of skamort, the estimators of scikit-learn and the layers of torch that our
modules are made of. The name of one is that of its room and its own, whatever private file it
stands in: "skamort.modules.LinearEncoder".
"""

from __future__ import annotations

import importlib
import sys
from functools import lru_cache
from typing import Any

import sklearn
from sklearn.base import BaseEstimator
from torch import nn

_LAYERS = (nn.Linear, nn.ModuleList, nn.ReLU, nn.Sequential)


def name_of(cls: type) -> str | None:
    """Return the name of a class; None where files hold no instances of it."""
    root = cls.__module__.partition(".")[0]
    is_ours = root == "skamort" and "<locals>" not in cls.__qualname__
    if is_ours or cls in _LAYERS:
        return _public(cls)
    if root == "sklearn" and issubclass(cls, BaseEstimator):
        name = _public(cls)
        return name if _of_sklearn(name) is cls else None
    return None


def class_of(name: str) -> type:
    """Return the class of a name that `name_of` gave.

    Raises
    ------
    LookupError
        If there is none.
    """
    root = name.partition(".")[0]
    found = _of_sklearn(name) if root == "sklearn" else _loaded(len(sys.modules)).get(name)
    if found is None:
        raise LookupError(f"there is no class {name!r} among those that a file may ask for")
    return found


def _public(cls: type) -> str:
    parts = [part for part in cls.__module__.split(".") if not part.startswith("_")]
    return ".".join([*parts, cls.__qualname__])


@lru_cache(maxsize=1)
def _loaded(n_modules: int) -> dict[str, type]:  # noqa: ARG001  (more may have come)
    """Return the classes of skamort, all of which are loaded with it, and the layers, by name."""
    modules = [module for key, module in list(sys.modules.items()) if key.startswith("skamort.")]
    found: dict[str, type] = {_public(layer): layer for layer in _LAYERS}
    for module in modules:
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == module.__name__:
                found[_public(value)] = value
    return found


def _of_sklearn(name: str) -> Any:
    """Return an estimator that a public module of scikit-learn hands out, or None."""
    _, _, rest = name.partition(".")
    room, _, own = rest.partition(".")
    if room not in sklearn.__all__ or not own.isidentifier() or own.startswith("_"):
        return None
    found = getattr(importlib.import_module(f"sklearn.{room}"), own, None)
    return found if isinstance(found, type) and issubclass(found, BaseEstimator) else None
