"""Memory that a training step uses again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ._constants import constant


class Workspace:
    """Named tensors whose memory lasts from step to step.

    Fresh memory of the size of a batch's codes or of a large dictionary can cost more than what is
    computed in it: the system clears it page by page, and takes it back when it is freed.

    A copy is empty, and so is what is pickled.
    """

    def __init__(self) -> None:
        self._spaces: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, shape: Sequence[int] | None = None) -> Tensor:
        """Return a tensor of undefined values in the memory of this name.

        What was taken by the same name before is overwritten.

        Parameters
        ----------
        name : str
            Which memory.
        like : Tensor
            A tensor of the same dtype, on the same device.
        shape : sequence of int, optional
            The shape; that of `like` when absent.
        """
        shape = like.shape if shape is None else shape
        size, space = math.prod(shape), self._spaces.get(name)
        kind = like.dtype, like.device
        if space is None or space.numel() < size or (space.dtype, space.device) != kind:
            space = self._spaces[name] = like.new_empty(size)
        return space[:size].view(*shape)

    def take_on_cpu(
        self, name: str, like: Tensor, shape: Sequence[int] | None = None
    ) -> Tensor | None:
        """Return memory on the CPU; elsewhere None, for there the allocator keeps what is freed."""
        return self.take(name, like, shape) if like.device.type == "cpu" else None

    def take_for_gradient(self, name: str, parameter: nn.Parameter) -> Tensor | None:
        """Return memory for the first gradient of a parameter in a step, None for a further one."""
        return self.take_on_cpu(name, parameter) if parameter.grad is None else None

    def clear(self) -> None:
        """Let go of all memory."""
        self._spaces.clear()

    def __len__(self) -> int:
        return len(self._spaces)

    def __reduce__(self):
        return Workspace, ()


def add_gradient_rows(parameter: Tensor, rows: Tensor, gradient: Tensor) -> None:
    """Add to some rows of the gradient that a parameter has, if it is to be learned."""
    if parameter.grad is not None:
        parameter.grad.index_add_(0, rows, gradient)


def add_gradient_sum(parameter: nn.Parameter, rows: Tensor) -> None:
    """Add the sum of rows to the gradient that a parameter may have, if it is to be learned."""
    if parameter.requires_grad and rows.is_cuda and parameter.grad is not None:
        parameter.grad.addmv_(rows.T, constant(1.0, (len(rows),), rows))  # one operator for two
    else:
        add_gradient(parameter, rows.sum(0))


def add_gradient(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Add to the gradient of a parameter, if it is to be learned; the first of a step is taken as
    it is."""
    if not parameter.requires_grad:  # frozen, as by a callback
        return
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad.add_(gradient)
