"""What was set on an estimator, in words."""

from __future__ import annotations

import inspect
from typing import Any

_LONGEST = 200


def parameters_of(estimator: Any) -> tuple[dict[str, str], dict[str, str]]:
    """All parameters of an estimator in words, and those that differ from their defaults."""
    if not hasattr(estimator, "get_params"):
        return {}, {}
    values = estimator.get_params(deep=False)
    signature = inspect.signature(type(estimator).__init__).parameters
    every = {name: _describe(value) for name, value in values.items()}
    changed = {
        name: text
        for name, text in every.items()
        if name not in signature or text != _describe(signature[name].default)
    }
    return every, changed


def seeds_of(estimator: Any) -> str:
    """The seeds of an estimator and of those inside it."""
    values = estimator.get_params() if hasattr(estimator, "get_params") else {}
    seeds = {name: value for name, value in values.items() if name.endswith("random_state")}
    if list(seeds) == ["random_state"]:
        return _describe(seeds["random_state"])
    return ", ".join(f"{name}={_describe(value)}" for name, value in seeds.items()) or "no seed"


def _describe(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"array of shape {tuple(value.shape)}, {value.dtype}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        _, changed = parameters_of(value)
        inside = ", ".join(f"{name}={text}" for name, text in changed.items())
        return f"{type(value).__name__}({inside})"
    text = getattr(value, "__qualname__", None) or repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
