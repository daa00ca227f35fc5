"""The encoders that training fits under an L1 penalty on their codes."""

from __future__ import annotations

from ..training import SparseCodingLoss
from ._alpha import resolve_alpha
from ._parameters import L1Parameters


class L1Encoder(L1Parameters):
    """Base of these encoders, beside that of their architecture."""

    def _weigh_penalty(self, X, sample_weight):
        self.alpha_ = resolve_alpha(self, X, sample_weight)

    def _make_loss(self, feature_weights):
        return SparseCodingLoss(self.alpha_, feature_weights)
