"""What the k-sparse solvers share: at most k non-zeros a sample instead of an L1 penalty.

    min_z  1/2 ||x - z D||^2     with at most k non-zeros in z      (z >= 0 where positive)

The problem is combinatorial, so every solver is a heuristic and there is no duality gap; the
residual is reported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import SolverResult, block_rows, power_of_two

_BLOCK_ELEMENTS = 1 << 19
# What is left of an atom that depends on the support is this many roundings at most.
DEPENDENT = 64


@dataclass(frozen=True)
class KSparseSolver(ABC):
    """Finds codes with at most ``n_nonzero_coefs`` non-zeros for every sample of a batch.

    A subclass provides `_pursue_block`.
    """

    n_nonzero_coefs: int | None = None

    def solve(
        self,
        X: Tensor,
        dictionary: Tensor,
        *,
        positive: bool,
        alpha: float | Tensor | None = None,  # noqa: ARG002
        init: Tensor | None = None,
        gram: Tensor | None = None,
    ) -> SolverResult:
        """Find codes for every row of ``X``.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features)
            float32 or float64, finite.
        dictionary : Tensor of shape (n_components, n_features)
            Atoms in rows; same dtype and device as ``X``.
        positive : bool
            Whether codes must be >= 0.
        alpha : float, default=None
            Ignored: the number of non-zeros takes its place.
        init : Tensor of shape (n_samples, n_components), default=None
            Codes of an encoder, for the solvers that start from them.
        gram : Tensor of shape (n_components, n_components), default=None
            ``dictionary @ dictionary.T``; computed where it pays.

        Returns
        -------
        SolverResult
            Its ``gap`` is NaN, its ``residual`` is ||x - z D||^2, and every sample has converged.
        """
        n_samples, (n_components, n_features) = len(X), dictionary.shape
        k = self.n_nonzero_coefs or max(n_features // 10, 1)
        k = min(k, n_components)
        codes = X.new_zeros(n_samples, n_components)
        n_iter = torch.zeros(n_samples, dtype=torch.int64, device=X.device)
        residual = torch.zeros(n_samples, dtype=torch.float64, device=X.device)
        unit = power_of_two(dictionary.abs().amax())
        if unit != 1:
            dictionary, gram = dictionary / unit, None if gram is None else gram / unit / unit
        if gram is None and self._gram_pays(X, dictionary):
            gram = dictionary @ dictionary.T
        step = block_rows(_BLOCK_ELEMENTS, dictionary)
        for start in range(0, n_samples, step):
            rows = slice(start, start + step)
            size = power_of_two(X[rows].abs().amax(dim=1))
            scaled = bool((size != 1).any()) or unit != 1
            x, z = X[rows], codes[rows]
            if scaled:
                x = x / size[:, None]
            if init is not None:
                z.copy_(init[rows] / size[:, None] * unit)
                if positive:
                    z.clamp_(min=0)
            n_iter[rows], left = self._pursue_block(x, dictionary, gram, k, positive, z)
            residual[rows] = left * size.double().square()
            if scaled:
                z.mul_((size / unit)[:, None])
        nothing = torch.full_like(residual, torch.nan)
        engine = self._engine_for(X, gram)
        return SolverResult(codes, nothing, n_iter, ~nothing.isfinite(), residual, engine)

    def _engine_for(self, X: Tensor, gram: Tensor | None) -> str:  # noqa: ARG002
        """The engine that solves for ``X``."""
        return "torch"

    def _gram_pays(self, X: Tensor, dictionary: Tensor) -> bool:  # noqa: ARG002
        """Whether to compute D D^T before the first block."""
        return False

    @abstractmethod
    def _pursue_block(
        self,
        X: Tensor,
        dictionary: Tensor,
        gram: Tensor | None,
        k: int,
        positive: bool,
        codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Find codes of a block in place: ``codes`` holds the start.

        Returns the iterations, and ||x - z D||^2 in float64.
        """


def refit(
    atoms: Tensor, X: Tensor, start: Tensor, active: Tensor, positive: bool
) -> tuple[Tensor, Tensor]:
    """Least squares on each sample's own atoms.

    Where positive, coefficients that would become negative are dropped on the way from ``start``,
    as in the inner loop of Lawson and Hanson's NNLS.

    Parameters
    ----------
    atoms : Tensor of shape (n_samples, size, n_features)
        The support of each sample.
    X : Tensor of shape (n_samples, n_features)
        Data.
    start : Tensor of shape (n_samples, size)
        Coefficients to come from, >= 0 where positive.
    active : Tensor of shape (n_samples, size)
        Which atoms may be used, bool.
    positive : bool
        Whether coefficients must be >= 0.

    Returns
    -------
    coefficients : Tensor of shape (n_samples, size)
    active : Tensor of shape (n_samples, size)
        The atoms that are used.
    """
    full = torch.bmm(atoms, atoms.transpose(1, 2))
    target = torch.bmm(atoms, X[:, :, None])
    # A trace of ridge keeps dependent atoms solvable.
    jitter = 8 * torch.finfo(X.dtype).eps * full.diagonal(dim1=1, dim2=2)
    while True:
        both = active[:, :, None] & active[:, None, :]
        matrix = torch.where(both, full, 0)
        matrix = matrix + torch.diag_embed(torch.where(active, jitter, 1))
        factor = torch.linalg.cholesky_ex(matrix).L
        new = torch.cholesky_solve(torch.where(active[:, :, None], target, 0), factor)[:, :, 0]
        negative = active & (new <= 0) if positive else torch.zeros_like(active)
        if not negative.any():
            return torch.where(active, new, 0), active
        limit = torch.where(negative, start / (start - new), torch.inf)
        length = limit.amin(dim=1, keepdim=True).clamp(max=1)
        start = torch.where(active, start + length * (new - start), 0).clamp_(min=0)
        active = active & ~(negative & (limit <= length))
        start = torch.where(active, start, 0)
