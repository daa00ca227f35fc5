"""Block-coordinate update of a dictionary from rows and their sparse codes, without Z^T Z.

Over one atom d_j on the unit sphere, with codes Z, what they leave R = X - Z D and all other atoms
fixed,

    1/2 ||X - Z D||^2 + h_j/2 ||d_j - d_j^before||^2

is least at

    u_j = (||z_j||^2 + h_j) d_j + R^T z_j,        d_j <- u_j / ||u_j||,        R follows

with z_j the codes of atom j. It is the update of `update_dictionary`, which gathers the same sums
in Z^T Z and Z^T X, but a code of 0 costs nothing here, and no matrix of n_components^2 numbers
is held. The inertia h_j stands for rows seen before: to second order they hold atom j where it is
with the sum of the squares of their codes, if the other atoms stay (Mairal et al., 2010, eq. 11,
with the diagonal of Z^T Z in place of all of it).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._engine import resolve_engine
from .._validation import as_tensor
from ._dictionary_update import check_like, overwritable
from ._scale import magnitude, power_of_four

# Lengths whose squares are far from the ends of the numbers of both dtypes.
_SMALL, _LARGE = 1e-15, 1e15


def update_dictionary_rows(
    dictionary: Any,
    X: Any,
    codes: Any,
    *,
    inertia: Any = None,
    sample_weight: Any = None,
    positive: bool = False,
    engine: str = "auto",
) -> Any:
    """Update every atom once, in place, to the best unit vector given rows, their sparse codes and
    the other atoms.

    Costs 4 n_features operations for each code that is not 0, in memory of the size of ``X``; with
    few of them far less than `update_dictionary`, which has to be told ``codes.T @ codes``.

    Parameters
    ----------
    dictionary : ndarray or Tensor of shape (n_components, n_features)
        Atoms, one a row, of unit norm, float32 or float64; overwritten.
    X : array-like or Tensor of shape (n_samples, n_features)
        Data.
    codes : array-like or Tensor of shape (n_samples, n_components)
        Their codes, most of them 0.
    inertia : array-like or Tensor of shape (n_components,), default=None
        How much each atom is held where it is, >= 0: the sum of the squares of its codes on rows
        that it was learned from before. None: not at all.
    sample_weight : array-like or Tensor of shape (n_samples,), default=None
        Weights >= 0 of the rows; None: all weigh 1.
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

    See Also
    --------
    update_dictionary : The same for sums over rows, for codes that are not sparse.

    References
    ----------
    Mairal et al. (2010), Online learning for matrix factorization and sparse coding. Aharon, Elad
    and Bruckstein (2006), K-SVD: an algorithm for designing overcomplete dictionaries for sparse
    representation.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.solvers import update_dictionary_rows
    >>> codes, X = np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 2.0], [0.0, 1.0]])
    >>> dictionary = np.eye(2)
    >>> update_dictionary_rows(dictionary, X, codes)
    array([1])
    >>> dictionary
    array([[0., 1.],
           [0., 1.]])
    """
    atoms = overwritable(dictionary, "update_dictionary_rows")
    check = ("update_dictionary_rows", atoms)
    X = as_tensor(X, "X", like=atoms)
    n_samples, (n_components, n_features) = len(X), atoms.shape
    X = check_like(X, "X", (n_samples, n_features), *check)
    codes = check_like(codes, "codes", (n_samples, n_components), *check)
    inertia = atoms.new_zeros(n_components) if inertia is None else inertia
    inertia = check_like(inertia, "inertia", (n_components,), *check)
    weights = atoms.new_ones(n_samples) if sample_weight is None else sample_weight
    weights = check_like(weights, "sample_weight", (n_samples,), *check)
    unused = _update(atoms, X, codes, inertia, weights, positive, engine)
    return unused if isinstance(dictionary, Tensor) else unused.numpy()


def _update(
    atoms: Tensor,
    X: Tensor,
    codes: Tensor,
    inertia: Tensor,
    weights: Tensor,
    positive: bool,
    engine: str,
) -> Tensor:
    """Update in place; the atoms that no code uses."""
    rows, columns = codes.nonzero(as_tuple=True)
    values = codes[rows, columns]
    counts = torch.bincount(rows, minlength=len(X))
    images = torch.nn.functional.embedding_bag(
        columns, atoms, counts.cumsum(0) - counts, per_sample_weights=values, mode="sum"
    )
    order = columns.argsort(stable=True)
    rows, values = rows[order], values[order]
    used_by = torch.bincount(columns, minlength=len(atoms))
    stops = used_by.cumsum(0)
    step = _update_atoms
    if resolve_engine(engine, atoms) == "numba" and atoms.is_contiguous():
        step = _update_atoms_compiled
    step(atoms, X - images, rows, values, weights[rows] * values, stops, inertia, positive)
    return (used_by == 0).nonzero().flatten()


def _update_atoms(
    atoms: Tensor,
    residual: Tensor,
    rows: Tensor,
    values: Tensor,
    weighted: Tensor,
    stops: Tensor,
    inertia: Tensor,
    positive: bool,
) -> None:
    """Normalize each target in turn into its atom, and let the residual follow."""
    start = 0
    for j, stop in enumerate(stops.tolist()):
        own, z, wz = rows[start:stop], values[start:stop], weighted[start:stop]
        target = (wz @ z + inertia[j]) * atoms[j] + wz @ residual[own]
        target = target.clamp(min=0) if positive else target
        length = float(target.norm())
        if not _SMALL < length < _LARGE:
            target = target / power_of_four(magnitude(target[None]))
            length = float(target.norm())
        if stop > start and length > 0:
            atom = target / length
            residual[own] += torch.outer(z, atoms[j] - atom)
            atoms[j] = atom
        start = stop


def _update_atoms_compiled(
    atoms: Tensor,
    residual: Tensor,
    rows: Tensor,
    values: Tensor,
    weighted: Tensor,
    stops: Tensor,
    inertia: Tensor,
    positive: bool,
) -> None:
    from ._dictionary_update_numba import update_atoms

    arrays = (atoms, residual, rows, values, weighted, stops, inertia)
    update_atoms(*(array.contiguous().numpy() for array in arrays), positive)
