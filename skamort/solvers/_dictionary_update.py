"""Exact block-coordinate update of a dictionary for given codes.

Over one atom d_j on the unit sphere, with codes Z, data X and all other atoms fixed, ||X - Z D||^2
is least at

    u_j = d_j (Z^T Z)_jj + (Z^T X)_j - (Z^T Z)_j D,        d_j <- u_j / ||u_j||

(Mairal et al., Online learning for matrix factorization and sparse coding, 2010, algorithm 2, with
the sphere in place of the ball). Among atoms >= 0 the best is max(u_j, 0), scaled; where that is 0
the atom stays. The atoms are visited in turn, each seeing the ones updated before it. The products
with D are gathered: one matrix product gives the right-hand sides of a block of atoms, which its
own updates then correct by rank one.

A GPU would be launched seven times an atom. There many atoms are updated at once, block by block:
with A = (Z^T Z)_BB of a block B, and T_B what the other atoms leave it, ||X - Z D||^2 / 2 is, but
for a constant, tr(D_B^T A D_B) / 2 - tr(D_B^T T_B), and since A <= L = diag(sum_k |A_jk|)

    u_B = L D_B + T_B - A D_B,        d_j <- u_j / ||u_j||

minimizes a bound of it that touches it at D_B: the objective falls, and comes to rest where it does
atom by atom. Eight such steps come about as far as a visit of each atom.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._engine import resolve_engine
from .._given import described
from .._numbers import check_dense
from .._validation import as_tensor

_BLOCK = 64
# From so many atoms on a GPU they are updated at once, so many of them, in so many steps.
_FEWEST_AT_ONCE, _AT_ONCE, _STEPS = 257, 512, 8
# Where a target is so much smaller than what its own atom adds to it and takes from it, rounding of
# these has cost it three digits or more: codes that are far larger than the data.
LOST = 1e-3


def update_dictionary(
    dictionary: Any,
    gram_codes: Any,
    cross: Any,
    *,
    positive: bool = False,
    engine: str = "auto",
) -> Any:
    """Update every atom once, in place, to the best unit vector given the codes and the other
    atoms.

    Costs one product (n_components, n_components) x (n_components, n_features). More than 256
    atoms on a GPU are updated 512 at a time, by steps that lower the objective too and come to rest
    where visits atom by atom do.

    Parameters
    ----------
    dictionary : ndarray or Tensor of shape (n_components, n_features)
        Atoms, one a row, of unit norm, float32 or float64; overwritten.
    gram_codes : array-like or Tensor of shape (n_components, n_components)
        ``codes.T @ codes``, or any positive multiple if ``cross`` has it too.
    cross : array-like or Tensor of shape (n_components, n_features)
        ``codes.T @ X``.
    positive : bool, default=False
        Whether entries of the new atoms must be >= 0. The old ones should be.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernel on the CPU, or torch. "auto" takes numba where it is installed and the
        dictionary is on the CPU.

    Returns
    -------
    unused : ndarray or Tensor of shape (n_unused,)
        Indices, int64, of the atoms that no code uses; they are left as they were.

    Raises
    ------
    TypeError
        A dictionary that cannot be overwritten, such as a list or integers.
    ValueError
        NaN, infinity, or shapes that do not fit.

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
    atoms = overwritable(dictionary, "update_dictionary")
    check = ("update_dictionary", atoms)
    gram_codes = check_like(gram_codes, "gram_codes", (len(atoms), len(atoms)), *check)
    cross = check_like(cross, "cross", tuple(atoms.shape), *check)
    unused = _update(atoms, gram_codes, cross, positive, engine)
    return unused if isinstance(dictionary, Tensor) else unused.numpy()


def overwritable(dictionary: Any, owner: str) -> Tensor:
    """The dictionary as a tensor that shares its memory."""
    if isinstance(dictionary, Tensor):
        check_dense(dictionary, f"{owner}: dictionary")
        if dictionary.ndim == 2 and dictionary.dtype in (torch.float32, torch.float64):
            return dictionary.detach()
    elif _is_overwritable(dictionary):
        return torch.from_numpy(dictionary)
    dtype = f" and {dictionary.dtype}" if hasattr(dictionary, "dtype") else ""
    raise TypeError(
        f"{owner}: dictionary is updated in place and must be a writeable matrix, a NumPy "
        "array or a tensor of native float32 or float64 whose rows are not reversed, got "
        f"{described(dictionary)}{dtype}; pass np.array(dictionary, dtype=float, order='C')."
    )


def _is_overwritable(array: Any) -> bool:
    if not isinstance(array, np.ndarray) or np.ma.isMaskedArray(array):
        return False
    is_known = array.ndim == 2 and array.dtype in (np.float32, np.float64)
    return is_known and array.flags.writeable and min(array.strides) >= 0


