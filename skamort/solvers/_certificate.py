"""Duality gap of the lasso: how far codes can be from the best ones, proven.

For one sample x (n_features,), codes z (n_components,) and a dictionary D (n_components,
n_features),

    primal  P(z) = 1/2 ||x - z D||^2 + alpha ||z||_1     z >= 0 where positive
    dual    G(t) = 1/2 ||x||^2 - 1/2 ||x - t||^2         |D t| <= alpha, D t <= alpha where positive

and P(z) >= min P >= G(t) for every feasible t. The dual point is the residual r = x - z D, scaled
until it is feasible: t = s r with the best such s. Then

    P(z) - G(s r) = 1/2 (1 - s)^2 ||r||^2 + sum_j |z_j| (alpha - s sign(z_j) <d_j, r>),

a sum of terms that are never negative: nothing cancels, so rounding cannot make the gap negative.
Atoms need not have unit norm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._blocks import row_blocks
from ._scale import row_norms


def gap_from_residual(
    X: Tensor, codes: Tensor, residual: Tensor, correlations: Tensor, alpha: Tensor, positive: bool
) -> Tensor:
    """Duality gap from the residual and its correlations with the atoms.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Data.
    codes : Tensor of shape (n_samples, n_components)
        Codes to judge.
    residual : Tensor of shape (n_samples, n_features)
        ``X - codes @ dictionary``.
    correlations : Tensor of shape (n_samples, n_components)
        ``residual @ dictionary.T``.
    alpha : Tensor of shape (n_samples,)
        Weight of the L1 norm.
    positive : bool
        Whether codes must be >= 0.

    Returns
    -------
    gap : Tensor of shape (n_samples,)
        In the dtype of the inputs, never negative.
    """
    energy = residual.square().sum(dim=1)
    peak = largest(correlations, positive)
    return gap_from_peak(energy, (X * residual).sum(dim=1), peak, codes, correlations, alpha)


def gap_from_gram(
    energy: Tensor, cov: Tensor, codes: Tensor, correlations: Tensor, alpha: Tensor, positive: bool
) -> Tensor:
    """`gap_from_residual` without the residual, to the rounding of ``energy``.

    ``energy`` is ||x||^2, of shape (n_samples,), and ``cov`` is ``X @ dictionary.T``.
    """
    residual = energy - (codes * (cov + correlations)).sum(dim=1)
    fit = residual + (codes * correlations).sum(dim=1)
    peak = largest(correlations, positive)
    return gap_from_peak(residual.clamp(min=0), fit, peak, codes, correlations, alpha)


def largest(correlations: Tensor, positive: bool) -> Tensor:
    """Largest correlation of each sample that counts, at least 0."""
    return (correlations if positive else correlations.abs()).amax(dim=1).clamp(min=0)


def gap_from_peak(
    energy: Tensor, fit: Tensor, peak: Tensor, codes: Tensor, correlations: Tensor, alpha: Tensor
) -> Tensor:
    """The gap from ``energy`` = ||r||^2, ``fit`` = <x, r> and the largest correlation of any atom.

    ``codes`` and ``correlations`` may leave out atoms whose codes are zero.
    """
    scale = torch.where(energy > 0, fit.clamp(min=0) / energy, 0)
    scale = torch.where(scale * peak > alpha, alpha / peak, scale)
    slack = (alpha[:, None] - scale[:, None] * codes.sign() * correlations).clamp_(min=0)
    return 0.5 * (1 - scale).square() * energy + (codes.abs() * slack).sum(dim=1)


def is_silent(cov: Tensor, alpha: Tensor, positive: bool) -> Tensor:
    """Samples whose best codes are zero: no correlation with an atom exceeds ``alpha`` by
    more than rounding."""
    return largest(cov, positive) <= alpha * (1 + 8 * torch.finfo(cov.dtype).eps)


def span_of_atoms(dictionary: Tensor) -> Tensor | None:
    """Orthonormal basis (n_features, n_components) of the atoms' span, None where they are enough
    to fill space.

    What of a sample lies outside the span no codes can explain. It only adds a constant to the
    objective, but left in the residual it would spoil the dual point.
    """
    n_components, n_features = dictionary.shape
    return torch.linalg.qr(dictionary.T).Q if n_components < n_features else None


def certified_gap(
    X: Tensor,
    codes: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    positive: bool,
    mask: Tensor | None = None,
) -> Tensor:
    """`duality_gap` of checked tensors, in float64 whatever their dtype, in blocks of samples.

    ``alpha`` has shape (n_samples,), and with a ``mask``, outside of which ``X`` is 0, is not 0.
    """
    return certify(X, codes, dictionary, alpha, positive, mask)[0]


def certify(
    X: Tensor,
    codes: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    positive: bool,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`certified_gap`, and the objective, for which it has the residual."""
    dictionary = dictionary.double()
    basis = span_of_atoms(dictionary) if mask is None else None
    atoms = dictionary if basis is None else dictionary @ basis
    gap, value = torch.empty(2, len(X), dtype=torch.float64, device=X.device)
    for rows in row_blocks(X, max(dictionary.shape), times=2):
        x, z, weight = X[rows].double(), codes[rows].double(), alpha[rows].double()
        residual = observed(x - z @ dictionary, None if mask is None else mask[rows])
        value[rows] = 0.5 * residual.square().sum(dim=1) + weight * z.abs().sum(dim=1)
        if basis is not None:
            x, residual = x @ basis, residual @ basis
        correlations = residual @ atoms.T
        gap[rows] = gap_from_residual(x, z, residual, correlations, weight, positive)
    free = alpha == 0
    if free.any():
        gap[free] = _gap_of_least_squares(X[free], codes[free], dictionary, positive)
    return gap, value


