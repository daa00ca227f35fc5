"""Sparse codes for a fixed dictionary, in NumPy and torch."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._device import telling_out_of_memory
from .._engine import resolve_n_jobs
from .._matrices import check_dense_or_csr
from .._numba import compile_times
from .._rows import rows_within
from .._sparse_rows import SparseRows
from .._validation import as_tensor, check_codes, check_dictionary, check_integer, check_real
from ._base import SolverResult
from ._by_sklearn import encode_by_sklearn
from ._choice import (
    SKLEARN_ALGORITHMS,
    check_algorithm,
    check_sparsity,
    choose_algorithm,
    default_tol,
    goes_by_device,
    make_solver,
)
from ._mask import check_mask, fill_missing, joined
from ._registry import SOLVERS


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
        Duality gap, float64; NaN for k-sparse solvers but "exact", whose gap is how far half the
        squared residual can be above the least.
    n_iter : array of shape (n_samples,)
        Iterations spent on each sample, in the solver's own unit: gradient steps of "fista", "lca"
        and "adam", rounds of the working set of "cd", each a refresh of all correlations and the
        sweeps between two of them, steps of the k-sparse solvers. `skamort.metrics.flops` wants
        gradient steps.
    converged : array of shape (n_samples,)
        Whether the gap met the tolerance; of k-sparse solvers, whether the residual met
        ``residual_tol``, True without one; of "exact", whether the codes are the best.
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
    tol=None,
    residual_tol=None,
    beam_width=None,
    node_limit=None,
    n_stages=None,
    return_info=False,
    engine="auto",
    mask=None,
):
    """Find sparse codes of samples for a fixed dictionary, to a certified accuracy.

    Solves, for every row x of ``X`` on its own::

        min_z  1/2 ||x - z D||^2 + alpha ||z||_1        (z >= 0 if positive)

    with the arguments of :func:`sklearn.decomposition.sparse_encode` and more. What comes in NumPy
    goes out in NumPy, what comes in torch goes out in torch, on the same device and in the same
    dtype.

    Parameters
    ----------
    X : array-like, sparse matrix or Tensor of shape (n_samples, n_features)
        Data; sparse ones are made dense a block of rows at a time.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms, one a row, of any norm but zero. K-sparse solvers choose among them as if all had
        one norm.
    gram : array-like or Tensor of shape (n_components, n_components), default=None
        ``dictionary @ dictionary.T``, computed where it is needed.
    cov : array-like of shape (n_components, n_samples), default=None
        ``dictionary @ X.T``. Only scikit-learn's algorithms use it.
    algorithm : str, default="auto"
        With an L1 penalty and a certificate: "cd" (`CoordinateDescent`, for sparse codes) or
        "fista" (`FISTA`, for few atoms on a GPU and for dense codes); for reproduction "lca"
        (`LCA`) and "adam" (`Adam`). With a given number of non-zeros:
        "omp" (`OMP`), "ormp" (`ORMP`), "gomp" (`GOMP`, several atoms a stage), "mp" (`MP`),
        "gradient_pursuit" (`GradientPursuit`), "iht" (`IHT`), "topk_refined" (`TopKRefined`),
        "exchange" (`Exchange`, the best codes where time is no matter) or "exact"
        (`BranchAndBound`, for small problems). "auto" picks by problem:
        "omp" where ``n_nonzero_coefs`` or ``residual_tol`` is given; else "cd" on a CPU or for more
        than 1024 atoms, and "fista". Scikit-learn's own, on the CPU and
        without a certificate: "lasso_lars", "lasso_cd", "lars" and "threshold" (correlations,
        shrunk by ``alpha``), which see rows and atoms of ordinary size, for LARS takes what is
        small for zero.
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample, for the k-sparse solvers and "lars". None means a tenth of the
        features, or with ``residual_tol`` as many as it takes. With as many as features codes of
        any sign are exact in general.
    alpha : float, default=None
        Weight of the L1 norm; for "threshold" the threshold. None means 1. A k-sparse solver that
        is named ignores it, as scikit-learn's does; "auto" refuses it beside ``n_nonzero_coefs`` or
        ``residual_tol``.
    copy_cov : bool, default=True
        Whether ``cov`` must be left untouched.
    init : array-like or Tensor of shape (n_samples, n_components), default=None
        Codes to start from, for "cd", "fista", "iht", "topk_refined", "gomp",
        "exchange", "exact" and "lasso_cd". "omp", "ormp", "mp" and "gradient_pursuit" begin at
        zero. No sample's codes are worse than its start (of k-sparse ones, than the largest
        ``n_nonzero_coefs`` of it): where those found are, least squares on the atoms of the start
        take their place.
    max_iter : int, default=1000
        Most iterations spent on a sample.
    n_jobs : int, default=None
        Threads of compiled kernels, None for as many as torch uses; processes for scikit-learn's
        algorithms.
    check_input : bool, default=True
        If False, values are not checked for NaN, infinity and zero atoms.
    verbose : int, default=0
        Above 0, print the algorithm and the engine that ran, also where "auto" picked them and
        whether the device was the reason, the seconds they took and, apart, those of compiling
        kernels that numba's cache did not hold yet; verbosity of scikit-learn's algorithms.
    positive : bool, default=False
        Whether codes must be >= 0.
    tol : float, default=None
        A sample has converged when its duality gap is at most ``tol * 1/2 ||x||^2``. None means
        what costs little: 1e-8 for float64 and 1e-5 for float32 by the compiled "cd", else 1e-4.
        Codes of coherent atoms may be far from the best at an objective that is not.
    residual_tol : float, default=None
        For "omp", "ormp", "mp" and "gradient_pursuit": a sample takes no more atoms where
        ``||x - z D||^2`` is at most this, in the squared unit of ``X``, or where it has
        ``n_nonzero_coefs``. What :func:`sklearn.linear_model.orthogonal_mp` calls ``tol``. To
        denoise: about ``1.2 * n_features`` times the noise's variance.
    beam_width : int, default=None
        For "exchange": supports that a beam search keeps on the way to its start, where the
        non-zeros are few; None for 1, the start of "ormp".
    node_limit : int, default=None
        For "exact": most supports that the search of a sample extends; None for 10 million.
    n_stages : int, default=None
        For "gomp": stages, each of which adds ``n_nonzero_coefs / n_stages`` atoms; None for 4.
    return_info : bool, default=False
        Whether to return the certificate as well.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels (``pip install skamort[fast]``) or torch, for the algorithms that have
        both. "auto" takes the kernels where numba is installed and the data are on the CPU.
    mask : array-like or Tensor of bool of shape (n_samples, n_features), default=None
        True where ``X`` is observed, for it multiplies the error; None: everywhere. Objective,
        tolerance, gap and residual are those of the observed entries; what ``X`` holds elsewhere,
        NaN for one, is never looked at. A row of which nothing is observed has codes 0. "cd" and
        "fista" solve samples that lack different entries together; the others take a turn for each
        mask. ``~np.isnan(X)`` for data with NaN.

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
        ``algorithm``, one that does not go by what is given, a ``mask`` for one of scikit-learn's,
        codes that the dtype cannot hold: those of float32 data of 1e30 for atoms of 1e-15 are 1e45.
    TypeError
        Tensors of a dtype other than float32 and float64, or parameters of the wrong type.

    Warns
    -----
    ConvergenceWarning
        Where samples did not reach ``tol`` in ``max_iter`` iterations, or ``residual_tol`` with any
        number of non-zeros, or the end of their search in ``node_limit`` supports: how many, and
        how far they came.

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

    With entries missing:

    >>> X = np.array([[3.0, np.nan], [-2.0, 1.5]])
    >>> sparse_encode(X, np.eye(2), alpha=1.0, mask=~np.isnan(X))
    array([[ 2. ,  0. ],
           [-1. ,  0.5]])
    """
    check_sparsity(algorithm, alpha, n_nonzero_coefs, residual_tol)
    if algorithm in SKLEARN_ALGORITHMS:
        if return_info or residual_tol is not None:
            raise ValueError(
                f"sparse_encode: algorithm={algorithm!r} is scikit-learn's, without return_info "
                f"and residual_tol; choose one of {sorted(SOLVERS)}."
            )
        return encode_by_sklearn(
            X, dictionary, mask, gram=gram, cov=cov, algorithm=algorithm, alpha=alpha,
            n_nonzero_coefs=n_nonzero_coefs, copy_cov=copy_cov, init=init, max_iter=max_iter,
            n_jobs=n_jobs, check_input=check_input, verbose=verbose, positive=positive,
        )  # fmt: skip
    check_algorithm(algorithm)
    k_sparse = n_nonzero_coefs is not None or residual_tol is not None
    alpha = 1.0 if alpha is None else check_real(alpha, "alpha")
    options = {"max_iter": check_integer(max_iter, "max_iter", 0)}
    if sparse.issparse(X):
        data = _check_sparse(X, mask)
    else:
        mask = check_mask(mask, X)
        data = as_tensor(fill_missing(X, mask), "X", check=check_input)
    atoms = check_dictionary(dictionary, data, check=check_input)
    if residual_tol is not None:
        options["residual_tol"] = check_real(residual_tol, "residual_tol")
    counts = {"beam_width": beam_width, "node_limit": node_limit, "n_stages": n_stages}
    options |= {name: check_integer(n, name, 1) for name, n in counts.items() if n is not None}
    if n_nonzero_coefs is not None:
        options["n_nonzero_coefs"] = _check_n_nonzero_coefs(n_nonzero_coefs, len(atoms))
    options["n_jobs"] = resolve_n_jobs(n_jobs)
    if init is not None:
        init = check_codes(init, "init", data, atoms, check=check_input)
    if gram is not None:
        gram = _check_gram(gram, atoms, check=check_input)

    told = ", for X is on a GPU and atoms are few" if goes_by_device(data, atoms) else ""
    told = told if algorithm == "auto" and not k_sparse else ""
    algorithm = choose_algorithm(algorithm, data, atoms, k_sparse)
    tol = default_tol(algorithm, engine, atoms) if tol is None else check_real(tol, "tol")
    solver = make_solver(algorithm, engine, tol=tol, **options)
    tell = partial(_tell_of_memory, atoms)
    with (
        telling_out_of_memory("sparse_encode", tell),
        _timed(f"algorithm={algorithm!r}{told}", len(data)) if verbose else nullcontext([]) as ran,
    ):
        given = {"alpha": alpha, "positive": positive, "gram": gram}
        if isinstance(data, Tensor):
            result = solver.solve(data, atoms, init=init, mask=mask, **given)
        else:
            result = _solve_by_blocks(solver, data, atoms, init, **given)
        ran.append(result.engine)
    _warn_unless_converged(result, data, solver)
    codes, info = _in_kind(result, algorithm, like=X)
    return (codes, info) if return_info else codes


def _tell_of_memory(atoms: Tensor) -> tuple[str, str]:
    advice = "free what else is held there, or pass X.cpu()"
    return f"blocks of samples with their codes, {len(atoms)} atoms", advice


def _check_sparse(X: Any, mask: Any) -> SparseRows:
    """Sparse data as rows that are made dense when they are asked for."""
    if mask is not None:
        raise ValueError(
            "sparse_encode: sparse X has no mask, for entries that are not stored are zero; pass "
            "X.toarray(), or mask=None."
        )
    return SparseRows(check_dense_or_csr(X, "X"), "sparse_encode", "X")


def _solve_by_blocks(
    solver: Any, X: SparseRows, dictionary: Tensor, init: Tensor | None, **given: Any
) -> SolverResult:
    """Solve for rows a block at a time, each no smaller than the dictionary, which is prepared for
    each anew."""
    n_atoms = len(dictionary)
    step = max(n_atoms, rows_within(max(n_atoms, X.shape[1])))
    blocks = torch.arange(len(X)).split(step)
    starts = [None if init is None else init[rows] for rows in blocks]
    solved = [
        solver.solve(X[rows], dictionary, init=start, **given)
        for rows, start in zip(blocks, starts, strict=True)
    ]
    return joined(list(blocks), solved)


def _check_n_nonzero_coefs(limit: Any, n_components: int) -> int:
    limit = check_integer(limit, "n_nonzero_coefs", 1)
    if limit > n_components:
        raise ValueError(
            f"sparse_encode: n_nonzero_coefs={limit} exceeds the {n_components} atoms of the "
            f"dictionary; choose n_nonzero_coefs <= {n_components}."
        )
    return limit


def _check_gram(gram: Any, atoms: Tensor, *, check: bool) -> Tensor:
    gram = as_tensor(gram, "gram", like=atoms, check=check)
    if gram.shape != (len(atoms), len(atoms)):
        raise ValueError(
            f"gram must be dictionary @ dictionary.T, of shape {(len(atoms), len(atoms))}, "
            f"got {tuple(gram.shape)}."
        )
    return gram


@contextmanager
def _timed(told: str, n_samples: int) -> Iterator[list[str]]:
    """Print how long the block took, and what ran: the engine, which the block appends."""
    engines: list[str] = []
    with compile_times() as compiled:
        start = time.perf_counter()
        yield engines
        seconds = time.perf_counter() - start
    print(
        f"sparse_encode: {told}, engine={engines[0]!r}; compiled in "
        f"{sum(compiled):.2f} s, solved {n_samples} samples in {seconds - sum(compiled):.2f} s."
    )


def _in_kind(result: SolverResult, algorithm: str, *, like: Any) -> tuple[Any, EncodingInfo]:
    """Codes and info: tensors where the input was one, else arrays."""
    tensors = result.codes, result.gap, result.n_iter, result.converged, result.residual
    codes, *known = tensors if isinstance(like, Tensor) else map(_to_numpy, tensors)
    return codes, EncodingInfo(algorithm, result.engine, *known)


def _to_numpy(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.numpy()


def _warn_unless_converged(result: SolverResult, X: Tensor | SparseRows, solver: Any) -> None:
    failed = ~result.converged
    missed = _missed(result, X, solver, failed) if failed.any() else None
    if missed is None:
        return
    warnings.warn(
        f"{type(solver).__name__}: {int(failed.sum())} of {len(X)} samples did not reach {missed}",
        ConvergenceWarning,
        stacklevel=3,
    )


def _missed(
    result: SolverResult, X: Tensor | SparseRows, solver: Any, failed: Tensor
) -> str | None:
    """What samples did not reach, and what to do; None where they need not."""
    if result.residual is None:
        blocks = failed.nonzero().flatten().split(rows_within(X.shape[1]))
        energy = torch.cat([0.5 * X[rows].double().square().sum(dim=1) for rows in blocks])
        worst = float((result.gap[failed] / energy).max())
        return (
            f"tol={solver.tol:g} in max_iter={solver.max_iter} iterations; the worst relative "
            f"duality gap is {worst:.1e}. Raise max_iter or tol."
        )
    if hasattr(solver, "node_limit"):
        residual, gap = float(result.residual[failed].mean()), float(result.gap[failed].mean())
        return (
            f"the end of their search in node_limit={solver.node_limit} supports; their mean "
            f"squared residual is {residual:.3g}, and that of the best codes at least "
            f"{residual - 2 * gap:.3g}. Raise node_limit, or lower n_nonzero_coefs."
        )
    if solver.n_nonzero_coefs is None:
        return (
            f"residual_tol={solver.residual_tol:g} with any number of non-zeros; the largest "
            f"squared residual is {float(result.residual.max()):.1e}. Raise residual_tol, or take "
            "atoms that explain more."
        )
    return None  # the number of non-zeros was to end the pursuit
