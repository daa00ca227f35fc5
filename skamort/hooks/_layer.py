"""One layer of a model, found by its name: its output read, or another put in its place.

An output is a tensor (n_texts, n_positions, n_features) or (n_texts, n_features), or the first
entry of a tuple, as blocks of transformers return it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the submodule of this name; one that does not exist raises ValueError."""
    layers = dict(model.named_modules())
    if not isinstance(name, str):
        raise TypeError(
            f"layer must be the name of a submodule, such as {list(layers)[-1]!r}, got a "
            f"{type(name).__name__}."
        )
    if name in layers:
        return layers[name]
    near = get_close_matches(name, layers, n=5, cutoff=0.3) or [n for n in layers if n][:5]
    raise ValueError(
        f"{type(model).__name__} has no layer {name!r}; near it are {', '.join(map(repr, near))}. "
        "model.named_modules() lists all."
    )


@contextmanager
def replaced(model: nn.Module, name: str, new: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Within, what the layer returns is `new` of its output, or the output itself for None."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        values = output_tensor(output, name)
        changed = new(values)
        if changed is None:
            return None
        changed = changed.to(values)
        return changed if isinstance(output, Tensor) else (changed, *output[1:])

    handle = find_layer(model, name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def output_tensor(output: Any, name: str) -> Tensor:
    """Return the activations within what the layer returned."""
    values = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(values, Tensor) or values.ndim not in (2, 3):
        got = f"a tensor of shape {tuple(values.shape)}" if isinstance(values, Tensor) else None
        raise TypeError(
            f"layer {name!r} must return a tensor of shape (n_texts, n_positions, n_features) or "
            f"(n_texts, n_features), alone or first in a tuple, got {got or type(values).__name__}."
        )
    return values


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Within, the model is in eval mode; after, every module is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def check_batches(batches: Any) -> None:
    """Raise TypeError for one batch in place of several."""
    if isinstance(batches, (Tensor, np.ndarray, str)) or hasattr(batches, "items"):
        raise TypeError(
            f"batches must be several, such as a list or a DataLoader, got one "
            f"{type(batches).__name__}; put it into a list."
        )


def call(model: nn.Module, batch: Any) -> Any:
    """Return the model's output for a batch, brought to its device."""
    batch = on_device(batch, device_of(model))
    if isinstance(batch, dict):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple) else model(batch)


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's first parameter or buffer lies; the CPU where it has none."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def on_device(batch: Any, device: torch.device) -> Any:
    """Return a batch as the model takes it: keywords as a dict, several inputs as a tuple."""
    if hasattr(batch, "items"):
        return {name: on_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(on_device(value, device) for value in batch)
    if isinstance(batch, (str, bytes, bool, type(None))):
        return batch
    return torch.as_tensor(batch, device=device)


def inputs_of(batch: Any) -> Tensor:
    """Return what the model reads first: `input_ids` where a batch has them."""
    if hasattr(batch, "items"):
        batch = batch["input_ids"] if "input_ids" in batch else next(iter(batch.values()))
    return torch.as_tensor(batch[0] if isinstance(batch, tuple) else batch)


class _Stopped(Exception):
    """The layer has been read: what comes after it need not be computed."""


def read_layer(model: nn.Module, name: str, batch: Any) -> Tensor:
    """Return the layer's output for a batch, computed no further than that."""
    read: list[Tensor] = []

    def keep(values: Tensor) -> None:
        read.append(values)
        raise _Stopped

    try:
        with replaced(model, name, keep):
            call(model, batch)
    except _Stopped:
        return read[0]
    raise ValueError(
        f"{type(model).__name__} did not call its layer {name!r} on this batch; name one that its "
        "forward pass goes through."
    )
