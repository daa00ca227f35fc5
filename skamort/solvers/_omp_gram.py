"""Orthogonal matching pursuit by the Gram matrix G = D D^T, in torch, for `OMP` and `ORMP`.

The atoms of the support are orthonormalized one after the other, Q = T^T D_S with T upper
triangular. No q is ever formed, only its correlation with every atom, a sum of rows of G. When atom
j joins,

    r = T^T G_Sj,   rho^2 = G_jj - ||r||^2,   t = [-T r; 1] / rho    the new column of T
    y = c_j / rho,  w = t^T G_S = D q,        c <- c - y w

and ||d_l||^2 - sum w_l^2 is what the support leaves of atom l. The coefficients are z = T y.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Problem
from ._ksparse import DEPENDENT, sum_of_rows
from ._pursuit import any_of, least_left, leave_out, squared_norm

_TILE = 64


def pursue_by_gram(
    X: Tensor,
    problem: Problem,
    gram: Tensor,
    k: int,
    recursive: bool,
    enough: Tensor | None,
    codes: Tensor,
) -> tuple[Tensor, Tensor]:
    """Signed pursuit for a block; codes are written, iterations and ||x - z D||^2 returned."""
    n_samples, n_components, dictionary = len(X), len(gram), problem.atoms
    eps = torch.finfo(X.dtype).eps
    norms = gram.diagonal()
    least = least_left(norms)
    floor = (4 * eps) ** 2 * X.square().sum(dim=1)
    c = problem.correlations(X)
    left = norms.expand_as(c).clone() if recursive else None
    triangle, y = X.new_zeros(n_samples, k, k), X.new_zeros(n_samples, k)
    support = torch.zeros(n_samples, k, dtype=torch.int64, device=X.device)
    score = X.new_zeros(n_samples, -(-n_components // _TILE) * _TILE)
    n_iter = torch.zeros(n_samples, dtype=torch.int64, device=X.device)
    step, hidden = 0, None
    while step < k:
        _score(c, left, least, score[:, :n_components])
        chosen = _argmax(score)
        best = c.gather(1, chosen[:, None])[:, 0]
        known, inner = triangle[:, :step, :step], gram[support[:, :step], chosen[:, None]]
        shares = torch.bmm(inner[:, None, :], known)
        length = norms[chosen] - shares.square().sum(dim=(1, 2))
        goes_on = best.square() > floor * norms[chosen]
        if enough is not None:
            goes_on &= ~_is_near(X, dictionary, support[:, :step], known, y[:, :step], enough)
        live = goes_on & (length > least[chosen])
        has_live, has_spent = any_of(live, goes_on & ~live)
        if has_spent:
            hidden = leave_out(c, hidden, chosen, goes_on & ~live)
            continue
        if not has_live:
            break
        inverse = torch.where(live, length.rsqrt(), 0)
        triangle[:, :step, step] = torch.bmm(known, shares.mT)[:, :, 0] * -inverse[:, None]
        triangle[:, step, step] = inverse
        support[:, step], y[:, step] = chosen, best * inverse
        n_iter += live
        if step + 1 < k:
            column, atoms = triangle[:, : step + 1, step], support[:, : step + 1]
            w = sum_of_rows(gram, atoms, column)
            c.addcmul_(y[:, step, None], w, value=-1).scatter_(1, atoms, 0)
            if hidden is not None:
                c.masked_fill_(hidden, 0)
            if left is not None:
                left.addcmul_(w, w, value=-1)
        step += 1
    z = torch.bmm(triangle, y[:, :, None])[:, :, 0]
    codes.scatter_add_(1, support, z)
    return n_iter, squared_norm(X - sum_of_rows(dictionary, support, z))


def _is_near(
    X: Tensor, dictionary: Tensor, support: Tensor, triangle: Tensor, y: Tensor, enough: Tensor
) -> Tensor:
    """Which samples have a squared residual of at most ``enough``.

    It is ||x||^2 - ||y||^2 but for rounding; computed by itself where rounding decides.
    """
    energy, slack = squared_norm(X), DEPENDENT * torch.finfo(X.dtype).eps
    near = energy - squared_norm(y) <= enough + slack * energy
    if near.any():
        z = torch.bmm(triangle[near], y[near, :, None])[:, :, 0]
        left = X[near] - sum_of_rows(dictionary, support[near], z) if z.shape[1] else X[near]
        near[near.clone()] = squared_norm(left) <= enough[near]
    return near


def _score(c: Tensor, left: Tensor | None, least: Tensor, out: Tensor) -> None:
    """What OMP, or ORMP where ``left`` is known, maximizes."""
    if left is None:
        torch.abs(c, out=out)
    else:
        torch.div(c.square(), torch.maximum(left, least), out=out)


def _argmax(score: Tensor) -> Tensor:
    """The column of every row's maximum, >= 0: that of the tile's, then of the columns in the tile.

    On a CPU torch finds a maximum ten times faster than its place.
    """
    tiles = score.view(len(score), -1, _TILE)
    tile = tiles.amax(dim=2).argmax(dim=1)
    first = torch.arange(0, tiles.shape[0] * tiles.shape[1], tiles.shape[1], device=score.device)
    return tile * _TILE + score.view(-1, _TILE)[first + tile].argmax(dim=1)
