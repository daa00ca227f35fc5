"""The states of a net and of its callbacks, which outlast the process and the device."""

from __future__ import annotations

from typing import Any

import torch
from skorch.history import History
from torch import Tensor


def progress_of(net: Any) -> dict[str, Any]:
    """Return what the rest of a run depends on beside weights, loss and callbacks."""
    finished = net.history if net.pass_ is None else net.history[:-1]
    moments = net.optimizer_.state
    return {
        "generator": net.generator.get_state(),
        "history": [{k: v for k, v in row.items() if k != "batches"} for row in finished],
        "learning_rates": [group["lr"] for group in net.optimizer_.param_groups],
        "moments": {
            name: moments[parameter]
            for name, parameter in net.module_.named_parameters()
            if parameter in moments
        },
    }


def restore_progress(net: Any, progress: dict[str, Any]) -> None:
    """Let a net with the same weights go on from there.

    Raises
    ------
    ValueError
        If the moments are not those of the parameters.
    """
    net.generator.set_state(progress["generator"])
    net.history = History([{"batches": [], **epoch} for epoch in progress["history"]])
    rates = progress["learning_rates"]
    for group, rate in zip(net.optimizer_.param_groups, rates, strict=True):
        group["lr"] = rate
    parameters = dict(net.module_.named_parameters())
    for name, moments in progress["moments"].items():
        parameter = parameters[name]
        _check_moments(name, moments, parameter)
        net.optimizer_.state[parameter] = moved(moments, parameter.device)


def _check_moments(name, moments, parameter):
    """Refuse what the optimizer, which trusts shapes, would write beyond."""
    wrong = [
        key
        for key in ("exp_avg", "exp_avg_sq")
        if (moments[key].shape, moments[key].dtype) != (parameter.shape, parameter.dtype)
    ]
    if wrong or moments["step"].shape != ():
        raise ValueError(f"the moments of {name} have not its shape and dtype")


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
    """Give callbacks copies of their states, which they may change; those that came since then
    begin without."""
    for name, callback in net.callbacks_:
        state = moved(states.get(name, {}), net.device, copy=True)
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


def moved(value: Any, device: torch.device | str, copy: bool = False) -> Any:
    """Move the tensors in a value to a device; copy those that are there too, where asked to."""
    if isinstance(value, dict):
        return {key: moved(item, device, copy) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, device, copy) for item in value]
    return value.to(device, copy=copy) if isinstance(value, Tensor) else value
