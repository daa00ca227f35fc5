"""Sparse codes for a fixed dictionary and the certificate of their quality, in NumPy and torch."""

from __future__ import annotations

import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Any

import torch
from sklearn.decomposition import sparse_encode as _sklearn_sparse_encode
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._validation import as_tensor, check_codes, check_dictionary, check_integer, check_real
from ._base import SolverResult
from ._certificate import certified_gap
from ._engine import compile_times, resolve_n_jobs
from ._ksparse import KSparseSolver
from ._registry import SOLVERS

_SKLEARN_ALGORITHMS = ("lars", "lasso_cd", "lasso_lars", "threshold")
_MANY_ATOMS = 1024


@dataclass(frozen=True)
class EncodingInfo:
    """What is known about returned codes; arrays or tensors as the codes are.

    Attributes
    ----------
    algorithm : str
        The solver that ran, also where "auto" picked it.
    engine : str
        The engine that ran, "numba" or "torch", also where "auto" picked it.
    gap : array of shape (n_samples,)
        Duality gap, float64; NaN for k-sparse solvers.
    n_iter : array of shape (n_samples,)
        Iterations spent on each sample, in the solver's own unit: gradient steps of "fista", "lca"
        and "adam", rounds of the working set of "cd", each a refresh of all correlations and the
        sweeps between two of them, steps of the k-sparse solvers. `skamort.metrics.flops` wants
        gradient steps.
    converged : array of shape (n_samples,)
        Whether the gap met the tolerance; True for k-sparse solvers.
    residual : array of shape (n_samples,) or None
        ||x - z D||^2, float64, of k-sparse solvers.
    """

    algorithm: str
    engine: str
    gap: Any
    n_iter: Any
    converged: Any
    residual: Any


