"""What every solver shares: the problem, the loop over blocks of scaled samples, the result.

    solve               scales the problem; then, block by block,
      _solve_rows         scales the samples and the start, and undoes it afterwards;
        _solve_scaled       solves: `LassoSolver` with a certificate, `KSparseSolver` without
      _report             puts the result together

A solver is a frozen dataclass: its fields are the hyperparameters, its class attributes say what
kind it is, and its state lives in local variables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from .._engine import resolve_engine, resolve_n_jobs
from .._threads import threads_worth
from ._blocks import row_blocks
from ._mask import fill_missing, solve_masked
from ._scale import check_range, magnitude, power_of_four, times_ratio

_LEAST_ROWS = 64


@dataclass(frozen=True)
class SolverResult:
    """Codes and what is known about them.

    Parameters
    ----------
    codes : Tensor of shape (n_samples, n_components)
        Codes of the samples, in their dtype and on their device.
    gap : Tensor of shape (n_samples,)
        Duality gap, float64: the objective of a sample is at most ``gap`` above the best possible.
        NaN for the k-sparse solvers, which have none; `BranchAndBound` has one.
    n_iter : Tensor of shape (n_samples,)
        Iterations spent on each sample, int64.
    converged : Tensor of shape (n_samples,)
        Whether ``gap <= tol * 1/2 ||x||^2``, bool. Of the k-sparse solvers, whether the residual
        is at most ``residual_tol``; True without one; of `BranchAndBound`, whether ``gap`` is 0.
    residual : Tensor of shape (n_samples,), default=None
        ||x - z D||^2, float64, of the k-sparse solvers.
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
class Problem:
    """What all samples of a block share, in the dictionary's own unit, and what they are.

    Parameters
    ----------
    dictionary : Tensor of shape (n_components, n_features)
        Atoms, one a row, divided by ``unit``.
    unit : Tensor
        A power of four, or one for each atom.
    basis : Tensor of shape (n_features, n_components) or None
        Orthonormal basis of the space that is solved in; None for that of the features.
    atoms : Tensor of shape (n_components, n_features) or (n_components, n_components)
        The atoms in the space that is solved in.
    gram : Tensor of shape (n_components, n_components) or None
        Scalar products of the atoms, where they pay.
    positive : bool
        Whether codes must be >= 0.
    mask : Tensor of shape (n_samples, n_features) or None
        1 where the samples of a block are observed and 0 elsewhere, in the dtype of the dictionary;
        None where they are complete. The atoms of a sample are those of ``dictionary`` times its
        mask then; there is neither ``basis`` nor ``gram``.
    """

    dictionary: Tensor
    unit: Tensor
    basis: Tensor | None
    atoms: Tensor
    gram: Tensor | None
    positive: bool
    mask: Tensor | None = None

    @cached_property
    def exact_dictionary(self) -> Tensor:
        """The dictionary in float64, converted once and not in every block."""
        return self.dictionary.double()

    @cached_property
    def _packed_atoms(self) -> Tensor | None:
        """The atoms as oneDNN takes them; None where it does not."""
        fits = self.atoms.device.type == "cpu" and self.atoms.dtype == torch.float32
        return self.atoms.to_mkldnn() if fits and torch.backends.mkldnn.is_available() else None

    def correlations(self, X: Tensor) -> Tensor:
        """Scalar products of samples and atoms, ``X @ atoms.T``, by the fastest library.

        Torch multiplies float32 with MKL, which leaves half of the speed of other CPUs than
        Intel's.
        """
        if self._packed_atoms is None:
            return X @ self.atoms.T
        return linear(X.to_mkldnn(), self._packed_atoms).to_dense()

    @cached_property
    def largest_eigenvalue(self) -> Tensor:
        """That of ``atoms @ atoms.T``, found once and not in every block."""
        return torch.linalg.matrix_norm(self.atoms, 2) ** 2

    def squared_norms(self) -> Tensor:
        """||d_j||^2 of the atoms of every sample, (n_samples, n_components); of shape (1,
        n_components) where they are those of all."""
        squares = self.atoms.square()
        return squares.sum(dim=1)[None] if self.mask is None else self.mask @ squares.T

    def of(self, rows: slice | Tensor | np.ndarray) -> Problem:
        """The problem of some of the samples."""
        return self if self.mask is None else replace(self, mask=self.mask[rows])


