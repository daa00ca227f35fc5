"""What every fit goes through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch

from .._compat import fit_context
from .._device import OutOfMemory, telling_out_of_memory
from .._fitted import is_fitted


def fitting(*, prefer_skip_nested_validation: bool) -> Callable[[Callable], Any]:
    """Check parameters as scikit-learn does; learn within `torch.inference_mode` too, whose
    tensors would have no gradients; leave nothing half fitted where a GPU has too little memory."""
    context = fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)

    def decorate(fit: Callable) -> Callable:
        checked = torch.inference_mode(False)(context(fit))

        @wraps(fit)
        def whole(self, *args, **kwargs):
            goes_on = fit.__name__ == "partial_fit" or getattr(self, "warm_start", False)
            is_kept = goes_on and is_fitted(self)
            tell = partial(_tell, self, fit.__name__)
            with telling_out_of_memory(type(self).__name__, tell):
                try:
                    return checked(self, *args, **kwargs)
                except (OutOfMemory, MemoryError):
                    if not is_kept:
                        self._forget()
                    raise

        return whole

    return decorate


def _tell(estimator: Any, name: str) -> tuple[str, str]:
    """Return what memory was too small for, and what to do."""
    sizes = [size for size in ("batch_size", "n_components") if hasattr(estimator, size)]
    told = [f"{size}={getattr(estimator, size)!r}" for size in sizes]
    return ", ".join([name, *told]), f"lower {' or '.join(sizes)}, or set device='cpu'"
