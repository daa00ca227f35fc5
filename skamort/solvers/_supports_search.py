"""All supports in torch, for `BranchAndBound`: a block of them at a time, for all samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, islice

import torch
from torch import Tensor

from .._device import blocks_larger_by
from ._base import Problem
from ._blocks import BLOCK_ELEMENTS
from ._certificate import directions
from ._ksparse import DEPENDENT
from ._pursuit import least_left, squared_norm
from ._supports import Supports, fit_supports


def search(
    X: Tensor, problem: Problem, k: int, node_limit: int, residual: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Look at every support of fewer than k atoms, with one atom more.

    Samples are done where ``residual``, of the codes to beat, is what least squares on all atoms
    leaves.

    Returns
    -------
    n_iter : Tensor of shape (n_samples,)
        Supports that were extended.
    bound : Tensor of shape (n_samples,)
        No codes leave less than this, float64; infinity where the best are found.
    support : Tensor of shape (n_samples, k)
        The best support, filled up with -1; all -1 where none beats ``residual``.
    """
    atoms, data = problem.exact_dictionary, X.double()
    exact = replace(problem, atoms=atoms, gram=atoms @ atoms.T)
    energy, basis = squared_norm(data), directions(atoms)
    slack = DEPENDENT * torch.finfo(data.dtype).eps * energy
    bound = squared_norm(data - data @ basis @ basis.T)
    most = energy - residual  # explained by the best support so far
    n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
    best = torch.full((len(X), k), -1, device=X.device)
    left = (residual - slack > bound).nonzero()[:, 0]
    width = len(X) * k * len(atoms)
    size = max(1, 4 * blocks_larger_by(X.device) * BLOCK_ELEMENTS // width)
    for block in _supports(len(atoms), k, size, node_limit):
        if not len(left):
            break
        support = block.to(X.device)
        gained, found = _best_of(data[left] @ atoms.T, exact, support)
        wins = gained > most[left] + slack[left]
        most[left[wins]] = gained[wins]
        best[left[wins], : found.shape[1]] = found[wins]
        n_iter[left] += len(block)
        left = left[energy[left] - most[left] - slack[left] > bound[left]]
    if sum_of_binomials(len(atoms), k) <= node_limit:
        left = left[:0]
    done = torch.ones_like(n_iter, dtype=torch.bool)
    done[left] = False
    return n_iter, torch.where(done, torch.inf, bound), best


def sum_of_binomials(n: int, k: int) -> int:
    """Subsets of fewer than k of n."""
    total = term = 1
    for size in range(1, k):
        term = term * (n - size + 1) // size
        total += term
    return total


def _supports(n_components: int, k: int, size: int, node_limit: int) -> Iterator[Tensor]:
    """Subsets of fewer than k atoms, the small ones first, in blocks of those of one size."""
    for n_atoms in range(k):
        subsets = combinations(range(n_components), n_atoms)
        while node_limit > 0 and (block := list(islice(subsets, min(size, node_limit)))):
            node_limit -= len(block)
            yield torch.tensor(block, dtype=torch.int64).view(len(block), n_atoms)


def _best_of(cov: Tensor, problem: Problem, support: Tensor) -> tuple[Tensor, Tensor]:
    """What is explained at most by any of the supports with one atom more; that support.

    Supports, (n_supports, size), are those of all samples.
    """
    active = torch.ones_like(support, dtype=torch.bool)
    fit = fit_supports(cov.new_zeros(len(support), cov.shape[1]), problem, support, active)
    shares = torch.einsum("mab,nmb->nma", fit.inverse, cov[:, support])
    rest = cov[:, None, :] - torch.einsum("nma,maj->nmj", shares, fit.rows)
    far = fit.left > least_left(problem.squared_norms())
    code = torch.where(far, rest / fit.left, 0)
    explained = shares.square().sum(dim=2, keepdim=True) + code * rest
    if problem.positive:
        explained.masked_fill_(~_is_positive(fit, shares, code), -torch.inf)
    most, place = explained.flatten(1).max(dim=1)
    row, atom = place // cov.shape[1], place % cov.shape[1]
    return most, torch.cat([support[row], atom[:, None]], dim=1)


def _is_positive(fit: Supports, shares: Tensor, code: Tensor) -> Tensor:
    """Whether all codes of a support are above 0, with every atom more."""
    z = torch.einsum("mba,nmb->nma", fit.inverse, shares)
    dual = torch.einsum("mba,mbj->maj", fit.inverse, fit.rows)
    others = z[:, :, :, None] - dual * code[:, :, None, :]
    return (code > 0) & (others > 0).all(dim=2)
