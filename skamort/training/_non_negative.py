"""Atoms whose entries are >= 0, while an encoder is trained."""

from __future__ import annotations

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn


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


def non_negative(atoms: Tensor) -> Tensor:
    """Return the nearest atoms of unit norm with entries >= 0; of one without an entry > 0, its
    absolute values."""
    kept = atoms.clamp(min=0)
    is_lost = (kept == 0).all(dim=1, keepdim=True)
    return nn.functional.normalize(torch.where(is_lost, atoms.abs(), kept), dim=1)