def _gap_of_least_squares(X: Tensor, codes: Tensor, dictionary: Tensor, positive: bool) -> Tensor:
    """Duality gap where alpha is 0, and no scaling makes a residual feasible for its rounding.

    Atoms have any length then: with that of 1 all are rounded alike. Signed codes are above the
    best by what of the residual lies in the span of the atoms. Else a correlation is taken for 0
    where it cannot be told from it.
    """
    lengths = row_norms(dictionary)
    atoms = dictionary / lengths[:, None]
    x, z = X.double(), codes.double()
    residual, z = x - z @ dictionary, z * lengths
    basis = directions(atoms)
    inside = residual @ basis
    if not positive:
        return 0.5 * inside.square().sum(dim=1)
    atoms = atoms @ basis
    rounding = 16 * torch.finfo(x.dtype).eps * sum(atoms.shape) ** 0.5
    weight = rounding * (x.norm(dim=1) + z.sum(dim=1))
    return gap_from_residual(x @ basis, z, inside, inside @ atoms.T, weight, positive)


def directions(atoms: Tensor) -> Tensor:
    """Orthonormal basis of the atoms' span to rounding, (n_features, rank)."""
    triangle = torch.linalg.qr(atoms, mode="r").R
    _, values, directions = torch.linalg.svd(triangle, full_matrices=False)
    rounding = torch.finfo(atoms.dtype).eps * max(atoms.shape)
    return directions[values > rounding * values[0]].T


def observed(residual: Tensor, mask: Tensor | None) -> Tensor:
    """A residual where samples are observed, and 0 elsewhere."""
    return residual if mask is None else residual * mask


def objective(
    X: Tensor, codes: Tensor, dictionary: Tensor, alpha: Tensor, mask: Tensor | None = None
) -> Tensor:
    """1/2 ||x - z D||^2 + alpha ||z||_1 of every sample, in float64."""
    codes = codes.double()
    error = observed(X.double() - codes @ dictionary.double(), mask).square().sum(dim=1)
    return 0.5 * error + alpha.double() * codes.abs().sum(dim=1)
