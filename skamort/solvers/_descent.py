"""The loop of the solvers that descend on a whole batch at once: samples that are done leave it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ._certificate import is_silent

# The loop's own gap may be float32: stop a little past the tolerance, which the certificate then
# checks in float64.
SAFETY = 0.9


class Descent(ABC):
    """State of the samples still in the batch, one row each of the tensors in ``_by_sample``."""

    _by_sample: ClassVar[tuple[str, ...]]

    def keep(self, rows: Tensor) -> None:
        """Drop the samples that are done."""
        for name in self._by_sample:
            setattr(self, name, getattr(self, name)[rows])

    @abstractmethod
    def codes(self) -> Tensor:
        """Codes of the samples."""

    @abstractmethod
    def gap(self) -> Tensor:
        """Their duality gaps."""

    @abstractmethod
    def step(self) -> None:
        """One iteration of every sample."""


def descend(
    state: Descent, codes: Tensor, left: Tensor, target: Tensor, max_iter: int, check_every: int
) -> Tensor:
    """Take steps until every gap is at most ``target``, and store the codes.

    Parameters
    ----------
    state : Descent
        Of the samples ``left``.
    codes : Tensor of shape (n_samples, n_components)
        Where the codes go.
    left : Tensor of shape (n_left,), int64
        Rows of ``codes`` to solve.
    target : Tensor of shape (n_samples,)
        Gaps to reach.
    max_iter : int
        Most steps.
    check_every : int
        Steps between two looks at the gap.

    Returns
    -------
    n_iter : Tensor of shape (n_samples,), int64
        Steps spent on each sample.
    """
    n_iter = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
    for iteration in range(max_iter + 1):
        if iteration % check_every == 0 or iteration == max_iter:
            n_iter[left] = iteration
            busy = (state.gap() > target[left]).nonzero().squeeze(1)  # a GPU waits here only
            if len(busy) < len(left) or iteration == max_iter:
                codes[left] = state.codes()
            if not len(busy):
                break
            if len(busy) < len(left):
                left = left[busy]
                state.keep(busy)
        if iteration < max_iter:
            state.step()
    return n_iter


def drop_silent(cov: Tensor, alpha: Tensor, positive: bool, codes: Tensor) -> Tensor:
    """Zero the codes of the samples whose best codes are zero; the indices of the others."""
    silent = is_silent(cov, alpha, positive)
    codes[silent] = 0
    return (~silent).nonzero().squeeze(1)
