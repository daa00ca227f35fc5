"""Floating point operations of codes by optimization, a sample.

With M features, N atoms and T gradient steps: correlations, then gradients or a sweep,

    2 MN + T min(4 MN, 2 N^2).
"""

from __future__ import annotations


def optimization_flops(n_atoms: int, n_features: int, n_iter: float, formula: str) -> float:
    """Return the operations that an iterative solver takes for a sample.

    Parameters
    ----------
    n_atoms : int
        Atoms of the dictionary.
    n_features : int
        Width of an atom.
    n_iter : float
        Number of gradient steps.
    formula : {"products", "published"}
        "products" counts products of matrices; "published" takes the formula of the
        amortization-gap paper.

    Returns
    -------
    count : float
        Number of operations.

    Examples
    --------
    >>> from skamort.solvers import optimization_flops
    >>> optimization_flops(16, 8, n_iter=20, formula="products")
    10496
    """
    products = n_atoms * n_features
    if formula == "published":
        return products + n_atoms + n_iter * (4 * products + 2 * n_features + 11 * n_atoms)
    return 2 * products + n_iter * min(4 * products, 2 * n_atoms**2)
