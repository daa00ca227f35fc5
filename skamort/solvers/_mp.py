"""Matching pursuit: the cheapest greedy step, one coefficient at a time.

    j = argmax |<d_j, r>| / ||d_j||,   s = <d_j, r> / ||d_j||^2,   z_j <- z_j + s,   r <- r - s d_j

An atom may be chosen again, so k steps give at most k non-zeros. Where positive, only steps with
<d_j, r> > 0 are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._base import Problem
from ._pursuit import Pursuit, squared_norm


@dataclass(frozen=True)
class MP(Pursuit):
    """Matching pursuit.

    Choose it for reproduction of older work, or where atoms are nearly orthogonal; `OMP` reaches a
    smaller residual with as many non-zeros. Every step costs one product of (n_samples, n_features)
    with the dictionary.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Number of steps, hence most non-zeros; None for a tenth of the features, or with
        ``residual_tol`` as many as there are.
    residual_tol : float, default=None
        A sample is done where ||x - z D||^2 is at most this; None: after its number of steps.

    References
    ----------
    S. Mallat and Z. Zhang, Matching pursuits with time-frequency dictionaries, 1993.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import MP
    >>> MP(n_nonzero_coefs=1).solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), positive=False).codes
    tensor([[3., 0.]])
    """

    def _pursue_steps(
        self, X: Tensor, problem: Problem, k: int, enough: Tensor | None, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        dictionary, positive = problem.atoms, problem.positive
        lengths = dictionary.norm(dim=1)
        n_iter = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        residual = X
        for _ in range(k):
            fit = problem.correlations(residual) / lengths
            best = (fit.clamp(min=0) if positive else fit.abs()).argmax(dim=1, keepdim=True)
            value = fit.gather(1, best)
            step = (value.clamp(min=0) if positive else value) / lengths[best]
            if enough is not None:
                step = torch.where((squared_norm(residual) > enough)[:, None], step, 0)
            codes.scatter_add_(1, best, step)
            residual = residual - step * dictionary[best[:, 0]]
            n_iter += (step != 0)[:, 0]
        return n_iter, squared_norm(residual)
