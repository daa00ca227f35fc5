"""The loss of an encoder that learns known codes."""

from __future__ import annotations

import torch
from torch import Tensor

from ..modules import SparseAutoencoder
from ._loss import Loss

CODE_LOSSES = ("cosine", "squared_error")
_TINY_ENERGY = 1e-16  # a silent latent has the cosine 0


class CodeRegressionLoss(Loss):
    """Distance between an encoder's codes and known ones.

    Parameters
    ----------
    kind : {"cosine", "squared_error"}, default="cosine"
        "cosine" is minus the cosine similarity of each latent with its target across the batch,
        averaged over latents; it is blind to each latent's scale. "squared_error" is the mean over
        samples of 1/2 ||z_i - target_i||^2.
    """

    capturable = True

    offers = frozenset({"sample_weight"})
    decodes = False
    batched = ("kind",)

    def __init__(self, kind: str = "cosine"):
        super().__init__()
        if kind not in CODE_LOSSES:
            raise ValueError(
                f"CodeRegressionLoss: kind must be one of {CODE_LOSSES}, got {kind!r}."
            )
        self.kind = kind
        self.degree = 0 if kind == "cosine" else 2

    def forward(self, codes: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar tensor."""
        if codes.shape != target.shape:  # which would be broadcast
            raise ValueError(
                f"CodeRegressionLoss: codes and target must have the same shape, got "
                f"{tuple(codes.shape)} and {tuple(target.shape)}."
            )
        if self.kind == "cosine":
            weighted = self.weigh_samples(target)
            moments = [(codes * weighted).mean(0), self.weigh_samples(codes.square()).mean(0)]
            moments.append((target * weighted).mean(0))
            product, *energies = self.processes.mean(torch.stack(moments))
            lengths = [energy.clamp_min(_TINY_ENERGY).sqrt() for energy in energies]
            return -(product / lengths[0] / lengths[1]).mean()
        return self.weigh_samples((codes - target).square()).sum() / (2 * len(codes))

    def equation(
        self, module: SparseAutoencoder, X: Tensor, *target: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the distance and the codes."""
        if len(target) != 1:
            raise TypeError(
                f"CodeRegressionLoss: the known codes of a batch come after it, got {len(target)} "
                "further arguments."
            )
        codes = module.encode(X).to(X.dtype)
        return {"distance": self(codes, *target)}, codes
