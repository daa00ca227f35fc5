"""Devices by name."""

from __future__ import annotations

import torch


def is_missing(device: torch.device | str) -> bool:
    """Whether torch does not see a CUDA device here."""
    device = torch.device(device)
    return device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()


def numbered(device: torch.device) -> torch.device:
    """Return the device with its number, the current one's where it has none."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())
