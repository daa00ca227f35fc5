"""What every solver shares: the result, the scaling of samples, the blocks, the certificate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ._certificate import certified_gap, span_of_atoms
from ._polish import polish

_BLOCK_ELEMENTS = 1 << 20
_HARMLESS_EXPONENT = 16
# A gap of this many roundings of ||x||^2 is one that descent may be unable to close.
_STUCK = 64


@dataclass(frozen=True)
class SolverResult:
    """Codes and what is known about them.

    Parameters
    ----------
    codes : Tensor of shape (n_samples, n_components)
        Codes of the samples, in their dtype and on their device.
    gap : Tensor of shape (n_samples,)
        Duality gap, float64: the objective of a sample is at most ``gap`` above the best possible.
    n_iter : Tensor of shape (n_samples,)
        Iterations spent on each sample, int64.
    converged : Tensor of shape (n_samples,)
        Whether ``gap <= tol * 1/2 ||x||^2``, bool.
    residual : Tensor of shape (n_samples,), default=None
        ||x - z D||^2, float64, of the k-sparse solvers, which have no gap.
    engine : {"numba", "torch"}, default="torch"
        What ran.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import FISTA
    >>> result = FISTA().solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), alpha=1.0, positive=False)
    >>> result.codes
    tensor([[2., 0.]])
    >>> result.gap, result.converged
    (tensor([0.], dtype=torch.float64), tensor([True]))
    """

    codes: Tensor
    gap: Tensor
    n_iter: Tensor
    converged: Tensor
    residual: Tensor | None = None
    engine: str = "torch"


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
        alpha = torch.as_tensor(alpha, dtype=torch.float64, device=X.device).expand(n_samples)
        codes = X.new_zeros(n_samples, n_components)
        n_iter = torch.zeros(n_samples, dtype=torch.int64, device=X.device)
        gap, energy = torch.zeros(2, n_samples, dtype=torch.float64, device=X.device)
        unit = power_of_two(magnitude(dictionary).amax())
        if unit != 1:
            dictionary, gram = dictionary / unit, None if gram is None else gram / unit / unit
        basis = span_of_atoms(dictionary)
        atoms = dictionary if basis is None else dictionary @ basis
        if gram is None and self._gram_pays(n_samples, atoms):
            gram = atoms @ atoms.T

        exact, reach = None, _STUCK * torch.finfo(X.dtype).eps
        step = block_rows(_BLOCK_ELEMENTS, dictionary)
        for start in range(0, n_samples, step):
            rows = slice(start, start + step)
            size = power_of_two(magnitude(X[rows]))
            scaled = bool((size != 1).any()) or unit != 1
            x, z = X[rows], codes[rows]
            if scaled:
                x = x / size[:, None]
            weight = (alpha[rows] / size / unit).clamp(max=torch.finfo(X.dtype).max)
            weight = weight.to(X.dtype)
            if init is not None:
                z.copy_(init[rows] / size[:, None] * unit)
                if positive:
                    z.clamp_(min=0)
            inside = x if basis is None else x @ basis
            n_iter[rows], bound = self._solve_block(inside, atoms, weight, positive, z, gram)
            if bound is None or basis is not None:
                # Converted once, not in every block.
                exact = dictionary.double() if exact is None else exact
                bound = certified_gap(x, z, exact, weight, positive)
            square = x.double().square().sum(dim=1)
            stuck = (bound > self.tol * 0.5 * square) & (bound <= reach * square)
            if stuck.any():
                z[stuck], bound[stuck] = polish(
                    x[stuck], dictionary, weight[stuck], positive, z[stuck], bound[stuck]
                )
            energy[rows] = square * size.double().square()
            gap[rows] = bound * size.double().square()
            if scaled:
                z.mul_((size / unit)[:, None])
        converged = gap <= self.tol * 0.5 * energy
        return SolverResult(codes, gap, n_iter, converged, engine=self._engine_for(X, gram))

    def _engine_for(self, X: Tensor, gram: Tensor | None) -> str:  # noqa: ARG002
        """The engine that solves for ``X``."""
        return "torch"

    @abstractmethod
    def _solve_block(
        self,
        X: Tensor,
        dictionary: Tensor,
        alpha: Tensor,
        positive: bool,
        codes: Tensor,
        gram: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Solve a block of samples in place: ``codes`` holds the start and receives the solution.

        Returns the iterations, and the duality gaps in float64 where the solver has them.
        """

    @abstractmethod
    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:
        """Whether to compute D D^T, which costs as much as ``n_components`` samples times D."""


def block_rows(elements: int, dictionary: Tensor) -> int:
    """Rows of a block: few enough for a CPU's cache, enough to fill a GPU."""
    elements = elements if dictionary.device.type == "cpu" else 64 * elements
    return max(64, elements // max(dictionary.shape))


def magnitude(values: Tensor) -> Tensor:
    """Largest absolute value of each row, without a copy of all of them."""
    return torch.maximum(values.amax(dim=1), -values.amin(dim=1))


def power_of_two(values: Tensor) -> Tensor:
    """The power of two just above each value; 1 for 0 and where the size does no harm.

    Dividing by it is exact, and tames 1e-30 and 1e30.
    """
    _, exponent = torch.frexp(values)
    limit = 126 if values.dtype == torch.float32 else 1022
    exponent = exponent.clamp(-limit, limit).to(values.dtype)
    harmless = (values == 0) | (exponent.abs() < _HARMLESS_EXPONENT)
    return torch.where(harmless, 1, torch.exp2(exponent))