def sparse_encode(
    X,
    dictionary,
    *,
    gram=None,
    cov=None,
    algorithm="auto",
    n_nonzero_coefs=None,
    alpha=None,
    copy_cov=True,
    init=None,
    max_iter=1000,
    n_jobs=None,
    check_input=True,
    verbose=0,
    positive=False,
    tol=1e-4,
    return_info=False,
    engine="auto",
):
    """Find sparse codes of samples for a fixed dictionary, to a certified accuracy.

    Solves, for every row x of ``X`` on its own::

        min_z  1/2 ||x - z D||^2 + alpha ||z||_1        (z >= 0 if positive)

    with the arguments of :func:`sklearn.decomposition.sparse_encode` and more. What comes in NumPy
    goes out in NumPy, what comes in torch goes out in torch, on the same device and in the same
    dtype.

    Parameters
    ----------
    X : array-like or Tensor of shape (n_samples, n_features)
        Data.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms, one a row, of any norm but zero.
    gram : array-like or Tensor of shape (n_components, n_components), default=None
        ``dictionary @ dictionary.T``, computed where it is needed.
    cov : array-like of shape (n_components, n_samples), default=None
        ``dictionary @ X.T``. Only scikit-learn's algorithms use it.
    algorithm : str, default="auto"
        With an L1 penalty and a certificate: "cd" (`CoordinateDescent`, for sparse codes on a CPU)
        or "fista" (`FISTA`, for a GPU and for dense codes); for reproduction "lca" (`LCA`) and
        "adam" (`Adam`). With a given number of non-zeros:
        "omp" (`OMP`), "ormp" (`ORMP`), "mp" (`MP`), "gradient_pursuit" (`GradientPursuit`), "iht"
        (`IHT`) or "topk_refined" (`TopKRefined`). "auto" picks by problem: "omp" where
        ``n_nonzero_coefs`` is given and ``alpha`` is not; else "cd" on a CPU or for more than 1024
        atoms, and "fista". Scikit-learn's own, for NumPy input alone: "lasso_lars", "lasso_cd",
        "lars", "threshold".
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample, for the k-sparse solvers and "lars". None means a tenth of the
        features.
    alpha : float, default=None
        Weight of the L1 norm; for "threshold" the threshold. None means 1. The k-sparse solvers
        ignore it.
    copy_cov : bool, default=True
        Whether ``cov`` must be left untouched.
    init : array-like or Tensor of shape (n_samples, n_components), default=None
        Codes to start from, for "cd", "fista", "iht", "topk_refined" and "lasso_cd".
    max_iter : int, default=1000
        Most iterations spent on a sample.
    n_jobs : int, default=None
        Threads of compiled kernels, None for as many as torch uses; processes for scikit-learn's
        algorithms.
    check_input : bool, default=True
        If False, values are not checked for NaN, infinity and zero atoms.
    verbose : int, default=0
        Above 0, print the algorithm and the engine that ran, also where "auto" picked them, the
        seconds they took and, apart, those of compiling kernels that numba's cache did not hold
        yet; verbosity of scikit-learn's algorithms.
    positive : bool, default=False
        Whether codes must be >= 0.
    tol : float, default=1e-4
        A sample has converged when its duality gap is at most ``tol * 1/2 ||x||^2``.
    return_info : bool, default=False
        Whether to return the certificate as well.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels (``pip install skamort[fast]``) or torch, for the algorithms that have
        both. "auto" takes the kernels where numba is installed and the data are on the CPU.

    Returns
    -------
    codes : ndarray or Tensor of shape (n_samples, n_components)
        Sparse codes.
    info : EncodingInfo
        ``gap``, ``n_iter``, ``converged`` and ``residual``, each of shape (n_samples,), and the
        ``algorithm`` and the ``engine`` that ran. Only if ``return_info``.

    Raises
    ------
    ValueError
        NaN, infinity, a zero atom, shapes that do not fit, a negative ``alpha``, an unknown
        ``algorithm``.
    TypeError
        Tensors of a dtype other than float32 and float64, or parameters of the wrong type.

    Warns
    -----
    ConvergenceWarning
        Where samples did not reach ``tol`` in ``max_iter`` iterations: how many, and the worst
        relative gap.

    See Also
    --------
    duality_gap : The certificate for codes found by any other means.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.solvers import sparse_encode
    >>> X = np.array([[3.0, 0.5], [-2.0, 1.5]])
    >>> codes, info = sparse_encode(X, np.eye(2), alpha=1.0, return_info=True)
    >>> codes
    array([[ 2. ,  0. ],
           [-1. ,  0.5]])
    >>> info.converged
    array([ True,  True])
    """
    if algorithm in _SKLEARN_ALGORITHMS:
        if return_info or isinstance(X, Tensor):
            raise ValueError(
                f"sparse_encode: algorithm={algorithm!r} is scikit-learn's, without torch and "
                "without return_info; "
                f"choose one of {sorted(SOLVERS)}."
            )
        return _sklearn_sparse_encode(
            X,
            dictionary,
            gram=gram,
            cov=cov,
            algorithm=algorithm,
            n_nonzero_coefs=n_nonzero_coefs,
            alpha=alpha,
            copy_cov=copy_cov,
            init=init,
            max_iter=max_iter,
            n_jobs=n_jobs,
            check_input=check_input,
            verbose=verbose,
            positive=positive,
        )
    if algorithm not in ("auto", *SOLVERS):
        raise ValueError(
            f"sparse_encode: algorithm={algorithm!r} is unknown; "
            f"choose one of {sorted(['auto', *SOLVERS, *_SKLEARN_ALGORITHMS])}."
        )
    k_sparse = alpha is None and n_nonzero_coefs is not None
    alpha = 1.0 if alpha is None else check_real(alpha, "alpha")
    max_iter = check_integer(max_iter, "max_iter", 0)
    tol = check_real(tol, "tol")
    data = as_tensor(X, "X", check=check_input)
    atoms = check_dictionary(dictionary, data, check=check_input)
    if n_nonzero_coefs is not None:
        n_nonzero_coefs = check_integer(n_nonzero_coefs, "n_nonzero_coefs", 1)
        if n_nonzero_coefs > len(atoms):
            raise ValueError(
                f"sparse_encode: n_nonzero_coefs={n_nonzero_coefs} exceeds the {len(atoms)} "
                "atoms of "
                f"the dictionary; choose n_nonzero_coefs <= {len(atoms)}."
            )
    if init is not None:
        init = check_codes(init, "init", data, atoms, check=check_input)
    if gram is not None:
        gram = _check_gram(gram, atoms, check=check_input)
    if algorithm == "auto":
        algorithm = _pick(data, atoms, k_sparse)

    solver = _make_solver(
        algorithm,
        engine,
        n_nonzero_coefs=n_nonzero_coefs,
        max_iter=max_iter,
        tol=tol,
        n_jobs=resolve_n_jobs(n_jobs),
    )
    with compile_times() if verbose else nullcontext([]) as compiled:
        start = time.perf_counter()
        result = solver.solve(data, atoms, alpha=alpha, positive=positive, init=init, gram=gram)
        seconds = time.perf_counter() - start
    if verbose:
        print(
            f"sparse_encode: algorithm={algorithm!r}, engine={result.engine!r}; compiled in "
            f"{sum(compiled):.2f} s, solved {len(data)} samples in {seconds - sum(compiled):.2f} s."
        )
    _warn_unless_converged(result, data, solver)

    def to_output(tensor: Tensor | None) -> Any:
        return tensor if tensor is None or isinstance(X, Tensor) else tensor.numpy()

    codes = to_output(result.codes)
    if not return_info:
        return codes
    return codes, EncodingInfo(
        algorithm,
        result.engine,
        to_output(result.gap),
        to_output(result.n_iter),
        to_output(result.converged),
        to_output(result.residual),
    )


