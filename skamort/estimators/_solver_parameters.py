"""The solver behind an estimator that optimizes its codes: parameters, checks, the call."""

from .._device import as_held
from .._engine import resolve_engine
from ..solvers import SOLVERS, optimization_flops, sparse_encode

K_SPARSE = sorted(name for name, solver in SOLVERS.items() if solver.is_k_sparse)
# What only some of the k-sparse solvers have.
SEARCH = ("n_stages", "beam_width", "node_limit")


def inference_of(owner, prefix=""):
    """Return the algorithm and the limits of codes that an estimator's parameters ask for.

    In `transform` they are those of learning where nothing else is asked for.
    """
    algorithm = getattr(owner, f"{prefix}algorithm")
    limits = {name: getattr(owner, prefix + name) for name in ("n_nonzero_coefs", "residual_tol")}
    if limits != dict.fromkeys(limits):
        return algorithm, limits
    if not prefix and algorithm in ("auto", *K_SPARSE):
        limits["n_nonzero_coefs"] = getattr(owner, "n_nonzero_coefs_", None)
    elif prefix and owner.transform_alpha is None and owner.n_nonzero_coefs is not None:
        limits["n_nonzero_coefs"] = owner.n_nonzero_coefs
        algorithm = k_sparse_algorithm(owner) if algorithm == "auto" else algorithm
    return algorithm, limits


def k_sparse_algorithm(owner):
    """Return the solver that finds the k-sparse codes under which a dictionary is learned."""
    return "ormp" if owner.algorithm == "auto" else owner.algorithm


def learning_algorithm(owner, X):
    """Return the solver that finds the codes under which a dictionary is learned."""
    if owner.n_nonzero_coefs is not None:
        return k_sparse_algorithm(owner)
    if owner.algorithm != "auto":
        return owner.algorithm
    return "cd" if resolve_engine("auto", X[:1]) == "numba" else "fista"


def tell_algorithm(owner, X):
    """Print that solver where "auto" picked it, which the device has a say in."""
    if owner.algorithm == "auto":
        where = f", for X is on {X.device}" if X.device.type != "cpu" else ""
        print(f"{type(owner).__name__}: algorithm={learning_algorithm(owner, X)!r}{where}")


def check_learned_sparsity(owner, n_components):
    """Refuse parameters that disagree on how sparse the codes of learning are.

    Raises
    ------
    ValueError
        If there is both a penalty and a number of non-zeros, the algorithm goes by the other one,
        or the number exceeds `n_components`.
    """
    k, algorithm, name = owner.n_nonzero_coefs, owner.algorithm, type(owner).__name__
    if k is None:
        if algorithm in K_SPARSE:
            raise ValueError(
                f"{name}: algorithm={algorithm!r} finds codes with a given number of non-zeros; "
                "set n_nonzero_coefs, or choose 'auto', 'cd' or 'fista' for an L1 penalty."
            )
        return
    if owner.alpha != "auto":
        raise ValueError(
            f"{name}: alpha={owner.alpha} and n_nonzero_coefs={k} both say how sparse codes are; "
            f"drop alpha for codes with {k} non-zeros, or n_nonzero_coefs for an L1 penalty."
        )
    if algorithm not in ("auto", *K_SPARSE):
        raise ValueError(
            f"{name}: n_nonzero_coefs={k} does not go with algorithm={algorithm!r}, which "
            f"minimizes an L1 penalty; choose 'auto' or one of {K_SPARSE}, or "
            "n_nonzero_coefs=None."
        )
    if k > n_components:
        raise ValueError(
            f"{name}: n_nonzero_coefs={k} exceeds n_components={n_components}; choose "
            f"n_nonzero_coefs <= {n_components}."
        )
    chosen = inference_of(owner, "transform_")[0]
    if owner.transform_alpha is None and chosen not in ("auto", "lars", *K_SPARSE):
        raise ValueError(
            f"{name}: transform_algorithm={chosen!r} needs a weight of an L1 penalty, and "
            f"n_nonzero_coefs={k} gives none; set transform_alpha, or transform_algorithm='auto'."
        )


def check_sparsity(owner, n_components, prefix=""):
    """Refuse a number of non-zeros or a residual that the dictionary or the algorithm cannot give.

    Raises
    ------
    ValueError
        If the number exceeds `n_components`, or the algorithm does not go by it or by a residual.
    """
    algorithm, limits = inference_of(owner, prefix)
    limit = limits["n_nonzero_coefs"]
    if limit is not None and limit > n_components:
        raise ValueError(
            f"{type(owner).__name__}: {prefix}n_nonzero_coefs={limit} exceeds "
            f"n_components={n_components}; choose {prefix}n_nonzero_coefs <= {n_components}."
        )
    for name, value in (limits | _search_of(owner)).items():
        _check_goes_by(owner, name, value, algorithm, prefix)


def _check_goes_by(owner, name, value, algorithm, prefix):
    """Refuse the sparsity or the option `name` where the algorithm does not go by it."""
    fitting = [key for key, solver in SOLVERS.items() if hasattr(solver, name)]
    fitting = fitting + ["lars"] * (name == "n_nonzero_coefs") + ["auto"] * (name not in SEARCH)
    if value is not None and algorithm not in fitting:
        raise ValueError(
            f"{type(owner).__name__}: {prefix}{name}={value} does not go with {prefix}algorithm="
            f"{algorithm!r}; choose one of {sorted(fitting)}, or {prefix}{name}=None."
        )


def _search_of(owner):
    """Return the options of some solvers that an estimator has."""
    return {name: getattr(owner, name, None) for name in SEARCH}


def goes_by_penalty(owner):
    """Whether the codes of an estimator go by the weight of an L1 penalty: they are limited neither
    in number nor by what they leave."""
    prefix = "transform_" if hasattr(owner, "transform_algorithm") else ""
    algorithm, limits = inference_of(owner, prefix)
    return algorithm not in (*K_SPARSE, "lars") and limits == dict.fromkeys(limits)


def check_alpha(owner):
    """Refuse a weight of an L1 penalty by which codes do not go.

    Raises
    ------
    ValueError
        If the algorithm goes by a number of non-zeros, or a number or a residual is given.
    """
    algorithm, limits = inference_of(owner)
    if owner.alpha == "auto" or goes_by_penalty(owner):
        return
    given = limits | {"algorithm": algorithm if algorithm in (*K_SPARSE, "lars") else None}
    name, value = next((name, value) for name, value in given.items() if value is not None)
    raise ValueError(
        f"{type(owner).__name__}: alpha={owner.alpha} and {name}={value!r} both say how sparse "
        f"codes are; drop alpha, or for an L1 penalty choose algorithm='auto' without "
        "n_nonzero_coefs and residual_tol."
    )


def encode(owner, X, *, alpha, positive, prefix="", init=None):
    """Return the codes of the rows of the tensor X by the solver that `owner`'s parameters name.

    Where NaN stands for what is missing, they are the codes of the rest.
    """
    algorithm, limits = inference_of(owner, prefix)
    return sparse_encode(
        X,
        as_held(owner.components_, "components_", X),
        algorithm=algorithm,
        alpha=alpha if limits == dict.fromkeys(limits) else None,
        **limits,
        **_search_of(owner),
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
