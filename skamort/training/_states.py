"""The states of a net's callbacks, which outlast the process and the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def states_of(net):
    """Return the states of the callbacks by name: their own, or those of parts that have one, such
    as a scheduler of torch."""
    return {
        name: callback.state_dict()
        if _has_state(callback)
        else {key: part.state_dict() for key, part in _parts(callback).items()}
        for name, callback in net.callbacks_
    }


def load_states(net, states):
    """Give callbacks their states; those that came since then begin without."""
    for name, callback in net.callbacks_:
        state = moved(states.get(name, {}), net.device)
        if state and _has_state(callback):
            callback.load_state_dict(state)
        elif state:
            for key, part in _parts(callback).items():
                if key in state:
                    part.load_state_dict(state[key])


def _parts(callback):
    return {key: part for key, part in vars(callback).items() if _has_state(part)}


def _has_state(part):
    has_both = hasattr(part, "state_dict") and hasattr(part, "load_state_dict")
    return has_both and not isinstance(part, type)


def moved(value: Any, device: torch.device | str) -> Any:
    """Move the tensors in a value to a device."""
    if isinstance(value, dict):
        return {key: moved(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, device) for item in value]
    return value.to(device) if isinstance(value, Tensor) else value
