"""ITOCoder: inference-time optimization, the best codes for a dictionary from anywhere."""

from __future__ import annotations

from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from .._compat import HasMethods, StrOptions
from .._decoder import (
    atoms_of_part,
    center_of,
    check_no_pipeline,
    known_alpha,
    limits_number,
    positive_of,
    warn_if_far,
)
from .._device import as_held, resolve_device
from .._fitted import fitted, has_learned, transform_unnamed
from .._rows import few_rows
from .._sample_weight import check_sample_weight, weights_to
from .._validation import as_tensor, check_dictionary
from ..metrics import flops
from ._alpha import resolve_alpha, weight_for
from ._auto import tell
from ._base import BaseSparseCoder
from ._center import initial_intercept, resolve_fit_intercept
from ._declared import parameter
from ._fitting import fitting
from ._missing import check_observed, fill_in
from ._parameters import (
    ALGORITHM_RULE,
    COUNT,
    NON_NEGATIVE,
    CenterParameters,
    InferenceParameters,
    L1Parameters,
)
from ._sae import SAEEncoder
from ._solver_parameters import (
    K_SPARSE,
    check_alpha,
    check_sparsity,
    encode,
    flops_per_sample,
    goes_by_penalty,
)
from ._split_sign import SplitSign, joined
from ._tasks import FitTask
from ._usefulness import warn_of_codes

# What is known before `fit` where the dictionary is given.
_KNOWN_BEFORE = ("components_", "estimator_", "intercept_", "n_features_in_", "positive_code_")
# Rows whose codes of the estimator's own tell their sign and their number: from all over X, for
# the first ones are often of one kind.
_ROWS_LOOKED_AT = 100


