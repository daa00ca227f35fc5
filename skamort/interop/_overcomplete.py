"""overcomplete: modules, and their state dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ._files import is_path, read_torch
from ._weights import Weights, taken, tensors_of

_NAME = "from_overcomplete"


def from_overcomplete(source: Any, *, k: int | None = None, threshold: float | None = None) -> Any:
    """Take over an autoencoder of overcomplete with a linear encoder.

    Parameters
    ----------
    source : torch.nn.Module, str, path or mapping of str to Tensor
        A module, its `state_dict()`, or a file of it. A state dict does not say how the dictionary
        is normalized, and the default, to unit norm, is taken.
    k : int, default=None
        With a state dict of TopKSAE, its `top_k`, which is not in there; with one of BatchTopKSAE,
        codes a sample.
    threshold : float, default=None
        With a state dict of BatchTopKSAE, its `running_threshold`, which is not in there.

    Returns
    -------
    estimator : SAEEncoder, TopKSAE, BatchTopKSAE or JumpReLUSAE
        A fitted estimator with the same codes, up to the norms of atoms, and reconstructions.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the encoder is not linear, or weights are missing or of other shapes.

    Examples
    --------
    >>> import torch
    >>> from skamort.interop import from_overcomplete
    >>> state = {"encoder.final_block.0.weight": torch.eye(3, 2), "dictionary._weights":
    ...     torch.eye(3, 2) + 1, "encoder.final_block.0.bias": torch.zeros(3)}
    >>> int((from_overcomplete(state, k=1).transform([[1.0, 2.0]]) > 0).sum())
    1
    """
    dictionary = None
    if isinstance(source, nn.Module):
        k, threshold = k or getattr(source, "top_k", None), _running(source, threshold)
        dictionary = _of_module(source)
        source = source.state_dict()
    elif is_path(source):
        source = read_torch(source, "model.pt", _NAME)
    tensors = tensors_of(source, _NAME)
    atoms = _dictionary(tensors) if dictionary is None else dictionary
    encoder, bias = _linear(tensors, atoms)
    center = torch.zeros(atoms.shape[1])
    found = Weights(_NAME, encoder, bias, atoms, center, is_centered=False, activation="relu", k=k)
    if "thresholds" in tensors:
        found.activation, found.threshold = "jumprelu", _below(tensors["thresholds"].exp())
    elif threshold is not None:
        found.activation, found.k = "batch_topk", min(k or 1, len(atoms))
        found.threshold = _below(torch.as_tensor(threshold, dtype=atoms.dtype))
    elif k is not None:
        found.activation = "topk"
    return found.to_estimator()


def _of_module(module: Any) -> Tensor:
    return module.get_dictionary().detach().cpu()


def _running(module: nn.Module, threshold: float | None) -> float | None:
    found = getattr(module, "running_threshold", None) if threshold is None else threshold
    return None if found is None else float(found)


def _dictionary(tensors: Mapping[str, Tensor]) -> Tensor:
    (atoms,) = taken(tensors, "dictionary._weights", _NAME)
    factor = torch.exp(tensors.get("dictionary.multiplier", torch.zeros(())))
    return nn.functional.normalize(atoms, dim=1) * factor


def _linear(tensors: Mapping[str, Tensor], atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights and bias of the encoder: linear, or tied to the dictionary or not."""
    own = {name for name in tensors if name.startswith("encoder.")} - _KNOWN
    if own - {name for name in own if name.startswith("encoder.tied_to.")}:
        raise ValueError(
            f"{_NAME}: the encoder is not linear, it has {', '.join(sorted(own))}; pass the module "
            "to skamort.interop.wrap."
        )
    weight = tensors.get("encoder.final_block.0.weight", tensors.get("encoder.weight", atoms))
    bias = tensors.get("encoder.final_block.0.bias", tensors.get("encoder.bias"))
    return weight, weight.new_zeros(len(weight)) if bias is None else bias


_KNOWN = {
    "encoder.final_block.0.weight",
    "encoder.final_block.0.bias",
    "encoder.weight",
    "encoder.bias",
}


def _below(threshold: Tensor) -> Tensor:
    """Return what exceeds as much as reaches the threshold: theirs is kept, ours is not."""
    below = torch.nextafter(threshold, torch.full_like(threshold, -torch.inf))
    return below.where(threshold.isfinite(), threshold)
