"""BatchTopK: the k n largest pre-activations of n rows together, in use those above a threshold."""

from __future__ import annotations

import torch
from torch import Tensor

from .._unit import factor_for
from .._validation import check_integer
from ._activations import Activation
from ._ragged_codes import RaggedCodes
from ._screen import Screen
from ._thresholds import candidates, largest_left_out

# Share of a batch in the running mean of the thresholds.
_RATE = 0.05


class Threshold(Activation):
    """Keep the pre-activations above a threshold, one for all latents.

    Parameters
    ----------
    threshold : float or Tensor of shape ()
        The threshold, at least 0.
    n_active : int
        How many are kept in a row on average, about.
    """

    competes = True
    offers = frozenset({"ragged_codes"})
    threshold: Tensor

    def __init__(self, threshold: float | Tensor, n_active: int):
        super().__init__()
        self.register_buffer("threshold", torch.as_tensor(threshold))
        self._n_active = check_integer(n_active, f"{type(self).__name__}: n_active", 1)

    @property
    def n_active(self) -> int:
        """How many codes a row has on average, about."""
        return self._n_active

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        return torch.where(preactivations > self.threshold, preactivations, 0)

    def select(self, preactivations: Tensor) -> RaggedCodes:
        """Return the pre-activations that are kept."""
        places = (preactivations > self.threshold).reshape(-1).nonzero().flatten()
        return RaggedCodes.of(preactivations, places)

    def find(self, encoder, X, intercept, workspace):
        """Return the codes that are kept, if a screen finds them."""
        found = encoder.screen(X, intercept, self.n_active, workspace)
        return found and (found[0], self._keep_of(found[1]))

    def _keep_of(self, screen: Screen) -> RaggedCodes:
        return screen.above(float(self.threshold))

    @torch.no_grad()
    def rescale(self, scale: Tensor | float) -> None:
        """Follow the pre-activations."""
        self.threshold.mul_(factor_for(self.threshold, scale).mean())


class BatchTopK(Threshold):
    """Keep the `k` largest pre-activations a row on average, of those that are positive.

    In training the largest of all rows of a batch are kept; in use, where a row must not depend on
    others, all above `threshold`.

    Parameters
    ----------
    k : int
        Number of codes kept a row, mean over rows.

    Attributes
    ----------
    threshold : Tensor of shape ()
        Mean over the last batches of the largest pre-activation that was not kept.

    References
    ----------
    Bussmann, Leask and Nanda (2024), BatchTopK sparse autoencoders.
    """

    capturable = True

    n_batches: Tensor

    def __init__(self, k: int):
        super().__init__(0.0, check_integer(k, "BatchTopK: k", 1))
        self.k = k
        self.register_buffer("n_batches", torch.zeros(()))

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        if not self.training:
            return super().forward(preactivations)
        threshold = self._find(preactivations.detach())[1]
        return torch.where(preactivations > threshold, preactivations, 0)

    def select(self, preactivations: Tensor) -> RaggedCodes:
        """Return the pre-activations that are kept."""
        if not self.training:
            return super().select(preactivations)
        places, threshold = self._find(preactivations)
        codes = RaggedCodes.of(preactivations, places)
        kept = codes.values > threshold
        if preactivations.is_cuda:  # which would wait to learn how many are kept
            return codes.with_values(torch.where(kept, codes.values, 0))
        return RaggedCodes.of(preactivations, places[kept])

    def _find(self, preactivations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places of what may be kept in a batch, and its threshold, which is noted."""
        values, weights = preactivations.reshape(-1), self.sample_weight
        if weights is None:
            budget = float(self.k * len(preactivations))
            places = candidates(values, int(budget) + 1)
        else:
            budget = self.k * weights.sum().item()
            places = (values > 0).nonzero().flatten()
            weights = weights[places // preactivations.shape[1]]
        threshold = largest_left_out(values[places], budget, weights)
        self._note(threshold)
        return places, threshold

    def find(self, encoder, X, intercept, workspace):
        """Return the codes that are kept, if a screen finds them; of rows with weights none does
        in training."""
        if self.training and self.sample_weight is not None:
            return None
        return super().find(encoder, X, intercept, workspace)

    def _keep_of(self, screen):
        if not self.training:
            return super()._keep_of(screen)
        codes, threshold = screen.largest_together(self.k * len(screen.X))
        self._note(threshold)
        return codes

    def _note(self, threshold: Tensor) -> None:
        self.n_batches += 1
        rate = self.n_batches.reciprocal().clamp(min=_RATE)
        self.threshold.lerp_(threshold.to(self.threshold), rate)

    def extra_repr(self) -> str:
        """Show k when the module is printed."""
        return f"k={self.k}"
