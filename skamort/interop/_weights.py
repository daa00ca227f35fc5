"""What all formats come to: the weights of a sparse autoencoder with a linear encoder.

    A = (X - b_dec) W_enc + b_enc  or  X W_enc + b_enc,    X_hat = Z W_dec + b_dec

and Z is relu(A), its k largest entries, those above thresholds, or relu(exp(r) A + s) where A > 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..estimators import (
    BatchTopKSAE,
    GatedSAE,
    JumpReLUSAE,
    MatryoshkaSAE,
    SAEEncoder,
    TopKSAE,
    assembled,
)

# Norms of atoms that are equal but for this are taken for equal.
_ROUNDING = 1e-4
_FLOATS = (torch.float32, torch.float64)


@dataclass
class Weights:
    """The weights of an autoencoder, whatever package has trained it.

    Attributes
    ----------
    source : str
        Who asks, for errors.
    encoder : Tensor of shape (n_components, n_features)
        W_enc, transposed.
    bias : Tensor of shape (n_components,)
        b_enc.
    decoder : Tensor of shape (n_components, n_features)
        W_dec.
    center : Tensor of shape (n_features,)
        b_dec.
    is_centered : bool
        Whether b_dec is subtracted from X before it is encoded.
    activation : {"relu", "topk", "batch_topk", "jumprelu", "gated"}
        How codes follow.
    k : int or None
        How many are kept.
    threshold : Tensor of shape (n_components,) or () or None
        What pre-activations must exceed to be kept.
    log_scale, shift : Tensor of shape (n_components,) or None
        r and s of gates.
    prefix_sizes : list of int or None
        How many of the first latents reconstruct alone.
    norms_count : bool
        Whether pre-activations times the norms of the atoms decide what is kept, of such that
        compete.
    """

    source: str
    encoder: Tensor
    bias: Tensor
    decoder: Tensor
    center: Tensor
    is_centered: bool
    activation: str
    k: int | None = None
    threshold: Tensor | None = None
    log_scale: Tensor | None = None
    shift: Tensor | None = None
    prefix_sizes: list[int] | None = None
    norms_count: bool = False

    def to_estimator(self) -> Any:
        """Return the estimator that encodes and decodes as the autoencoder does."""
        self._check()
        weights, bias, atoms = self.encoder, self.bias, self.decoder
        if not self.is_centered:
            bias = bias + weights @ self.center
        scale = self._scale()
        atoms = atoms / scale.unsqueeze(1)
        weights, bias = weights * scale.unsqueeze(1), bias * scale
        estimator, state = self._estimator(scale)
        return assembled(estimator, weights, bias, atoms, self.center, **state)

    def _check(self) -> None:
        n, m = self.decoder.shape
        shapes = {"encoder": (n, m), "bias": (n,), "decoder": (n, m), "center": (m,)}
        for name, shape in shapes.items():
            tensor = getattr(self, name)
            if tuple(tensor.shape) != shape or not tensor.isfinite().all():
                raise ValueError(
                    f"{self.source}: the {name} must be finite and of shape {shape}, to fit the "
                    f"decoder, got shape {tuple(tensor.shape)}; give the files as they were saved."
                )

    def _scale(self) -> Tensor:
        """Return what atoms are divided by, and codes multiplied with, to have unit norm.

        Where latents compete by pre-activations alone, other norms than equal ones stay.
        """
        norms = torch.linalg.vector_norm(self.decoder, dim=1)
        norms = torch.where(norms > 0, norms, 1.0)
        if self.activation in ("topk", "batch_topk") and not self.norms_count:
            mean = norms.mean()
            are_equal = ((norms - mean).abs() <= _ROUNDING * mean).all()
            return mean.expand_as(norms) if are_equal else torch.ones_like(norms)
        return norms

    def _estimator(self, scale: Tensor) -> tuple[Any, dict[str, Any]]:
        """Return the estimator, not fitted, and the state of its activation."""
        n_components = len(scale)
        if self.activation == "relu":
            return SAEEncoder(n_components), {}
        if self.activation == "topk":
            return TopKSAE(n_components, k=self.k), {}
        if self.activation == "gated":
            state = {"log_scale": self.log_scale, "shift": torch.as_tensor(self.shift) * scale}
            return GatedSAE(n_components), state
        threshold = torch.as_tensor(self.threshold).to(scale).clamp(min=0)
        if self.activation == "batch_topk":
            factor = 1.0 if self.norms_count else scale[0]
            state = {"threshold": threshold * factor, "n_batches": torch.ones(())}
            if self.prefix_sizes is not None:
                sizes = self.prefix_sizes
                return MatryoshkaSAE(n_components, k=self.k, prefix_sizes=sizes), state
            return BatchTopKSAE(n_components, k=self.k), state
        threshold = threshold * scale
        start = threshold[threshold > 0].median() if (threshold > 0).any() else scale.new_ones(())
        estimator = JumpReLUSAE(n_components, alpha=start.square().item() / 2)
        return estimator, {"log_threshold": threshold.log(), "start": start}


def tensors_of(state: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """Return the arrays and tensors of a state on the CPU, half precision as float32."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"{source} takes a path or a state dict, got {type(state).__name__}; give it the "
            "module's state_dict()."
        )
    return {name: _tensor(value) for name, value in state.items() if _is_array(value)}


def taken(tensors: Mapping[str, Tensor], names: str, source: str) -> list[Tensor]:
    """Return tensors by their names, given as one text, or say which are missing."""
    missing = [name for name in names.split() if name not in tensors]
    if missing:
        raise ValueError(
            f"{source}: {', '.join(missing)} not found among {', '.join(sorted(tensors))}; give a "
            "state dict of that package and architecture."
        )
    return [tensors[name] for name in names.split()]


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _tensor(value: Any) -> Tensor:
    tensor = torch.as_tensor(value).detach().cpu()
    is_half = tensor.is_floating_point() and tensor.dtype not in _FLOATS
    return tensor.float() if is_half else tensor
