"""Triton: where its kernels run, and how they are launched.

Importing this module imports nothing optional; a module of kernels may only be imported where
`has_triton` says yes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar

import torch

from ._device import OutOfMemory

Result = TypeVar("Result")

# Ampere, the first that multiplies bfloat16; older ones are not tried.
_LEAST_CAPABILITY = 8
_LEAST_VERSION = 3, 6  # the first that was tried
_LOGGER = logging.getLogger(__package__)
_broken: set[torch.device] = set()  # where a kernel could not be built or launched


def has_triton(device: torch.device) -> bool:
    """Tell whether kernels run on a device: a GPU of compute capability 8.0 or more, where Triton
    is installed and has not failed."""
    return (
        device.type == "cuda"
        and _is_installed()
        and device not in _broken
        and torch.cuda.get_device_properties(device).major >= _LEAST_CAPABILITY
    )


@cache
def _is_installed() -> bool:
    if find_spec("triton") is None:
        return False
    import triton

    return tuple(map(int, triton.__version__.split(".")[:2])) >= _LEAST_VERSION


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **settings: Any) -> None:
    """Launch a kernel on the device of its first tensor, for every place of a grid that is not
    empty.

    Parameters
    ----------
    kernel : triton.JITFunction
        The kernel.
    grid : tuple of int
        How many programs, along up to three axes.
    *arguments
        What it takes: tensors, one of them first, and numbers; tuples of such too.
    **settings
        Its constants, and Triton's settings such as `num_warps`.
    """
    first = arguments[0]
    while isinstance(first, tuple):
        first = first[0]
    if all(grid):
        with torch.cuda.device_of(first):  # else Triton takes the current one
            # Fused multiplications and additions, which a later Triton must be asked for.
            kernel[grid](*arguments, enable_fp_fusion=True, **settings)


def attempt(run: Callable[[], Result], device: torch.device) -> Result | None:
    """Return the result of kernels on a device, or None where Triton fails there.

    It may lack a compiler, or be of a version that does not know the kernels. That is said once,
    and `has_triton` is then False.
    """
    try:
        return run()
    except OutOfMemory:
        raise
    except Exception as error:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            raise  # nothing can take their place in a graph, which is broken
        _broken.add(device)
        _LOGGER.warning(
            "Triton's kernels fail on %s, torch's operators take their place, several times "
            "slower: %s: %s",
            device, type(error).__name__, error,
        )  # fmt: skip
        return None