class ITOCoder(L1Parameters, CenterParameters, InferenceParameters, SplitSign, BaseSparseCoder):
    """Codes by inference-time optimization, for any dictionary and from any warm start.

    For each row x, `transform` minimizes ``1/2 ||x - c - z D||^2 + alpha ||z||_1`` over codes z, a
    convex problem, to a certified accuracy. The dictionary D is an array or that of another
    estimator; the search starts from that estimator's codes, so what it wins over them is their
    amortization gap. Solvers that begin at zero, such as "omp", take least squares on the atoms of
    the estimator's codes where these explain a row better. No row has worse codes than the
    estimator's, or than the `n_nonzero_coefs_` largest of them; but scikit-learn's algorithms are
    taken at their word.

    With `dictionary`, and `alpha` or a number of non-zeros, there is nothing to learn, and
    `transform`, `inverse_transform` and `score` work without `fit`, as those of scikit-learn's
    `SparseCoder` do.

    Parameters
    ----------
    n_components : int
        Number of atoms of the estimator that is fitted here. None: what `estimator` says itself,
        ``n_features`` for the default `SAEEncoder`.
    dictionary : array-like of shape (n_components, n_features)
        Atoms, taken as they are. Not together with `estimator`.
    estimator : object
        Any estimator with `components_` or `dictionary`, of skamort or of scikit-learn. If it is
        fitted it is used as it is, after `clone` too, as in `cross_val_score`; otherwise a clone is
        fitted. Values of a grid search are cloned by themselves and fitted again, but in a
        `FrozenEstimator`. None, without `dictionary`: a `SAEEncoder` with this `alpha`.
    alpha : float or "auto"
        Weight of the L1 penalty on the codes, in the units of the data. "auto": that of the
        estimator; where it has none, and with `dictionary`, a tenth of the mean distance of the
        rows of X from their mean, times the median length of the atoms. Not beside
        `n_nonzero_coefs`, `residual_tol` or a k-sparse solver.
    fit_intercept : bool or {"auto", "mean", "geometric_median"}
        With `dictionary`, whether codes are sought for what is left of X without its center: its
        mean (True or "mean") or its geometric median. "auto": False, the dictionary explains X as
        it is. Without `dictionary` the center is that of the estimator.
    algorithm : str
        Solver, a key of `skamort.solvers.SOLVERS`, one of scikit-learn's "lars", "lasso_cd",
        "lasso_lars" and "threshold", or "auto", which picks one as `skamort.solvers.sparse_encode`
        does. "topk_refined" keeps the support that the estimator's own encoder finds and solves for
        its coefficients; "exchange" goes on from there, one atom for another; "gomp" keeps those
        with the largest codes and adds atoms in stages.
    n_nonzero_coefs : int
        Most non-zeros of a code, in place of the L1 penalty, for "auto" and for the k-sparse
        solvers. None: as many as the penalty leaves, or `residual_tol` needs. Where a k-sparse
        solver is named, and for "auto" without `alpha` where the estimator limits their number, as
        a `TopKSAE` does: as many as its codes have, in the mean of up to 100 rows at equal
        distances, rounded up; with `dictionary` a tenth of the features.
    residual_tol : float
        Squared residual of a row, ``||x - c - z D||^2``, at which it takes no more atoms, in place
        of the L1 penalty, for "auto", "omp", "ormp", "mp" and "gradient_pursuit". To denoise: about
        1.2 times n_features times the noise's variance.
    n_stages : int
        For "gomp": stages, each of which adds ``n_nonzero_coefs / n_stages`` atoms. None: 4.
    beam_width : int
        For "exchange": supports that are kept on the way to its start. None: 1.
    node_limit : int
        For "exact": most supports that the search of a row extends. None: 10 million.
    positive_code : bool or "auto"
        Whether codes are >= 0. "auto": as those of the estimator are, by its `positive_code` where
        it has one, else by the codes that it gives to up to 100 rows at equal distances; with
        `dictionary` alone codes have either sign, as those of `SparseCoder`.
    sparse_output : bool
        Whether `transform` returns a SciPy CSR array. Dense codes, and those of a warm start, are
        then held for one block of rows at a time: 2**24 entries, 64 MB of float32.
    verbose : int or bool
        Whether the estimator that is fitted here tells how it comes on.
    random_state : int, RandomState instance or None
        Seed of the estimator that is fitted here, where it has none of its own.

    Attributes
    ----------
    alpha_ : float or None
        The weight of the L1 penalty that was used; None where codes go by their number or by a
        residual.
    components_ : ndarray of shape (n_components, n_features)
        Dictionary.
    intercept_ : ndarray of shape (n_features,) or None
        Center of the data, the estimator's or a fitted one; None where there is none.
    n_nonzero_coefs_ : int or None
        Most non-zeros of a code, the given number or the estimator's; None where there is none.
    positive_code_ : bool
        Whether codes are >= 0.
    estimator_ : object
        The fitted estimator that gives dictionary and warm start; None with `dictionary`.

    See Also
    --------
    GradSparseCoder : Learns the dictionary by the same inference.
    skamort.metrics.amortization_gap : What better inference would win, with its certificate.
    sklearn.decomposition.SparseCoder : Codes for a fixed dictionary by LARS or coordinate descent.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders, section 3 (SAE+ITO).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skamort import ITOCoder, TopKSAE
    >>> X = StandardScaler().fit_transform(load_digits().data[:500])
    >>> topk = TopKSAE(n_components=128, k=8, tol=0.01, random_state=0).fit(X)
    >>> ito = ITOCoder(estimator=topk, algorithm="ormp").fit(X)
    >>> ito.n_nonzero_coefs_
    8
    >>> bool(ito.score(X) > topk.score(X))
    True
    """

    positive_code: Any = parameter(
        "boolean", StrOptions({"auto"}), default="auto", may_change="warm"
    )
    dictionary: ArrayLike | None = parameter("array-like", None, default=None)
    estimator: Any = parameter(HasMethods(["fit", "transform"]), None, default=None)
    algorithm: str = parameter(*ALGORITHM_RULE, default="auto")
    n_nonzero_coefs: int | None = parameter(COUNT, None, default=None)
    residual_tol: float | None = parameter(NON_NEGATIVE, None, default=None)
    n_stages: int | None = parameter(COUNT, None, default=None)
    beam_width: int | None = parameter(COUNT, None, default=None)
    node_limit: int | None = parameter(COUNT, None, default=None)

    @fitting(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None):
        """Take the dictionary, or fit the estimator that learns it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data; of what is not in memory, a few rows are read, or what the estimator to fit reads.
        y : array-like of shape (n_samples,), default=None
            Passed on to an estimator that is fitted here; otherwise ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0 of the rows, passed on likewise.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or the parameters break a rule.
        """
        is_ready = self.dictionary is not None or has_learned(self.estimator)
        task = FitTask(self, X, y, sample_weight, 0 if is_ready else 1)
        rows = self._prepare(X, y, sample_weight, task)
        center = self.intercept_
        if center is not None:
            center = as_tensor(center, "intercept_", check=False)
        warn_of_codes(self, rows, self.alpha_, center)
        task.end()
        return self

    def _prepare(self, X, y=None, sample_weight=None, task=None):
        """Find out all that coding needs, for a fit where there is its task; return the rows of
        X."""
        resolve_device(self.device, self)
        if self.dictionary is not None and self.estimator is not None:
            raise ValueError(
                "ITOCoder: dictionary and estimator both give a dictionary; pass one of them."
            )
        if self.fit_intercept != "auto" and self.dictionary is None:
            raise ValueError(
                f"ITOCoder: fit_intercept={self.fit_intercept!r} goes with dictionary=, and the "
                'center of an estimator is its own; leave "auto", and set fit_intercept of '
                "estimator=."
            )
        check_no_pipeline(self.estimator, "ITOCoder", "estimator")
        rows = self._check_rows(X, reset=True)
        if self.missing_values is not None and task is not None:
            check_observed(self, rows)
        check_alpha(self)
        weights = check_sample_weight(sample_weight, len(rows), type(self).__name__)
        known = self.dictionary is not None
        within = nullcontext if task is None else partial(task.part, "estimator")
        self.estimator_ = None if known else self._fit_estimator(rows.source, y, weights, within)
        weights = weights_to(weights, dtype=rows.dtype, device=rows.device)
        self.intercept_ = self._find_center(rows, weights)
        self.components_ = self._find_dictionary(rows[:1])
        if self.estimator_ is not None and self.missing_values is None:
            warn_if_far(self.estimator_, rows[few_rows(rows, _ROWS_LOOKED_AT)].cpu().numpy())
        self.positive_code_ = self._resolve_sign(rows)
        self.n_nonzero_coefs_ = self._find_number(rows)
        self.alpha_ = self._find_alpha(rows, weights)
        if self.verbose:
            tell(self)
        check_sparsity(self, len(self.components_))
        return rows

    def _fit_estimator(self, X, y, weights, within):
        """Return the fitted estimator that owns the dictionary."""
        names = ("n_components", "device", "verbose", "random_state")
        shared = {name: getattr(self, name) for name in names}
        estimator = self.estimator
        if estimator is None:
            estimator = SAEEncoder(alpha=self.alpha, random_state=self.random_state)
        return fitted(estimator, X, y, weights, within=within, **shared)

    def _find_center(self, rows, weights):
        """Return the center of the data: the estimator's, or a fitted one."""
        if self.estimator_ is not None:
            return center_of(self.estimator_)
        center = initial_intercept(resolve_fit_intercept(self, rows, is_known=True), rows, weights)
        return None if center is None else center.numpy()

    def _find_alpha(self, rows, weights):
        """Return the weight of the L1 norm: the given one, the estimator's, or that of the data;
        None where codes go by none."""
        if not goes_by_penalty(self):
            return None
        if self.alpha == "auto" and self.estimator_ is not None:
            known = known_alpha(self.estimator_)
            if known is not None:
                return known
        return resolve_alpha(self, rows, weights, weight_for(self.components_))

    def _find_dictionary(self, like):
        """Return the atoms as an array of the type of the tensor `like`."""
        atoms = self.dictionary
        if self.estimator_ is not None:
            atoms = atoms_of_part(self.estimator_, "ITOCoder", "estimator")
        if self.n_components not in (None, len(atoms)):
            raise ValueError(
                f"ITOCoder: n_components={self.n_components} but the dictionary has {len(atoms)} "
                "atoms; leave n_components=None."
            )
        return check_dictionary(atoms, like).numpy()

    def _resolve_sign(self, rows):
        """Return whether codes are to be >= 0."""
        if self.positive_code != "auto":
            return bool(self.positive_code)
        if self.estimator_ is None:
            return False
        return positive_of(self.estimator_, self._own_codes_of_few(rows))

    def _find_number(self, rows):
        """Return the most non-zeros of a code: as many as the estimator's codes have where nothing
        else says how sparse codes are."""
        is_open = self.n_nonzero_coefs is None and self.residual_tol is None
        if self.estimator_ is None or not (is_open and self._counts_codes()):
            return self.n_nonzero_coefs
        codes = self._own_codes_of_few(rows)
        return max(1, int(np.ceil(np.mean((codes != 0).sum(axis=1)))))

    def _counts_codes(self):
        """Return whether codes of the estimator are to be matched in number."""
        if self.algorithm == "auto":
            return self.alpha == "auto" and limits_number(self.estimator_)
        return self.algorithm in K_SPARSE

    def _ready(self, X=None):
        """Return itself, or before `fit` a copy that knows the given dictionary."""
        if "components_" in vars(self) or self.dictionary is None:
            return super()._ready()
        if not self._is_stateless():
            found = 'alpha="auto"' if self.fit_intercept in (False, "auto") else "a center"
            raise NotFittedError(
                f"ITOCoder: with dictionary= alone {found} is found from X in fit; call fit, or "
                "set alpha, n_nonzero_coefs or residual_tol, without fit_intercept, to go without."
            )
        self._validate_params()
        coder = copy(self)
        coder._prepare(self.dictionary if X is None else X)
        return coder

    def _is_stateless(self):
        """Whether nothing has to be found out from X before rows are coded."""
        is_weighed = self.alpha != "auto" or not goes_by_penalty(self)
        return self.dictionary is not None and is_weighed and self.fit_intercept in (False, "auto")

    def __getattr__(self, name):
        # Only where there is no such attribute: before `fit`.
        if name in _KNOWN_BEFORE and vars(self).get("dictionary") is not None:
            return getattr(self._ready(), name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")

    def __sklearn_is_fitted__(self):
        return "components_" in vars(self) or self._is_stateless()

    def __sklearn_tags__(self):
        """Declare that a given dictionary is all that is needed."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = not self._is_stateless()
        return tags

    def _encode_block(self, X):
        init = self._warm_start(X)
        if self.intercept_ is not None:
            X = X - as_held(self.intercept_, "intercept_", X)
        positive = self.positive_code_
        return self._split(encode(self, X, alpha=self.alpha_, positive=positive, init=init))

    def _warm_start(self, X):
        """Return the codes of the estimator's own encoder as a tensor like X."""
        if self.estimator_ is None:
            return None
        codes = as_tensor(self._own_codes(X), "codes", like=X, check=False)
        return codes.clamp(min=0) if self.positive_code_ else codes

    def _own_codes_of_few(self, rows):
        """Return the estimator's codes of rows that stand for all."""
        return self._own_codes(rows[few_rows(rows, _ROWS_LOOKED_AT)])

    def _own_codes(self, X):
        """Return the estimator's codes of the tensor X, which get the center where entries are
        missing; dense, one column an atom, and where X is if the estimator is one of ours."""
        if self.missing_values is not None:
            center = 0.0
            if self.intercept_ is not None:
                center = as_held(self.intercept_, "intercept_", X)
            X = fill_in(X, center)
        if X.is_cuda and isinstance(self.estimator_, BaseSparseCoder):
            return joined(self.estimator_, self.estimator_._codes_there(X))
        codes = joined(self.estimator_, transform_unnamed(self.estimator_, X.cpu().numpy()))
        return np.asarray(codes.toarray() if hasattr(codes, "toarray") else codes)

    def _count_flops(self, n_samples, mode, n_iter, formula):
        inner = 0.0
        if self.estimator_ is not None:
            inner = flops(self.estimator_, n_samples, mode=mode, n_iter=n_iter, formula=formula)
        if mode == "training":
            return inner
        return inner + n_samples * flops_per_sample(self, n_iter, formula)

    def _torch_dtype_and_device(self):
        return as_tensor(self.components_, "components_").dtype, resolve_device(self.device, self)
