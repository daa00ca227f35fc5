"""Adam in few operators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .._triton import attempt, has_triton
from ._rules import normalize_atoms, tangent_part

# A row of more does not fit the registers of a program.
_MOST_FEATURES = 8192


class FusedAdam(torch.optim.Adam):
    """Adam that counts the steps of all parameters by one operator, and updates those of a group by
    another.

    On a GPU a step size has the numbers of float32, as that which a CUDA graph reads there.

    Parameters
    ----------
    groups : list of dict
        Of the parameters: "params", "lr" and "eps" of each group.

    Attributes
    ----------
    on_sphere : Tensor of shape (n_components, n_features) or None
        A parameter whose rows have unit norm and keep it: their gradient loses its part along them
        before a step, and they are rescaled after it.
    """

    on_sphere: Tensor | None = None

    def __init__(self, groups: list[dict]):
        # The fused kernel: on the CPU ten times faster than the default loop on large dictionaries.
        super().__init__(groups, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take a step after `closure`, which leaves the gradients and returns the loss."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        gathered = [(group, self._gather(group)) for group in self.param_groups]
        gathered = [(group, lists) for group, lists in gathered if lists[0]]
        if gathered:
            torch._foreach_add_([step for _, lists in gathered for step in lists[-1]], 1)
        for group, lists in gathered:
            self._step_on_sphere(group, lists)
            _update(group, lists)
        return loss

    def _step_on_sphere(self, group: dict, lists: list[list[Tensor]]) -> None:
        """Take a step of what is on the sphere, and take it out of the lists."""
        place = next((i for i, p in enumerate(lists[0]) if p is self.on_sphere), None)
        if place is None:
            return
        own = [[part.pop(place)] if part else [] for part in lists]
        (atoms,), (gradient,), (mean,), (square,), _, (count,) = own

        def run() -> bool:
            from ._adam_triton import step_rows

            rate = _rate(group["lr"], atoms)
            return step_rows(
                atoms, gradient, mean, square, count, rate, group["betas"], group["eps"]
            )

        if attempt(run, atoms.device) is None:
            own[1] = [tangent_part(gradient, atoms)]
            _update(group, own)
            normalize_atoms(atoms)

    def _gather(self, group: dict) -> list[list[Tensor]]:
        """Return parameters, gradients, moments and counts of the group's that have a gradient."""
        lists: list[list[Tensor]] = [[] for _ in range(6)]
        self._init_group(group, *lists)
        return lists


def _update(group: dict, lists: list[list[Tensor]]) -> None:
    if lists[0]:
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            *lists, lr=_rate(group["lr"], lists[0][0]), beta1=beta1, beta2=beta2,
            weight_decay=0.0, eps=group["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip


def steps_on_sphere(atoms: Tensor) -> bool:
    """Tell whether a kernel takes a step of atoms on the sphere, faster than operators would."""
    return (
        has_triton(atoms.device)
        and atoms.dtype == torch.float32
        and atoms.is_contiguous()
        and atoms.shape[1] <= _MOST_FEATURES
    )


def _rate(rate: float | Tensor, parameter: Tensor) -> float | Tensor:
    if isinstance(rate, Tensor) or not parameter.is_cuda:
        return rate
    return float(np.float32(rate))
