"""What a dictionary update has to know of the samples seen, fading as new ones come."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._sample_weight import count_of

# Exponent of forgetting: with 6 the last 9 % of the samples weigh as much as all before them.
# Less of it keeps too much of the first bad dictionaries, more is noisy after one pass.
_FORGETTING = 6
# An atom that the last half of the samples did not use is taken for unused. Little is lost: what
# it has learned would weigh less than 1/2^6 of what it would learn from as many new samples.
_IDLE_SHARE = 0.5


@dataclass
class Statistics:
    """All that a dictionary update needs to know of the samples seen.

    Attributes
    ----------
    gram_codes : Tensor of shape (n_components, n_components)
        Weighted sum of ``codes.T @ codes``.
    cross : Tensor of shape (n_components, n_features)
        Weighted sum of ``codes.T @ X``.
    total : Tensor of shape (n_components,)
        Weighted sum of the codes.
    idle : Tensor of shape (n_components,)
        Number of samples since each atom was used last, float64.
    n_samples : float
        Number of samples seen. Here and above, one with a weight counts as so many.
    """

    gram_codes: Tensor
    cross: Tensor
    total: Tensor
    idle: Tensor
    n_samples: float = 0

    @classmethod
    def like(cls, atoms: Tensor) -> Statistics:
        """Return the statistics of no samples."""
        idle = atoms.new_zeros(len(atoms), dtype=torch.float64)
        gram_codes, total = atoms.new_zeros(len(atoms), len(atoms)), atoms.new_zeros(len(atoms))
        return cls(gram_codes, torch.zeros_like(atoms), total, idle)

    def add(self, X: Tensor, codes: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take note of samples, their codes and their weights."""
        weighted = codes if sample_weight is None else codes * sample_weight.unsqueeze(1)
        self.gram_codes.addmm_(codes.T, weighted)
        self.cross.addmm_(weighted.T, X)
        self.total += weighted.sum(0)
        n_new = count_of(X, sample_weight)
        self.n_samples += n_new
        self.idle += n_new
        self.idle[(weighted != 0).any(dim=0)] = 0

    def forget(self, n_new: float) -> None:
        """Fade before ``n_new`` samples come, and clear atoms that are not used any more."""
        if n_new == 0:
            return
        keep = (self.n_samples / (self.n_samples + n_new)) ** _FORGETTING
        self.gram_codes.mul_(keep)
        self.cross.mul_(keep)
        self.total.mul_(keep)
        unused = self.idle > _IDLE_SHARE * self.n_samples
        self.gram_codes[unused] = 0
        self.gram_codes[:, unused] = 0
        self.cross[unused] = 0
        self.total[unused] = 0

    def move_center(self, step: Tensor) -> None:
        """Follow the center of the data, which was taken off them and has moved by a step."""
        self.cross.addr_(self.total, step, alpha=-1)

    def __getstate__(self):
        """Return what a pickle holds, which may be opened where there is no such device."""
        return vars(self.copy_like(torch.empty(0, dtype=self.cross.dtype)))

    def copy_like(self, atoms: Tensor) -> Statistics:
        """Return a copy of the dtype and on the device of a tensor."""
        gram_codes, cross, total = (
            values.to(atoms, copy=True) for values in (self.gram_codes, self.cross, self.total)
        )
        idle = self.idle.to(atoms.device, copy=True)
        return Statistics(gram_codes, cross, total, idle, self.n_samples)
