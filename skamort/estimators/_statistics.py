"""What a dictionary update has to know of the samples seen, fading as new ones come.

`Statistics` hold all of it, n_components^2 numbers; `Usage` their diagonal, n_components numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from .._packing import Packed
from .._sample_weight import count_of
from ..modules import DenseCodes, SparseCodes

# Exponents of forgetting. With 6 the last 9 % of the samples weigh as much as all before them: less
# of it keeps too much of the first bad dictionaries, more is noisy after one pass. The usage alone
# holds atoms where they are; with more than 1 they run after each batch.
_FORGETTING, _FORGETTING_OF_USAGE = 6, 1
# An atom that the last half of the samples did not use is taken for unused. Little is lost: what
# it has learned would weigh less than 1/2^6 of what it would learn from as many new samples.
_IDLE_SHARE = 0.5
# Atoms for each code of a sample from which on products with the codes that are not 0 are faster.
_ATOMS_PER_CODE = 32
# Products of codes of a sample that are held at once.
_PRODUCTS = 1 << 22


@dataclass(kw_only=True)
class Seen(Packed, ABC):
    """Sums over the samples seen, and when each atom was used.

    Attributes
    ----------
    idle : Tensor of shape (n_components,)
        Number of samples since each atom was used last, float64.
    n_samples : float
        Number of samples seen. Here and in the sums, one with a weight counts as so many.
    """

    idle: Tensor
    n_samples: float = 0

    _sums: ClassVar[tuple[str, ...]]
    _forgetting: ClassVar[int]

    @classmethod
    @abstractmethod
    def like(cls, atoms: Tensor) -> Self:
        """Return what is known of no samples."""

    def add(self, X: Tensor, codes: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take note of samples, their codes and their weights."""
        weighted = codes if sample_weight is None else codes * sample_weight.unsqueeze(1)
        self._add_sums(X, codes, weighted)
        n_new = count_of(X, sample_weight)
        self.n_samples += n_new
        self.idle += n_new
        self.idle[(weighted != 0).any(dim=0)] = 0

    @classmethod
    @abstractmethod
    def of(cls, seen: Seen | None, atoms: Tensor) -> Self:
        """Return what is to be known of samples seen, for whose codes the atoms are."""

    @abstractmethod
    def _add_sums(self, X: Tensor, codes: Tensor, weighted: Tensor) -> None:
        """Add to the sums."""

    def forget(self, n_new: float) -> None:
        """Fade before ``n_new`` samples come, and clear atoms that are not used any more."""
        if n_new == 0:
            return
        keep = (self.n_samples / (self.n_samples + n_new)) ** self._forgetting
        unused = self.idle > _IDLE_SHARE * self.n_samples
        for name in self._sums:
            getattr(self, name).mul_(keep)[unused] = 0

    @abstractmethod
    def move_center(self, step: Tensor) -> None:
        """Follow the center of the data, which was taken off them and has moved by a step."""

    def copy_like(self, atoms: Tensor) -> Self:
        """Return a copy of the dtype and on the device of a tensor."""
        sums = {name: getattr(self, name).to(atoms, copy=True) for name in self._sums}
        idle = self.idle.to(atoms.device, copy=True)
        return type(self)(**sums, idle=idle, n_samples=self.n_samples)


@dataclass(kw_only=True)
class Usage(Seen):
    """How much the samples seen used each atom, and so hold it where it is if others stay.

    Attributes
    ----------
    energy : Tensor of shape (n_components,)
        Weighted sum of the squares of the codes.
    """

    energy: Tensor

    _sums = ("energy",)
    _forgetting = _FORGETTING_OF_USAGE

    @classmethod
    def like(cls, atoms: Tensor) -> Self:
        """Return what is known of no samples."""
        return cls(energy=atoms.new_zeros(len(atoms)), idle=_never_idle(atoms))

    @classmethod
    def of(cls, seen: Seen | None, atoms: Tensor) -> Self:
        """Return what is to be known of samples seen."""
        if isinstance(seen, Statistics):
            energy = seen.gram_codes.diagonal().clone()
            return cls(energy=energy, idle=seen.idle, n_samples=seen.n_samples)
        return seen if isinstance(seen, cls) else cls.like(atoms)

    def move_center(self, step: Tensor) -> None:
        """Stay: atoms are held where they are."""

    def _add_sums(self, X: Tensor, codes: Tensor, weighted: Tensor) -> None:  # noqa: ARG002
        self.energy += torch.linalg.vecdot(codes, weighted, dim=0)


