"""The solver behind an estimator that optimizes its codes: parameters, checks, the call."""

import torch

from ..solvers import SOLVERS, optimization_flops, sparse_encode


def check_sparsity(owner, n_components, prefix=""):
    """Refuse a number of non-zeros or a residual that the dictionary or the algorithm cannot give.

    Raises
    ------
    ValueError
        If the number exceeds `n_components`, or the algorithm does not go by it or by a residual.
    """
    limit = getattr(owner, f"{prefix}n_nonzero_coefs")
    if limit is not None and limit > n_components:
        raise ValueError(
            f"{type(owner).__name__}: {prefix}n_nonzero_coefs={limit} exceeds "
            f"n_components={n_components}; choose {prefix}n_nonzero_coefs <= {n_components}."
        )
    for name in ("n_nonzero_coefs", "residual_tol"):
        _check_goes_by(owner, name, prefix)


def _check_goes_by(owner, name, prefix):
    """Refuse the sparsity `name` where the algorithm does not go by it."""
    value, algorithm = getattr(owner, prefix + name), getattr(owner, f"{prefix}algorithm")
    fitting = [key for key, solver in SOLVERS.items() if hasattr(solver, name)]
    fitting = sorted(fitting + ["lars"] * (name == "n_nonzero_coefs"))
    if value is not None and algorithm not in ("auto", *fitting):
        raise ValueError(
            f"{type(owner).__name__}: {prefix}{name}={value} does not go with {prefix}algorithm="
            f"{algorithm!r}; choose 'auto' or one of {fitting}, or {prefix}{name}=None."
        )


def goes_by_penalty(owner, prefix=""):
    """Whether the codes of an estimator minimize an L1 penalty."""
    algorithm = getattr(owner, f"{prefix}algorithm")
    limits = (getattr(owner, prefix + name) for name in ("n_nonzero_coefs", "residual_tol"))
    is_lasso = algorithm == "auto" or not getattr(SOLVERS.get(algorithm), "is_k_sparse", True)
    return is_lasso and all(limit is None for limit in limits)


def encode(owner, X, *, alpha, positive, prefix="", init=None):
    """Return the codes of the rows of the tensor X by the solver that `owner`'s parameters name.

    Where NaN stands for what is missing, they are the codes of the rest.
    """
    names = "n_nonzero_coefs", "residual_tol"
    limits = {name: getattr(owner, prefix + name) for name in names}
    return sparse_encode(
        X,
        torch.as_tensor(owner.components_).to(X),
        algorithm=getattr(owner, f"{prefix}algorithm"),
        alpha=alpha if set(limits.values()) == {None} else None,
        **limits,
        positive=positive,
        init=init,
        max_iter=owner.transform_max_iter,
        tol=owner.transform_tol,
        check_input=False,
        mask=None if owner.missing_values is None else ~X.isnan(),
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
