"""Texts that are there wherever skamort is: what packages say of their own functions."""

import importlib
import inspect
import re
from collections.abc import Iterator

PACKAGES = ("numpy", "scipy", "sklearn", "torch")


def docstrings(modules: list[str], until: str = r"\Z", methods: bool = False) -> dict[str, str]:
    """Return docstrings of more than 300 letters by name, each as far as a pattern goes.

    Of names that share a text the first stands for all.
    """
    by_text = {}
    for name, text in (pair for module in modules for pair in _members(module, methods)):
        text = re.split(until, text)[0]
        if len(text) > 300 and "._" not in name:
            by_text.setdefault(text, name)
    return {name: text for text, name in by_text.items()}


def _members(module: str, methods: bool) -> Iterator[tuple[str, str]]:
    """Yield names of what a module offers, and of its classes' methods, with their docstrings."""
    for name, member in inspect.getmembers(importlib.import_module(module), callable):
        yield f"{module}.{name}", inspect.getdoc(member) or ""
        if methods and inspect.isclass(member) and member.__module__.startswith(PACKAGES):
            for method, function in inspect.getmembers(member, callable):
                yield f"{module}.{name}.{method}", inspect.getdoc(function) or ""
