"""What all formats come to: the weights of a sparse autoencoder with a linear encoder.

    A = (X - b_dec) W_enc + b_enc  or  X W_enc + b_enc,    X_hat = Z W_dec + b_dec

and Z is relu(A), its k largest entries, those above thresholds, or relu(exp(r) A + s) where A > 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
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
    threshold : Tensor of shape (n_components,), () with batch_topk, or None
        What pre-activations must exceed to be kept.
    log_scale, mag_bias : Tensor of shape (n_components,) or None
        r of gates, and their exp(r) b_enc + s.
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
    mag_bias: Tensor | None = None
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
        n, m = self._check_decoder()
        shapes = {"encoder": (n, m), "bias": (n,), "decoder": (n, m), "center": (m,)}
        shapes |= {"log_scale": (n,), "mag_bias": (n,)}
        shapes["threshold"] = () if self.activation == "batch_topk" else (n,)
        for name, shape in shapes.items():
            tensor = getattr(self, name)
            if tensor is None:
                continue
            if tuple(tensor.shape) != shape or not tensor.isfinite().all():
                raise ValueError(
                    f"{self.source}: the {name} must be finite and of shape {shape}, to fit the "
                    f"decoder, got shape {tuple(tensor.shape)}; give the files as they were saved."
                )

        if self.activation in ("topk", "batch_topk"):
            self._check_k(n)

    def _check_decoder(self) -> tuple[int, int]:
        if self.decoder.ndim != 2:
            raise ValueError(
                f"{self.source}: the decoder must be a matrix, got shape "
                f"{tuple(self.decoder.shape)}; give the files as they were saved."
            )
        return self.decoder.shape[0], self.decoder.shape[1]

    def _check_k(self, n: int) -> None:
        is_whole = isinstance(self.k, Integral) and not isinstance(self.k, bool)
        if not is_whole or self.k not in range(1, n + 1):
            raise ValueError(
                f"{self.source}: k, how many codes are kept, must be a whole number from 1 to {n}, "
                f"got {self.k!r}; give the configuration as it was saved."
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
            log_scale = torch.as_tensor(self.log_scale)
            shift = (torch.as_tensor(self.mag_bias) - log_scale.exp() * self.bias) * scale
            return GatedSAE(n_components), {"log_scale": log_scale, "shift": shift}
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
            f"{source}: {', '.join(missing)} not found among {_listed(tensors)}; give a state dict "
            "of that package and architecture."
        )
    return [tensors[name] for name in names.split()]


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(map(str, tensors))) or "no tensors at all"


def _is_array(value: Any) -> bool:
    """Whether it is a tensor or an array of numbers; there are texts among those of a file."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return False
    return getattr(value.dtype, "kind", "f") in "biuf"


def _tensor(value: Any) -> Tensor:
    tensor = torch.as_tensor(value).detach().cpu()
    is_half = tensor.is_floating_point() and tensor.dtype not in _FLOATS
    return tensor.float() if is_half else tensor
