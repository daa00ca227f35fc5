"""The last digits of lasso codes: least squares on the support, signs checked.

With the signs s of the non-zeros P known, the best codes solve

    D_P D_P^T z_P = D_P x - alpha s

Descent stops where rounding drowns its steps; solved in float64 and rounded once, codes come about
ten times closer to the best.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._blocks import row_blocks
from ._certificate import certified_gap


def polish(
    X: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    positive: bool,
    codes: Tensor,
    gap: Tensor,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Solve for the non-zeros of codes, wherever no sign changes and the duality gap becomes less.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Data.
    dictionary : Tensor of shape (n_components, n_features)
        Atoms, one a row.
    alpha : Tensor of shape (n_samples,)
        Weight of the L1 norm.
    positive : bool
        Whether codes are >= 0.
    codes : Tensor of shape (n_samples, n_components)
        Codes close to the best.
    gap : Tensor of shape (n_samples,)
        Their duality gaps, float64.
    mask : Tensor of shape (n_samples, n_features), default=None
        1 where samples are observed, else 0.

    Returns
    -------
    codes : Tensor of shape (n_samples, n_components)
        In the dtype of ``codes``.
    gap : Tensor of shape (n_samples,)
        Their duality gaps, float64.
    """
    dictionary = dictionary.double()
    polished = codes.clone()
    width = int(codes.count_nonzero(dim=1).max())
    for rows in row_blocks(X, max(1, width * X.shape[1]), times=2):
        z, support = codes[rows].abs().topk(width, dim=1)
        active = z > 0
        signs = codes[rows].gather(1, support).double().sign()
        atoms = dictionary[support] * active[:, :, None]
        atoms = atoms if mask is None else atoms * mask[rows, None]
        target = torch.bmm(atoms, X[rows, :, None].double())[:, :, 0]
        target -= alpha[rows, None].double() * signs
        matrix = torch.bmm(atoms, atoms.transpose(1, 2)) + torch.diag_embed((~active).double())
        factor, failed = torch.linalg.cholesky_ex(matrix)
        new = torch.cholesky_solve(target[:, :, None], factor)[:, :, 0] * active
        kept = (failed == 0) & ((new * signs > 0) | ~active).all(dim=1)
        found = torch.zeros_like(polished[rows]).scatter_(1, support, new.to(codes.dtype))
        polished[rows] = torch.where(kept[:, None], found, polished[rows])
    polished_gap = certified_gap(X, polished, dictionary, alpha, positive, mask)
    better = polished_gap < gap
    return torch.where(better[:, None], polished, codes), torch.where(better, polished_gap, gap)