@dataclass(frozen=True)
class Solver(ABC):
    """Finds codes for every sample of a batch on its own.

    Attributes
    ----------
    is_k_sparse : bool
        Whether the number of non-zeros is limited, by the field ``n_nonzero_coefs``, in place of an
        L1 penalty with a duality gap.
    has_kernels : bool
        Whether there are compiled kernels, chosen by the fields ``engine`` and ``n_jobs``.
    takes_masks : bool
        Whether samples with entries missing, each its own, are solved together. Other solvers solve
        those together that lack the same entries.
    """

    is_k_sparse: ClassVar[bool]
    has_kernels: ClassVar[bool] = False
    takes_masks: ClassVar[bool] = False
    # Size of a block, for what the solver computes besides the codes.
    _block_size: ClassVar[float] = 1

    def solve(
        self,
        X: Tensor,
        dictionary: Tensor,
        *,
        positive: bool,
        alpha: float | Tensor = 1.0,
        init: Tensor | None = None,
        gram: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> SolverResult:
        """Solve for the codes of every row of ``X``.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features)
            float32 or float64, finite where observed.
        dictionary : Tensor of shape (n_components, n_features)
            Atoms in rows, of any norm; same dtype and device as ``X``.
        positive : bool
            Whether codes must be >= 0.
        alpha : float or Tensor of shape (n_samples,), default=1.0
            Weight of the L1 norm, >= 0. The k-sparse solvers ignore it.
        init : Tensor of shape (n_samples, n_components), default=None
            Codes to start from, for the solvers that have a start.
        gram : Tensor of shape (n_components, n_components), default=None
            ``dictionary @ dictionary.T``; computed where it pays.
        mask : Tensor of shape (n_samples, n_features), default=None
            True where ``X`` is observed, bool. None: everywhere.

        Returns
        -------
        SolverResult
            Never warns: see its ``converged``.

        Raises
        ------
        ValueError
            If codes are beyond what the dtype holds.
        """
        if not isinstance(alpha, Tensor):  # a number that is filled in is no upload
            alpha = torch.full((), alpha, dtype=torch.float64, device=X.device)
        alpha = alpha.to(dtype=torch.float64, device=X.device).expand(len(X))
        with threads_worth(max(X.shape[0], len(dictionary)) * dictionary.numel(), X.device):
            if mask is None or mask.all():
                return self._solve_together(X, dictionary, alpha, positive, init, gram=gram)
            X = fill_missing(X, mask)
            return solve_masked(self, X, dictionary, alpha, positive, init, mask)

    def _solve_together(
        self,
        X: Tensor,
        dictionary: Tensor,
        alpha: Tensor,
        positive: bool,
        init: Tensor | None,
        mask: Tensor | None = None,
        *,
        gram: Tensor | None = None,
    ) -> SolverResult:
        """Solve for all samples in blocks, each with the mask that it has, if any."""
        n_samples, device = len(X), X.device
        unit = self._unit(dictionary, alpha)
        problem = self._pose(n_samples, dictionary, unit, gram, positive, mask)
        codes = X.new_zeros(n_samples, len(dictionary))
        n_iter = torch.zeros(n_samples, dtype=torch.int64, device=device)
        error = torch.zeros(n_samples, dtype=torch.float64, device=device)
        converged = torch.zeros(n_samples, dtype=torch.bool, device=device)
        for rows in self._blocks(X, dictionary):
            start = None if init is None else init[rows]
            n_iter[rows], error[rows], converged[rows] = self._solve_rows(
                X[rows], problem.of(rows), alpha[rows], start, codes[rows]
            )
        result = self._report(codes, error, n_iter, converged, self._engine_for(problem))
        return self._look_again(result, X, dictionary, alpha, positive, mask)

    def _with_limits_of(self, dictionary: Tensor) -> Solver:  # noqa: ARG002  (some solvers look)
        """The solver that has the same limits for some of the features as for all of them."""
        return self

    def _unit(self, dictionary: Tensor, alpha: Tensor) -> Tensor:  # noqa: ARG002  (some solvers look)
        """Powers of four to divide the atoms by: one for all, or one each."""
        return power_of_four(magnitude(dictionary).amax())

    def _pose(
        self,
        n_samples: int,
        dictionary: Tensor,
        unit: Tensor,
        gram: Tensor | None,
        positive: bool,
        mask: Tensor | None,
    ) -> Problem:
        """Scale the dictionary, and compute what all blocks need of it."""
        if (unit != 1).any():
            # A given Gram matrix may have over- or underflowed.
            dictionary, gram = dictionary / unit[..., None], None
        if mask is not None:
            seen = mask.to(dictionary.dtype)
            return Problem(dictionary, unit, None, dictionary, None, positive, seen)
        basis = self._basis(dictionary)
        atoms = dictionary if basis is None else dictionary @ basis
        problem = Problem(dictionary, unit, basis, atoms, gram, positive)
        if gram is None and self._gram_pays(n_samples, atoms):
            return replace(problem, gram=problem.correlations(atoms))
        return problem

    def _blocks(self, X: Tensor, dictionary: Tensor) -> Iterator[slice]:
        """Rows of ``X`` that are solved together."""
        width = max(dictionary.shape)
        return row_blocks(X, width, times=self._block_size, least=_LEAST_ROWS)

    def _solve_rows(
        self, X: Tensor, problem: Problem, alpha: Tensor, init: Tensor | None, codes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Solve a block of samples of any size into ``codes``, which are 0.

        Returns what `_solve_scaled` returns, in the unit of ``X``.
        """
        size, unit = power_of_four(magnitude(X)), problem.unit
        is_scaled = bool((size != 1).any()) or bool((unit != 1).any())
        if is_scaled:
            X = X / size[:, None]
        if init is not None:
            codes.copy_(times_ratio(init, unit, size[:, None]) if is_scaled else init)
            if problem.positive:
                codes.clamp_(min=0)
            if problem.mask is not None:  # atoms of which nothing is observed
                codes.mul_(problem.squared_norms() > 0)
        weight = self._scaled_weight(alpha, size, unit)
        n_iter, error, converged = self._solve_scaled(X, problem, weight, codes)
        if is_scaled:
            rescaled = times_ratio(codes, size[:, None], unit)
            what = f"{type(self).__name__}: codes"
            check_range(what, codes, rescaled, size, bool((unit > 1).any()))
            codes.copy_(rescaled)
        # The square of the size may be too large, or too small.
        return n_iter, error * size * size, converged

    def _scaled_weight(self, alpha: Tensor, size: Tensor, unit: Tensor) -> Tensor:
        """The weight of the L1 norm for samples and atoms divided by ``size`` and ``unit``."""
        return alpha / size / unit.amax()

    @abstractmethod
    def _solve_scaled(
        self, X: Tensor, problem: Problem, alpha: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Solve a block of samples in place: ``codes`` holds the start and receives the solution.

        ``alpha`` has shape (n_samples,), float64. Returns, each of shape (n_samples,), the
        iterations, how good the codes are (the duality gap, or ||x - z D||^2; float64), and whether
        that is good enough.
        """

    @abstractmethod
    def _report(
        self, codes: Tensor, error: Tensor, n_iter: Tensor, converged: Tensor, engine: str
    ) -> SolverResult:
        """The result, with ``error`` what `_solve_scaled` found of it."""

    def _look_again(
        self,
        result: SolverResult,
        X: Tensor,  # noqa: ARG002  (some solvers look)
        dictionary: Tensor,  # noqa: ARG002
        alpha: Tensor,  # noqa: ARG002
        positive: bool,  # noqa: ARG002
        mask: Tensor | None,  # noqa: ARG002
    ) -> SolverResult:
        """The result, or a better one where the dtype was too coarse."""
        return result

    def _basis(self, dictionary: Tensor) -> Tensor | None:  # noqa: ARG002  (some solvers look)
        """Orthonormal basis of the space to solve in; None for that of the features."""
        return None

    def _gram_pays(self, n_samples: int, dictionary: Tensor) -> bool:  # noqa: ARG002  (likewise)
        """Whether to compute D D^T, which costs as much as ``n_components`` samples times D."""
        return False

    def _engine_for(self, problem: Problem) -> str:
        """The engine that solves the problem."""
        return resolve_engine("torch", problem.atoms)

    def _n_threads(self, problem: Problem) -> int:  # noqa: ARG002  (those with kernels look)
        """Threads of the compiled kernels; 0 where torch solves the problem."""
        return 0


@dataclass(frozen=True)
class Compiled:
    """Fields of the solvers with compiled kernels beside torch.

    Parameters
    ----------
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels on the CPU, or torch. "auto" takes numba where it is installed and the data
        are on the CPU.
    n_jobs : int, default=None
        Threads of the compiled kernels; None or -1 for as many as torch uses.
    """

    engine: str = "auto"
    n_jobs: int | None = None
    has_kernels: ClassVar[bool] = True

    def _engine_for(self, problem: Problem) -> str:
        return resolve_engine(self.engine, problem.atoms)

    def _n_threads(self, problem: Problem) -> int:
        """Threads of the compiled kernels; 0 where torch solves the problem."""
        return resolve_n_jobs(self.n_jobs) if self._engine_for(problem) == "numba" else 0