@dataclass(kw_only=True)
class Statistics(Seen):
    """All that a dictionary update needs to know of the samples seen.

    Attributes
    ----------
    gram_codes : Tensor of shape (n_components, n_components)
        Weighted sum of ``codes.T @ codes``.
    cross : Tensor of shape (n_components, n_features)
        Weighted sum of ``codes.T @ X``.
    total : Tensor of shape (n_components,)
        Weighted sum of the codes.
    """

    gram_codes: Tensor
    cross: Tensor
    total: Tensor

    _sums = ("gram_codes", "cross", "total")
    _forgetting = _FORGETTING

    @classmethod
    def like(cls, atoms: Tensor) -> Self:
        """Return what is known of no samples."""
        gram_codes, total = atoms.new_zeros(len(atoms), len(atoms)), atoms.new_zeros(len(atoms))
        cross, idle = torch.zeros_like(atoms), _never_idle(atoms)
        return cls(gram_codes=gram_codes, cross=cross, total=total, idle=idle)

    @classmethod
    def of(cls, seen: Seen | None, atoms: Tensor) -> Self:
        """Return what is to be known of samples seen, for whose codes the atoms are."""
        if isinstance(seen, Usage):
            known = cls.like(atoms)
            known.gram_codes.diagonal().copy_(seen.energy)
            known.cross += seen.energy[:, None] * atoms
            known.idle, known.n_samples = seen.idle, seen.n_samples
            return known
        return seen if isinstance(seen, cls) else cls.like(atoms)

    def _add_sums(self, X: Tensor, codes: Tensor, weighted: Tensor) -> None:
        self.gram_codes.addmm_(codes.T, weighted)
        self.cross.addmm_(weighted.T, X)
        self.total += weighted.sum(0)

    def forget(self, n_new: float) -> None:
        """Fade before ``n_new`` samples come, and clear atoms that are not used any more."""
        super().forget(n_new)
        if n_new:
            self.gram_codes[:, self.idle > _IDLE_SHARE * self.n_samples] = 0

    def move_center(self, step: Tensor) -> None:
        """Follow the center of the data, which was taken off them and has moved by a step."""
        self.cross.addr_(self.total, step, alpha=-1)


class SparseStatistics(Statistics):
    """Statistics of codes most of which are 0."""

    def _add_sums(self, X: Tensor, codes: Tensor, weighted: Tensor) -> None:
        found = compact(weighted)
        if isinstance(found, DenseCodes):
            super()._add_sums(X, codes, weighted)
            return
        self.cross += found.transposed_product(X)
        self.total += found.column_sums()
        step = max(1, _PRODUCTS // found.indices.shape[1] ** 2)
        shares = codes.gather(1, found.indices), found.values, found.indices
        for left, right, atoms in zip(*(part.split(step) for part in shares), strict=True):
            places = atoms.unsqueeze(2) * len(self.total) + atoms.unsqueeze(1)
            products = left.unsqueeze(2) * right.unsqueeze(1)
            self.gram_codes.view(-1).index_add_(0, places.flatten(), products.flatten())


def compact(codes: Tensor) -> DenseCodes | SparseCodes:
    """Return codes in the layout whose products are faster."""
    most = max(1, int(codes.sign().abs_().sum(1).max()))
    if codes.is_cuda or most * _ATOMS_PER_CODE > codes.shape[1]:
        return DenseCodes(codes)
    indices = codes.abs().topk(most, dim=1, sorted=False).indices
    return SparseCodes(codes.gather(1, indices), indices, codes.shape[1])


def _never_idle(atoms: Tensor) -> Tensor:
    return atoms.new_zeros(len(atoms), dtype=torch.float64)