def check_like(
    values: Any, name: str, shape: tuple[int, ...], owner: str, dictionary: Tensor
) -> Tensor:
    """Finite values of the given shape, of the dictionary's dtype and device."""
    tensor = as_tensor(values, name, like=dictionary, check=len(shape) == 2)
    if len(shape) == 1 and not (tensor.isfinite() & (tensor >= 0)).all():
        raise ValueError(f"{owner}: {name} must be finite and >= 0; mend these values.")
    if tuple(tensor.shape) != shape:
        raise ValueError(
            f"{owner}: {name} must have shape {shape}, as the dictionary has "
            f"{tuple(dictionary.shape)}, got {tuple(tensor.shape)}."
        )
    return tensor


def _update(
    dictionary: Tensor, gram_codes: Tensor, cross: Tensor, positive: bool, engine: str
) -> Tensor:
    """Update in place, block by block; the atoms that no code uses."""
    update_block, size = _update_block, _BLOCK
    if dictionary.is_cuda and len(dictionary) >= _FEWEST_AT_ONCE:
        update_block, size = _update_at_once, _AT_ONCE
    if resolve_engine(engine, dictionary) == "numba" and dictionary.is_contiguous():
        update_block = _update_block_compiled
    usage = gram_codes.diagonal()
    for start in range(0, len(dictionary), size):
        block = slice(start, start + size)
        update_block(dictionary, block, gram_codes[block], cross[block], usage[block], positive)
    return (usage <= 0).nonzero().flatten()


def _targets(
    dictionary: Tensor, block: slice, gram: Tensor, cross: Tensor, usage: Tensor
) -> Tensor:
    """The best directions of a block's atoms while all others stay; of an atom whose share is far
    larger than the sum, what rounding leaves."""
    return (cross - gram @ dictionary).addcmul_(usage[:, None], dictionary[block])


def _scaled(targets: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """Both times powers of two that bring all rows to one size, of which no square leaves the
    numbers of their dtype; no bit of an atom changes, for it has the direction of its row."""
    largest = torch.cat([targets, gram], dim=1).abs_().amax(1, keepdim=True)
    largest.clamp_(min=torch.finfo(gram.dtype).tiny)
    scale = torch.frexp(largest).mantissa / largest
    return targets * scale, gram * scale


def _update_block(
    dictionary: Tensor, block: slice, gram: Tensor, cross: Tensor, usage: Tensor, positive: bool
) -> None:
    """Normalize each target in turn into its atom, and correct the targets that follow."""
    atoms, targets = dictionary[block], _targets(dictionary, block, gram, cross, usage)
    is_lost = targets.abs().amax(1) < LOST * usage
    targets, inside = _scaled(targets, gram[:, block])
    for j, (used, lost) in enumerate(torch.stack([usage > 0, is_lost], dim=1).tolist()):
        if used:
            target = _others(dictionary, block, gram, cross, j) if lost else targets[j]
            best = target.clamp(min=0) if positive else target
            length = best.norm()
            atom = torch.where(length > 0, best / length, atoms[j])
            targets[j + 1 :].addr_(inside[j + 1 :, j], atoms[j] - atom)
            atoms[j] = atom


def _others(dictionary: Tensor, block: slice, gram: Tensor, cross: Tensor, j: int) -> Tensor:
    """A target, of size 1, from which its atom has been left out from the beginning."""
    weights = gram[j].clone()
    weights[block.start + j] = 0
    target = cross[j] - weights @ dictionary
    return target / target.abs().amax().clamp(min=torch.finfo(target.dtype).tiny)


def _update_at_once(
    dictionary: Tensor, block: slice, gram: Tensor, cross: Tensor, usage: Tensor, positive: bool
) -> None:
    """Take some steps of all atoms of a block."""
    atoms, others = dictionary[block], gram.clone()
    others[:, block] = 0
    fixed, inside = _scaled(cross - others @ dictionary, gram[:, block])
    pull = inside - inside.abs().sum(dim=1).diag()
    is_used = usage[:, None] > 0
    for _ in range(_STEPS):
        best = torch.addmm(fixed, pull, atoms, alpha=-1)
        best = best.clamp_(min=0) if positive else best
        length = torch.linalg.vector_norm(best, dim=1, keepdim=True)
        atoms.copy_(torch.where(is_used & (length > 0), best / length, atoms))


def _update_block_compiled(
    dictionary: Tensor, block: slice, gram: Tensor, cross: Tensor, usage: Tensor, positive: bool
) -> None:
    from ._dictionary_update_numba import update_block

    targets = _targets(dictionary, block, gram, cross, usage)
    arrays = dictionary, targets, gram, cross, usage
    update_block(*(a.contiguous().numpy() for a in arrays), block.start, LOST, positive)
