"""Exact block-coordinate update of a dictionary for given codes.

Over one atom d_j on the unit sphere, with codes Z, data X and all other atoms fixed, ||X - Z D||^2
is least at

    u_j = d_j (Z^T Z)_jj + (Z^T X)_j - (Z^T Z)_j D,        d_j <- u_j / ||u_j||

(Mairal et al., Online learning for matrix factorization and sparse coding, 2010, algorithm 2, with
the sphere in place of the ball). The atoms are visited in turn, each seeing the ones updated before
it. The products with D are gathered: one matrix product gives the right-hand sides of a block of
atoms, which its own updates then correct by rank one.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 64


def update_dictionary(dictionary: Tensor, gram_codes: Tensor, cross: Tensor) -> Tensor:
    """Update every atom once, in place, to the best unit vector given the codes and the other
    atoms.

    Costs one product (n_components, n_components) x (n_components, n_features).

    Parameters
    ----------
    dictionary : Tensor of shape (n_components, n_features)
        Atoms, one a row, of unit norm; overwritten.
    gram_codes : Tensor of shape (n_components, n_components)
        ``codes.T @ codes``, or any positive multiple if ``cross`` has it too.
    cross : Tensor of shape (n_components, n_features)
        ``codes.T @ X``.

    Returns
    -------
    unused : Tensor of shape (n_unused,)
        Indices, int64, of the atoms that no code uses; they are left as they were.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import update_dictionary
    >>> codes, X = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 1.0]])
    >>> dictionary = torch.eye(2)
    >>> update_dictionary(dictionary, codes.T @ codes, codes.T @ X)
    tensor([1])
    >>> dictionary
    tensor([[0., 1.],
            [0., 1.]])
    """
    usage = gram_codes.diagonal()
    used = (usage > 0).tolist()
    for start in range(0, len(dictionary), _BLOCK):
        block = slice(start, start + _BLOCK)
        atoms, gram = dictionary[block], gram_codes[block, block]
        targets = cross[block] - gram_codes[block] @ dictionary
        targets.addcmul_(usage[block, None], atoms)
        for j, in_use in enumerate(used[block]):
            if not in_use:
                continue
            length = targets[j].norm()
            atom = torch.where(length > 0, targets[j] / length, atoms[j])
            targets[j + 1 :].addr_(gram[j + 1 :, j], atoms[j] - atom)
            atoms[j] = atom
    return (usage <= 0).nonzero().flatten()
