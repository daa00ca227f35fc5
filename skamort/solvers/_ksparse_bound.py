"""What no k-sparse codes of some size can go below.

Of the codes z of at most k non-zeros with ||z||_1 <= tau and ||z||_2 <= rho, and for any u,

    1/2 ||x - z D||^2 >= <u, x - z D> - 1/2 ||u||^2 >= <u, x> - 1/2 ||u||^2 - h(u D^T)

where h(c) is the most that <c, z> can be. With g the k largest magnitudes of c (the k largest
positive parts where codes are >= 0), and for any lambda >= 0,

    h(c) <= lambda tau + rho ||(g - lambda)_+||_2,

with equality at the best lambda: it is tau max g at lambda = max g, where the L1 norm alone counts,
and rho ||g||_2 at lambda = 0, where it does not. The best length of u is known,

    max_s  s (<u, x> - h) - 1/2 s^2 ||u||^2 = (<u, x> - h)_+^2 / (2 ||u||^2).

Directions u are residuals of the lasso's codes with ||z||_1 = tau, sought over the penalty. Where
the L2 norm binds, better directions exist, but steps towards them (Frank-Wolfe's) won no more than
two parts in a thousand on any data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._validation import as_tensor, check_codes, check_dictionary
from ._blocks import row_blocks
from ._cd import CoordinateDescent
from ._certificate import largest

# Lasso problems that are solved on the way to the penalty of the given L1 norm, their tolerance,
# and how near is near enough.
_PENALTIES, _TOL, _NEAR = 6, 1e-3, 0.02


def ksparse_bound(
    X, codes, dictionary, positive=False, *, n_nonzero_coefs=None, max_l1=None, max_l2=None
):
    """Bound from below what k-sparse codes leave, of all that are no larger than given ones.

    The bound holds for all codes z of a sample with at most as many non-zeros as the given one, and
    with L1 and L2 norms no larger: 1/2 ||x - z D||^2 is not less. Of larger codes of nearly
    parallel atoms that cancel, nothing is said.

    Parameters
    ----------
    X : array-like or Tensor of shape (n_samples, n_features)
        Data.
    codes : array-like or Tensor of shape (n_samples, n_components)
        Codes, the better the nearer is the bound; :class:`Exchange` finds good ones.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms, one a row, of any norm but zero.
    positive : bool, default=False
        Whether the bound is about codes >= 0 only.
    n_nonzero_coefs : int or array-like of shape (n_samples,), default=None
        Most non-zeros of a sample. None: as many as ``codes`` has there.
    max_l1 : float or array-like of shape (n_samples,), default=None
        Largest L1 norm of a sample's codes. None: that of ``codes``.
    max_l2 : float or array-like of shape (n_samples,), default=None
        Largest L2 norm of a sample's codes. None: that of ``codes``.

    Returns
    -------
    bound : ndarray or Tensor of shape (n_samples,)
        In float64, >= 0.

    Raises
    ------
    ValueError
        NaN, infinity, a zero atom, negative limits, or shapes that do not fit.
    TypeError
        A number of non-zeros that is no integer.

    See Also
    --------
    duality_gap : The bound for codes of any size, under an L1 penalty.
    skamort.metrics.amortization_gap : What an encoder's codes leave above it.

    References
    ----------
    A. Argyriou, R. Foygel and N. Srebro, Sparse prediction with the k-support norm, 2012, of which
    rho ||g||_2 is the dual norm.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.solvers import ksparse_bound
    >>> X, codes = np.array([[3.0, 1.0]]), np.array([[3.0, 0.0]])
    >>> ksparse_bound(X, codes, np.eye(2))
    array([0.25])
    """
    data = as_tensor(X, "X")
    atoms = check_dictionary(dictionary, data)
    z = check_codes(codes, "codes", data, atoms).double()
    given = {"n_nonzero_coefs": n_nonzero_coefs, "max_l1": max_l1, "max_l2": max_l2}
    own = (z != 0).sum(dim=1), z.abs().sum(dim=1), z.norm(dim=1)
    limit, l1, l2 = (
        _by_sample(values if values is not None else of_codes, name, z)
        for (name, values), of_codes in zip(given.items(), own, strict=True)
    )
    allowed = _Allowed(limit.clamp(max=len(atoms)), l1, l2, positive)
    bound = torch.zeros_like(l1)
    width = max(*atoms.shape, int(limit.max()) ** 2)
    for rows in row_blocks(data, width, times=4):
        bound[rows] = _bound(data[rows], z[rows], atoms, allowed.of(rows))
    return bound if isinstance(X, Tensor) else bound.numpy()


def _by_sample(values: Any, name: str, like: Tensor) -> Tensor:
    """Numbers >= 0 of all samples, float64, of one for all or of one each."""
    numbers = torch.as_tensor(values, device=like.device)
    counts = name == "n_nonzero_coefs"
    if numbers.dtype == torch.bool or (counts and numbers.is_floating_point()):
        raise TypeError(
            f"ksparse_bound: {name} must be {'integers' if counts else 'numbers'}, got "
            f"{numbers.dtype}."
        )
    if numbers.shape not in ((), (len(like),)):
        raise ValueError(
            f"ksparse_bound: {name} must be a number, or one for each of the {len(like)} samples, "
            f"got shape {tuple(numbers.shape)}."
        )
    if not (numbers >= 0).all():
        raise ValueError(f"ksparse_bound: {name} must be >= 0, got {values!r}.")
    return numbers.double().expand(len(like))


@dataclass(frozen=True)
class _Allowed:
    """The codes that a bound is about, by sample: their non-zeros, norms and sign."""

    limit: Tensor
    l1: Tensor
    l2: Tensor
    positive: bool

    def of(self, rows: slice | Tensor) -> _Allowed:
        """Those of some of the samples."""
        return _Allowed(self.limit[rows], self.l1[rows], self.l2[rows], self.positive)

    def height(self, correlations: Tensor) -> Tensor:
        """The most that <c, z> can be."""
        size = correlations.clamp(min=0) if self.positive else correlations.abs()
        most = max(int(self.limit.max()), 1)
        top = size.topk(most, dim=1).values
        top = top * (torch.arange(most, device=top.device) < self.limit[:, None])
        level = self._levels(top)
        rest = (top[:, None, :] - level[:, :, None]).clamp(min=0).norm(dim=2)
        return (self.l1[:, None] * level + self.l2[:, None] * rest).amin(dim=1)

    def _levels(self, top: Tensor) -> Tensor:
        """Values of lambda, the best among them: for every number m of g above it the one where
        the slope vanishes, rho (sum g - m lambda) = tau ||g - lambda||, and both ends."""
        m = torch.arange(1, top.shape[1] + 1, dtype=top.dtype, device=top.device)
        sums, squares = top.cumsum(dim=1), top.square().cumsum(dim=1)
        tau, rho = self.l1[:, None].square(), self.l2[:, None].square()
        spread = (rho * sums.square() - tau * squares) / (m * (rho * m - tau))
        level = sums / m - ((sums / m).square() - spread).clamp(min=0).sqrt()
        level = torch.where(level.isfinite(), level, 0).clamp(min=0)
        level = torch.minimum(level, top[:, :1])
        return torch.cat([level, torch.zeros_like(top[:, :1]), top[:, :1]], dim=1)


def _bound(X: Tensor, codes: Tensor, atoms: Tensor, allowed: _Allowed) -> Tensor:
    """The best bound of all directions, for a block of samples."""
    data, exact = X.double(), atoms.double()
    bound, most = _bound_along(data, data, exact, allowed)
    found, alpha = _bound_along(data - codes @ exact, data, exact, allowed)
    bound, least = torch.maximum(bound, found), torch.zeros_like(bound)
    # How far the L1 norms at both penalties are from that which is sought.
    above, below = torch.full_like(bound, torch.inf), -allowed.l1
    alpha, z = torch.where(alpha < most, alpha, 0.5 * most), torch.zeros_like(X @ atoms.T)
    left = (allowed.l1 * most > 0).nonzero()[:, 0]
    for _ in range(_PENALTIES):
        if not len(left):
            break
        z[left] = (
            CoordinateDescent(tol=_TOL)
            .solve(X[left], atoms, positive=allowed.positive, alpha=alpha[left], init=z[left])
            .codes
        )
        codes = z[left].double()
        found, _ = _bound_along(data[left] - codes @ exact, data[left], exact, allowed.of(left))
        bound[left] = torch.maximum(bound[left], found)
        excess = codes.abs().sum(dim=1) - allowed.l1[left]
        over, under = left[excess > 0], left[excess <= 0]
        least[over], above[over] = alpha[over], excess[excess > 0]
        most[under], below[under] = alpha[under], excess[excess <= 0]
        left = left[excess.abs() > _NEAR * allowed.l1[left]]
        alpha = _between(least, most, above, below)
    return bound


def _between(least: Tensor, most: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """A penalty between two whose codes are too large, by ``above``, and too small, by ``below``:
    where the line through both is 0, away from the ends."""
    share = torch.where(above.isinf(), 0.5, below / (below - above))
    return most - share.clamp(0.05, 0.95) * (most - least)


def _bound_along(u: Tensor, X: Tensor, atoms: Tensor, allowed: _Allowed) -> tuple[Tensor, Tensor]:
    """The bound that a direction gives, and its largest correlation with an atom."""
    correlations = u @ atoms.T
    gain = ((u * X).sum(dim=1) - allowed.height(correlations)).clamp(min=0)
    energy = u.square().sum(dim=1)
    bound = torch.where(energy > 0, 0.5 * gain.square() / energy, 0)
    return bound, largest(correlations, allowed.positive)
