"""Atoms whose entries are >= 0, while an encoder is trained."""

from __future__ import annotations

import torch
from skorch.callbacks import Callback

from ._dictionary import non_negative


class NonNegativeAtoms(Callback):
    """Project the decoder's atoms on those with entries >= 0 after each step, and after whatever
    else has changed them in it."""

    capturable = ("on_batch_end",)

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):  # noqa: ARG002
        """Project them."""
        dictionary = net.module_.decoder.dictionary
        if training and dictionary.requires_grad:
            dictionary.copy_(non_negative(dictionary))
