"""Least squares on each sample's own atoms, by compiled kernels or in torch; non-negative where
codes must be."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._threads import run_in_threads
from ._base import Problem
from ._certificate import observed
from ._ksparse import refit


class Fit(NamedTuple):
    """The least squares of every sample.

    Parameters
    ----------
    z : Tensor of shape (n_samples, size)
        Coefficients.
    active : Tensor of shape (n_samples, size)
        The atoms that are used, bool.
    residual : Tensor of shape (n_samples, n_features)
        x - z D, where observed.
    error : Tensor of shape (n_samples,)
        Its squared norm, float64.
    rounds : Tensor of shape (n_samples,)
        1, and one for each time that a dropped atom came back; int64.
    """

    z: Tensor
    active: Tensor
    residual: Tensor
    error: Tensor
    rounds: Tensor


def least_squares(
    X: Tensor, problem: Problem, support: Tensor, start: Tensor, allowed: Tensor, n_jobs: int
) -> Fit:
    """Solve for every sample on its ``support``, where ``allowed``: a row's first so many.

    ``start`` are coefficients to come from, >= 0 where codes must be. ``n_jobs`` threads run
    compiled kernels; 0 for torch. Rows of nearly dependent atoms are torch's anyway.
    """
    if n_jobs == 0:
        return _by_torch(X, problem, support, start, allowed)
    fit = _compiled(X, problem, support, start, allowed, n_jobs)
    left = (fit.rounds == 0).nonzero()[:, 0]
    if len(left):
        rows = [a[left] for a in (support, start, allowed)]
        for whole, part in zip(fit, _by_torch(X[left], problem.of(left), *rows), strict=True):
            whole[left] = part
    return fit


def refit_large(X: Tensor, problem: Problem, k: int, codes: Tensor, residual: Tensor) -> None:
    """Solve again, in place, for samples whose codes are so large that they cancel: those of nearly
    dependent atoms, of whose differences products of atoms keep few digits.

    ``codes`` have at most k non-zeros, and ``residual`` is ||x - z D||^2, float64.
    """
    sizes = torch.linalg.vector_norm(codes, dim=1)
    limit = torch.finfo(X.dtype).eps ** -0.125 * torch.linalg.vector_norm(X, dim=1)
    rows = (sizes > limit).nonzero()[:, 0]
    if not len(rows):
        return
    support = codes[rows].abs().topk(k, dim=1).indices
    start = codes[rows].gather(1, support)
    fit = _by_torch(X[rows], problem.of(rows), support, start, start != 0)
    better = fit.error < residual[rows]
    rows, support, z = rows[better], support[better], fit.z[better]
    codes[rows] = torch.zeros_like(codes[rows]).scatter_(1, support, z)
    residual[rows] = fit.error[better]


def _compiled(
    X: Tensor, problem: Problem, support: Tensor, start: Tensor, allowed: Tensor, n_jobs: int
) -> Fit:
    from ._least_squares_numba import least_squares_rows

    n_samples = len(X)
    error = torch.zeros(n_samples, dtype=torch.float64)
    rounds = torch.zeros(n_samples, dtype=torch.int64)
    z, used = start.new_zeros(start.shape), torch.zeros(start.shape, dtype=torch.bool)
    fit = Fit(z, used, X.new_empty(X.shape), error, rounds)
    seen = X[:, :0] if problem.mask is None else problem.mask
    rows = X, seen, support, start, allowed, fit.z, fit.active, rounds, fit.residual, error
    by_row = [a.contiguous().numpy() for a in rows]
    atoms = problem.atoms.contiguous().numpy()
    run_in_threads(
        lambda part: least_squares_rows(atoms, problem.positive, *(a[part] for a in by_row)),
        n_samples,
        n_jobs,
    )
    return fit


def _by_torch(X: Tensor, problem: Problem, support: Tensor, start: Tensor, allowed: Tensor) -> Fit:
    """Lawson and Hanson: refit, let the atom with the largest positive gradient come back,
    refit."""
    positive, seen = problem.positive, None if problem.mask is None else problem.mask[:, None]
    atoms = observed(problem.atoms[support], seen)
    z, active = refit(atoms, X, start, allowed, positive)
    rounds = torch.ones(len(X), dtype=torch.int64, device=X.device)
    noise = 100 * torch.finfo(X.dtype).eps * X.norm(dim=1, keepdim=True) * atoms.norm(dim=2)
    for _ in range(3 * atoms.shape[1]):
        residual = X - torch.bmm(z[:, None, :], atoms)[:, 0]
        gradient = torch.bmm(atoms, residual[:, :, None])[:, :, 0]
        gradient = torch.where(allowed & ~active & (gradient > noise), gradient, 0)
        best, index = gradient.max(dim=1, keepdim=True)
        if not positive or not (best > 0).any():
            break
        candidate = active | torch.zeros_like(active).scatter_(1, index, best > 0)
        z, active = refit(atoms, X, z, candidate, positive)
        rounds += (best > 0)[:, 0]
    # In float64: codes of nearly parallel atoms are large and cancel.
    residual = X.double() - torch.bmm(z[:, None, :].double(), atoms.double())[:, 0]
    return Fit(z, active, residual.to(X.dtype), residual.square().sum(dim=1), rounds)