def duality_gap(X, codes, dictionary, alpha, positive=False):
    """Bound how far codes are from the best codes for a dictionary and an L1 weight.

    The objective 1/2 ||x - z D||^2 + alpha ||z||_1 of a sample is at most ``gap`` above its minimum
    over z, so the minimum lies between objective - gap and objective. Codes may come from any
    encoder.

    Parameters
    ----------
    X : array-like or Tensor of shape (n_samples, n_features)
        Data.
    codes : array-like or Tensor of shape (n_samples, n_components)
        Codes to judge.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms, one a row, of any norm but zero.
    alpha : float
        Weight of the L1 norm, >= 0.
    positive : bool, default=False
        Whether the best codes are sought among those >= 0; ``codes`` must be, then. What is below
        zero by no more than rounding counts as zero.

    Returns
    -------
    gap : ndarray or Tensor of shape (n_samples,)
        Never negative, float64, computed in float64.

    Raises
    ------
    ValueError
        NaN, infinity, a zero atom, shapes that do not fit, a negative ``alpha``, or negative codes
        with ``positive``.

    Notes
    -----
    The dual point is the residual scaled to feasibility (see S.-J. Kim et al., An interior-point
    method for large-scale l1-regularized least squares, 2007, section III), at the best such scale.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.solvers import duality_gap
    >>> X, codes = np.array([[3.0, 0.5]]), np.array([[2.0, 0.0]])
    >>> duality_gap(X, codes, np.eye(2), alpha=1.0)
    array([0.])
    >>> duality_gap(X, 0 * codes, np.eye(2), alpha=1.0).round(3)
    array([2.056])
    """
    alpha = check_real(alpha, "alpha")
    data = as_tensor(X, "X")
    atoms = check_dictionary(dictionary, data)
    codes = check_codes(codes, "codes", data, atoms)
    if positive:
        rounding = 16 * torch.finfo(codes.dtype).eps * codes.abs().amax()
        if (codes < -rounding).any():
            raise ValueError(
                "duality_gap: positive=True, but codes holds negative values; clip them or pass "
                "positive=False."
            )
        codes = codes.clamp(min=0)
    weight = torch.full((len(data),), alpha, dtype=torch.float64, device=data.device)
    gap = certified_gap(data, codes, atoms, weight, positive)
    return gap if isinstance(X, Tensor) else gap.numpy()


def _pick(X: Tensor, dictionary: Tensor, k_sparse: bool) -> str:
    """The algorithm that "auto" stands for."""
    if k_sparse:
        return "omp"
    return "cd" if X.device.type == "cpu" or len(dictionary) > _MANY_ATOMS else "fista"


def _make_solver(algorithm: str, engine: str, **options: Any) -> Any:
    """The solver with those of the options that it knows."""
    solver = SOLVERS[algorithm]
    if engine == "numba" and not _has_engine(solver):
        compiled = sorted(name for name in SOLVERS if _has_engine(SOLVERS[name]))
        raise ValueError(
            f"sparse_encode: algorithm={algorithm!r} has no compiled kernel; "
            f"choose engine='torch' or one of {compiled}."
        )
    options["engine"] = engine
    if issubclass(solver, KSparseSolver):
        # Its tolerance, where a k-sparse solver has one, is not that of a duality gap.
        del options["tol"]
    known = {field.name for field in fields(solver)}
    return solver(**{name: options[name] for name in known & options.keys()})


def _has_engine(solver: Any) -> bool:
    return "engine" in {field.name for field in fields(solver)}


def _check_gram(gram: Any, atoms: Tensor, *, check: bool) -> Tensor:
    gram = as_tensor(gram, "gram", like=atoms, check=check)
    if gram.shape != (len(atoms), len(atoms)):
        raise ValueError(
            f"gram must be dictionary @ dictionary.T, of shape {(len(atoms), len(atoms))}, "
            f"got {tuple(gram.shape)}."
        )
    return gram


def _warn_unless_converged(result: SolverResult, X: Tensor, solver: Any) -> None:
    failed = int((~result.converged).sum())
    if failed:
        energy = 0.5 * X.double().square().sum(dim=1)
        worst = float((result.gap / energy)[~result.converged].max())
        warnings.warn(
            f"{type(solver).__name__}: {failed} of {len(X)} samples did not reach "
            f"tol={solver.tol:g} in "
            f"max_iter={solver.max_iter} iterations; the worst relative duality gap is "
            f"{worst:.1e}. "
            "Raise max_iter or tol.",
            ConvergenceWarning,
            stacklevel=3,
        )
