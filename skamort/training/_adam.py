"""Adam in few operators."""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap

import numpy as np
import torch
from torch import Tensor

from .._triton import attempt, has_triton
from ._rules import normalize_atoms, tangent_part

# A row of more does not fit the registers of a program.
_MOST_FEATURES = 8192


class FusedAdam(torch.optim.Adam):
    """Adam that counts the steps of all parameters by one operator, and updates those of a group by
    another; on a GPU a kernel updates all of them.

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

    # Without what keeps torch's compiler away from them, which imports it: most of a second.
    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)

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
            if not self._step_by_kernel(gathered):
                self._step_by_operators(gathered)
        return loss

    def _gather(self, group: dict) -> list[list[Tensor]]:
        """Return parameters, gradients, moments and counts of the group's that have a gradient."""
        lists: list[list[Tensor]] = [[] for _ in range(6)]
        self._init_group(group, *lists)
        return lists

    def _step_by_kernel(self, gathered: list[tuple[dict, list[list[Tensor]]]]) -> bool:
        """Take a step by one launch, and return True, where a kernel does so."""
        parts = [
            (*part, _rate(group["lr"], part[0]), group["eps"])
            for group, (*lists, _, counts) in gathered
            for part in zip(*lists, counts, strict=True)
        ]
        if not all(steps_by_kernel(tensor) for part in parts for tensor in part[:2]):
            return False

        def run() -> bool:
            from ._adam_triton import step

            return step(parts, self.on_sphere, gathered[0][0]["betas"])

        return attempt(run, parts[0][0].device) is not None

    def _step_by_operators(self, gathered: list[tuple[dict, list[list[Tensor]]]]) -> None:
        for group, lists in gathered:
            parameters, gradients = lists[:2]
            on_sphere = [i for i, p in enumerate(parameters) if p is self.on_sphere]
            for i in on_sphere:
                gradients[i] = tangent_part(gradients[i], parameters[i])
            beta1, beta2 = group["betas"]
            torch._fused_adam_(
                *lists, lr=_rate(group["lr"], parameters[0]), beta1=beta1, beta2=beta2,
                weight_decay=0.0, eps=group["eps"], amsgrad=False, maximize=False,
            )  # fmt: skip
            for i in on_sphere:
                normalize_atoms(parameters[i])


def steps_by_kernel(tensor: Tensor) -> bool:
    """Tell whether a kernel takes a step of such a parameter, faster than operators would."""
    return has_triton(tensor.device) and tensor.dtype == torch.float32 and tensor.is_contiguous()


def steps_on_sphere(atoms: Tensor) -> bool:
    """Tell whether that takes steps of atoms on the sphere too."""
    return steps_by_kernel(atoms) and atoms.shape[1] <= _MOST_FEATURES


def _rate(rate: float | Tensor, parameter: Tensor) -> float | Tensor:
    if isinstance(rate, Tensor) or not parameter.is_cuda:
        return rate
    return float(np.float32(rate))
