"""What training does to tensors, whether they are of one model or of many.

Tensors of many models have a leading axis of models; the others are those of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .._triton import attempt, has_triton
from ..modules import constant


def project_on_sphere(gradient: Tensor, atoms: Tensor) -> None:
    """Take the part along each atom of unit norm from its gradient, in place.

    Parameters
    ----------
    gradient, atoms : Tensor of shape ([n_models,] n_components, n_features)
        The gradients and the atoms.
    """
    along = torch.linalg.vecdot(gradient, atoms).unsqueeze(-1)
    gradient.addcmul_(along, atoms, value=-1)


def tangent_part(gradient: Tensor, atoms: Tensor) -> Tensor:
    """Return what `project_on_sphere` leaves of the gradients of a matrix of atoms, by the operator
    behind the backward pass of `torch.nn.utils.parametrizations.weight_norm`."""
    lengths = constant(1.0, (len(atoms), 1), atoms)
    return torch.ops.aten._weight_norm_interface_backward(gradient, atoms, lengths, lengths, 0)[0]


def normalize_atoms(atoms: Tensor) -> None:
    """Rescale atoms to unit norm, in place; of shape ([n_models,] n_components, n_features)."""
    atoms.div_(torch.linalg.vector_norm(atoms, dim=-1, keepdim=True))


def clipping_factor(lengths: Tensor, max_norm: float | Tensor) -> Tensor:
    """Return the factor, at most 1, that shortens gradients which as one vector are too long.

    Parameters
    ----------
    lengths : Tensor of shape ([n_models,] n_parameters)
        Length of the gradient of each parameter, in its unit.
    max_norm : float or Tensor of shape (n_models,)
        The greatest length of all together.

    Returns
    -------
    factor : Tensor of shape () or (n_models,)
        By what to multiply the gradients.
    """
    return (max_norm / torch.linalg.vector_norm(lengths, dim=-1)).clamp(max=1)


def clear_denormals(values: Tensor) -> None:
    """Set the denormal numbers of a tensor of any shape to zero, in place."""
    values.masked_fill_(values.abs() < torch.finfo(values.dtype).tiny, 0)


def count_firing(counts: Tensor, silence: Tensor, fired: Tensor, n_rows: int) -> None:
    """Add a batch to what is known of latents, in place.

    Parameters
    ----------
    counts : Tensor of shape ([n_models,] n_components), int64
        On how many samples each latent fired.
    silence : Tensor of the same shape, int64
        Samples seen since each latent last fired.
    fired : Tensor of the same shape
        On how many samples of the batch each latent fired.
    n_rows : int
        Samples of the batch; they count as one moment.
    """

    def run() -> bool:
        from ._firing_triton import count_firing

        return count_firing(counts, silence, fired.contiguous(), n_rows)

    if not has_triton(counts.device) or attempt(run, counts.device) is None:
        counts.add_(fired.long())
        silence.add_(n_rows).masked_fill_(fired > 0, 0)


def mean_of_batches(values: Sequence[Any], n_rows: Sequence[int]) -> Any:
    """Return the mean a sample of numbers, or arrays of such, that are means of batches."""
    pairs = zip(values, n_rows, strict=True)
    return sum(value * size for value, size in pairs) / sum(n_rows)


def is_lowest(name: str, epochs: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a value of the last epoch is the lowest; those before say so by
    ``<name>_best``."""
    before = (epoch[name] for epoch in reversed(epochs) if epoch.get(f"{name}_best"))
    return epochs[-1][name] < next(before, math.inf)
