"""What every solver shares: the result, the scaling of samples, the blocks, the certificate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ._certificate import certified_gap

_BLOCK_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class SolverResult:
    """Codes and what is known about them.

    Attributes
    ----------
    codes : Tensor of shape (n_samples, n_components)
    gap : Tensor of shape (n_samples,)
        Duality gap, float64: the objective of a sample is at most ``gap`` above the best possible.
    n_iter : Tensor of shape (n_samples,)
        Iterations spent on each sample, int64.
    converged : Tensor of shape (n_samples,)
        Whether ``gap <= tol * 1/2 ||x||^2``, bool.
    """

    codes: Tensor
    gap: Tensor
    n_iter: Tensor
    converged: Tensor


@dataclass(frozen=True)
class LassoSolver(ABC):
    """Minimizes 1/2 ||x - z D||^2 + alpha ||z||_1 over codes z, for every sample x of a batch.

    A subclass provides `_solve_block`; hyperparameters are its fields, state lives in local
    variables.
    """

    max_iter: int = 1000
    tol: float = 1e-4

    def solve(
        self,
        X: Tensor,
        dictionary: Tensor,
        *,
        alpha: float | Tensor,
        positive: bool,
        init: Tensor | None = None,
        gram: Tensor | None = None,
    ) -> SolverResult:
        """Solve for the codes of every row of ``X``.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features)
            float32 or float64, finite.
        dictionary : Tensor of shape (n_components, n_features)
            Atoms in rows, of any norm; same dtype and device as ``X``.
        alpha : float or Tensor of shape (n_samples,)
            Weight of the L1 norm, >= 0.
        positive : bool
            Whether codes must be >= 0.
        init : Tensor of shape (n_samples, n_components), default=None
            Codes to start from.
        gram : Tensor of shape (n_components, n_components), default=None
            ``dictionary @ dictionary.T``; computed where it pays.

        Returns
        -------
        SolverResult
            Never warns: see its ``converged``.
        """
        n_samples, n_components = len(X), len(dictionary)
        alpha = torch.as_tensor(alpha, dtype=X.dtype, device=X.device).expand(n_samples)
        codes = X.new_zeros(n_samples, n_components)
        n_iter = torch.zeros(n_samples, dtype=torch.int64, device=X.device)
        gap = torch.zeros(n_samples, dtype=torch.float64, device=X.device)
        energy = torch.zeros_like(gap)
        unit = power_of_two(dictionary.abs().amax())
        atoms = dictionary / unit
        gram = None if gram is None else gram / unit / unit
        if gram is None and gram_pays(n_samples, *atoms.shape):
            gram = atoms @ atoms.T

        step = max(64, _BLOCK_ELEMENTS // max(atoms.shape))
        for start in range(0, n_samples, step):
            rows = slice(start, start + step)
            size = power_of_two(X[rows].abs().amax(dim=1))
            x, weight = X[rows] / size[:, None], alpha[rows] / size / unit
            start_codes = None if init is None else init[rows] / size[:, None] * unit
            z, n_iter[rows] = self._solve_block(x, atoms, weight, positive, start_codes, gram)
            weight = weight.clamp(max=torch.finfo(X.dtype).max)
            size64 = size.double()
            gap[rows] = certified_gap(x, z, atoms, weight, positive) * size64 * size64
            energy[rows] = x.double().square().sum(dim=1) * size64 * size64
            codes[rows] = z * size[:, None] / unit
        return SolverResult(codes, gap, n_iter, gap <= self.tol * 0.5 * energy)

    @abstractmethod
    def _solve_block(
        self,
        X: Tensor,
        dictionary: Tensor,
        alpha: Tensor,
        positive: bool,
        init: Tensor | None,
        gram: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Codes and iterations for a block of samples whose largest entry is between 1/2 and 1."""


def power_of_two(values: Tensor) -> Tensor:
    """The power of two just above each value (1 for 0): dividing by it is exact and tames "
    "1e-30 and 1e30."""
    _, exponent = torch.frexp(values)
    limit = 126 if values.dtype == torch.float32 else 1022
    exponent = exponent.clamp(-limit, limit).to(values.dtype)
    return torch.where(values > 0, torch.exp2(exponent), torch.ones_like(values))


def gram_pays(n_samples: int, n_components: int, n_features: int) -> bool:
    """Whether products with D D^T cost less than products with D and then D^T.

    The Gram matrix itself costs as much as one product with ``n_components`` samples, and is kept
    below 1 GiB.
    """
    cheaper = n_components <= 2 * n_features
    affordable = n_components <= 4 * n_samples + 256 and n_components <= 1 << 14
    return cheaper and affordable
