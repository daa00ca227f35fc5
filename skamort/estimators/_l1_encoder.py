"""The encoders that training fits under an L1 penalty on their codes."""

from __future__ import annotations

from ..training import SparseCodingLoss
from ._parameters import L1Parameters


class L1Encoder(L1Parameters):
    """Base of these encoders, beside that of their architecture."""

    def _make_loss(self, feature_weights):
        return SparseCodingLoss(self.alpha, feature_weights)
