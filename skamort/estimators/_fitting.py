"""What every fit goes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .._compat import fit_context


def fitting(*, prefer_skip_nested_validation: bool) -> Callable[[Callable], Any]:
    """Check parameters as scikit-learn does, and learn within `torch.inference_mode` too, whose
    tensors would have no gradients."""
    context = fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)
    return lambda fit: torch.inference_mode(False)(context(fit))
