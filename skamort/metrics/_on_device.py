"""Rows on the device of an estimator, for metrics that solve: as tensors, and their objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._device import as_held, resolve_device
from .._matrices import Codes, as_dense
from .._validation import as_tensor


def device_of(estimator: Any) -> torch.device:
    """The device of an estimator; the CPU where it has none."""
    return resolve_device(getattr(estimator, "device", None) or "cpu", estimator)


def placed(
    X: np.ndarray, codes: Codes, dictionary: np.ndarray, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, their codes and the dictionary on a device, in the dtype of the rows."""
    x = torch.from_numpy(X).to(device)
    z = as_tensor(as_dense(codes), "codes", like=x, check=False)
    return x, z, as_held(dictionary, "dictionary", x)


def objectives(X: Tensor, codes: Tensor, atoms: Tensor, alpha: float = 0.0) -> Tensor:
    """1/2 ||x - z D||^2 + alpha ||z||_1 of each sample, in float64."""
    codes = codes.double()
    residual = X.double() - codes @ atoms.double()
    return 0.5 * residual.square().sum(dim=1) + alpha * codes.abs().sum(dim=1)
