"""What holds whatever a solver of the lasso does: no codes are worse than zero or than their start.

And no codes are called inaccurate where only their rounding to float32 is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Problem, SolverResult
from ._certificate import certified_gap, objective, observed


def shrink_start(
    X: Tensor, dictionary: Tensor, alpha: Tensor, codes: Tensor, mask: Tensor | None = None
) -> None:
    """Multiply, in place, every start that is worse than zero by what makes it best; 0 at the
    worst."""
    image = observed(codes @ dictionary, mask)
    energy = image.square().sum(dim=1)
    fit = (X * image).sum(dim=1) - alpha * codes.abs().sum(dim=1)
    worse = ~(0.5 * energy <= fit)
    if worse.any():
        factor = (fit / energy)[worse, None]
        codes[worse] = torch.where(factor > 0, factor * codes[worse], 0)


def keep_better(
    X: Tensor,
    problem: Problem,
    alpha: Tensor,
    start: Tensor | None,
    codes: Tensor,
    gap: Tensor,
    value: Tensor,
) -> None:
    """Take the start, in place, where the codes are worse or not finite.

    ``start`` is not worse than zero; None is zero. ``value`` is the objective of the codes. ``gap``
    follows.
    """
    if start is None:
        before = 0.5 * X.double().square().sum(dim=1)
    else:
        before = objective(X, start, problem.exact_dictionary, alpha, problem.mask)
    worse = ~(value <= before)
    if worse.any():
        codes[worse] = 0 if start is None else start[worse]
        exact, mask = problem.exact_dictionary, problem.of(worse).mask
        gap[worse] = certified_gap(
            X[worse], codes[worse], exact, alpha[worse], problem.positive, mask
        )


def round_exact(
    rough: SolverResult,
    exact: SolverResult,
    left: Tensor,
    X: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    tol: float,
    mask: Tensor | None,
) -> None:
    """Give ``rough``, in place, codes or gaps of what was solved in float64 for its rows ``left``.

    Rounded codes have a residual that is no good dual point where alpha is small. That of the codes
    before rounding is, and what rounding adds to the objective adds to the gap.

    ``X``, ``dictionary``, ``alpha`` and ``mask`` are those of the rows, in float64.
    """
    least = objective(X, exact.codes, dictionary, alpha, mask)
    kept, rounded = rough.codes[left], exact.codes.to(rough.codes.dtype)
    before, after = (objective(X, z, dictionary, alpha, mask) for z in (kept, rounded))
    better = after < before
    bound = exact.gap + (torch.where(better, after, before) - least).clamp(min=0)
    gap = torch.where(better, bound, torch.minimum(bound, rough.gap[left]))
    rough.codes[left] = torch.where(better[:, None], rounded, kept)
    rough.gap[left] = gap
    rough.n_iter[left] += exact.n_iter
    rough.converged[left] = gap <= tol * 0.5 * X.square().sum(dim=1)
