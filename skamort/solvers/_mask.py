"""Samples with entries missing: the error counts the observed ones.

    min_z  1/2 ||m * (x - z D)||^2 + alpha ||z||_1       m is 1 where x is observed and 0 elsewhere

Every sample has a dictionary of its own then, that of the atoms d_j * m. Samples that lack the same
entries share theirs, and are a problem like any other in the features that are left. Where masks
differ from sample to sample, solvers that can do it multiply by m on the way, and the others solve
a problem for each mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._numbers import as_array, has_masked
from ._certificate import certified_gap

if TYPE_CHECKING:
    from ._base import Solver, SolverResult

# So many samples with the same mask, and one more for so many atoms, pay for a problem of their
# own.
_LEAST_ROWS, _ATOMS_PER_ROW = 64, 4


def check_mask(mask: Any, X: Any) -> Tensor | None:
    """The mask as a tensor on the device of the data; None where there is none."""
    if mask is None:
        return None
    values = mask.detach() if isinstance(mask, Tensor) else torch.from_numpy(_whole(mask))
    if values.dtype != torch.bool:
        raise TypeError(
            f"mask must be boolean, True where X is observed, got {values.dtype}; pass mask != 0."
        )
    if values.shape != np.shape(X):
        raise ValueError(
            f"mask must have the shape {tuple(np.shape(X))} of X, got {tuple(values.shape)}."
        )
    return values.to(X.device) if isinstance(X, Tensor) else values.cpu()


def _whole(mask: Any) -> np.ndarray:
    if has_masked(mask):
        raise ValueError("mask has masked entries itself; fill them, False where X is missing.")
    return np.array(mask)


def fill_missing(X: Any, mask: Tensor | None) -> Any:
    """X with 0 where it is not observed: what stands there is never looked at."""
    if mask is None:
        return X
    if isinstance(X, Tensor):
        return torch.where(mask, X, 0)
    X = as_array(X)
    return np.where(mask.numpy(), X, np.zeros((), X.dtype))


def rows_by_mask(mask: Tensor, least: int = 1) -> tuple[list[Tensor], Tensor]:
    """Numbers of the rows that have the same mask, for every mask that at least so many have; and
    those of the other rows."""
    packed = np.packbits(mask.cpu().numpy(), axis=1)
    _, which, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
    which = which.ravel()
    order, ends = torch.from_numpy(which.argsort(kind="stable")).to(mask.device), counts.cumsum()
    shared = counts >= least
    groups = [order[end - n : end] for n, end in zip(counts[shared], ends[shared], strict=True)]
    return groups, torch.from_numpy(np.flatnonzero(~shared[which])).to(mask.device)


def solve_masked(
    solver: Solver,
    X: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    positive: bool,
    init: Tensor | None,
    mask: Tensor,
) -> SolverResult:
    """Solve for the codes of samples with entries missing, which are 0 in ``X``."""
    solver = solver._with_limits_of(dictionary)
    # Where an L1 norm costs nothing, atoms that are hardly observed have codes of any size.
    together = solver.takes_masks and (solver.is_k_sparse or bool(alpha.all()))
    least = max(_LEAST_ROWS, len(dictionary) // _ATOMS_PER_ROW) if together else 1
    groups, others = rows_by_mask(mask, least)
    parts: list[tuple[Tensor, Callable[..., SolverResult]]]
    parts = [(rows, _solve_alike) for rows in groups]
    if len(others):
        parts.append((others, type(solver)._solve_together))
    found = [
        solve(solver, X[rows], dictionary, alpha[rows], positive, _rows(init, rows), mask[rows])
        for rows, solve in parts
    ]
    return joined([rows for rows, _ in parts], found)


def _solve_alike(
    solver: Solver,
    X: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    positive: bool,
    init: Tensor | None,
    mask: Tensor,
) -> SolverResult:
    """Solve for samples with the same mask, in the features that are observed."""
    seen = mask[0]
    atoms, X = dictionary[:, seen], X[:, seen]
    used = (atoms != 0).any(dim=1)
    codes = X.new_zeros(len(X), len(dictionary))
    if not used.any():
        return _without_atoms(solver, X, codes)
    start = None if init is None else init[:, used]
    result = solver._solve_together(X, atoms[used], alpha, positive, start)
    codes[:, used] = result.codes
    return replace(result, codes=codes)


def _without_atoms(solver: Solver, X: Tensor, codes: Tensor) -> SolverResult:
    """The result where no code can help: those that are 0."""
    energy = X.double().square().sum(dim=1)
    error = torch.zeros_like(energy)
    result = solver._report(codes, error, error.long(), error == 0, "torch")
    return replace(result, residual=energy) if solver.is_k_sparse else result


def _rows(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else values[rows]


def joined(rows: list[Tensor], parts: list[SolverResult]) -> SolverResult:
    """One result, of parts that have these rows of it."""
    order = torch.cat(rows).argsort()
    joined: dict[str, Any] = {
        field.name: torch.cat([getattr(part, field.name) for part in parts])[order]
        for field in fields(parts[0])
        if isinstance(getattr(parts[0], field.name), Tensor)
    }
    return replace(parts[-1], **joined)


def masked_gap(
    X: Tensor, codes: Tensor, dictionary: Tensor, alpha: Tensor, positive: bool, mask: Tensor | None
) -> Tensor:
    """`certified_gap` where entries may be missing, which are 0 in ``X``."""
    if mask is None or alpha.all():
        return certified_gap(X, codes, dictionary, alpha, positive, mask)
    gap = torch.zeros(len(X), dtype=torch.float64, device=X.device)
    for rows in rows_by_mask(mask)[0]:
        seen = mask[rows[0]]
        atoms = dictionary[:, seen]
        used = (atoms != 0).any(dim=1)
        if used.any():
            x, z = X[rows][:, seen], codes[rows][:, used]
            gap[rows] = certified_gap(x, z, atoms[used], alpha[rows], positive)
    return gap
