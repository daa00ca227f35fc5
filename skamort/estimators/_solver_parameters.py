"""The solver behind an estimator that optimizes its codes: parameters, checks, the call."""

import torch

from ..solvers import SOLVERS, optimization_flops, sparse_encode


def check_n_nonzero_coefs(owner, n_components, prefix=""):
    """Refuse a number of non-zeros that the dictionary or the algorithm cannot give.

    Raises
    ------
    ValueError
        If it exceeds `n_components`, or the algorithm minimizes an L1 penalty instead.
    """
    names = f"{prefix}algorithm", f"{prefix}n_nonzero_coefs"
    algorithm, limit = (getattr(owner, name) for name in names)
    if limit is None:
        return
    if limit > n_components:
        raise ValueError(
            f"{type(owner).__name__}: {names[1]}={limit} exceeds n_components={n_components}; "
            f"choose {names[1]} <= {n_components}."
        )
    k_sparse = sorted(name for name in SOLVERS if SOLVERS[name].is_k_sparse)
    if algorithm not in ("auto", *k_sparse):
        raise ValueError(
            f"{type(owner).__name__}: {names[1]}={limit} does not go with {names[0]}="
            f"{algorithm!r}, which minimizes an L1 penalty; choose 'auto' or one of {k_sparse}, or "
            f"{names[1]}=None."
        )


def encode(owner, X, *, alpha, prefix="", init=None):
    """Return the codes of the rows of the tensor X by the solver that `owner`'s parameters name."""
    limit = getattr(owner, f"{prefix}n_nonzero_coefs")
    return sparse_encode(
        X,
        torch.as_tensor(owner.components_).to(X),
        algorithm=getattr(owner, f"{prefix}algorithm"),
        n_nonzero_coefs=limit,
        alpha=alpha if limit is None else None,
        positive=owner.positive_code,
        init=init,
        max_iter=owner.transform_max_iter,
        tol=owner.transform_tol,
        check_input=False,
    )


def flops_per_sample(owner, n_iter, formula):
    """Return the operations that a solver takes for a sample, with the dictionary of `owner`.

    Raises
    ------
    ValueError
        If the number of iterations is not given.
    """
    if n_iter is None:
        raise ValueError(
            f"flops: {type(owner).__name__} optimizes its codes, in a number of iterations "
            "that depends on the data; pass n_iter, for example the mean of info.n_iter from "
            "sparse_encode(..., algorithm='fista', return_info=True)."
        )
    return optimization_flops(*owner.components_.shape, n_iter, formula)
