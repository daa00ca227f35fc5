"""GradSparseCoder: sparse coding, the dictionary and the codes by optimization."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._compat import HasMethods, StrOptions
from .._device import as_held, resolve_device
from .._progress import advance, progress_bar
from .._rows import few_rows
from .._sample_weight import check_sample_weight, count_of, weights_to
from .._threads import threads_worth
from .._unit import unit_of
from .._validation import as_tensor
from ..training import TrainingConverged
from ._alpha import resolve_alpha
from ._auto import tell
from ._base import BaseSparseCoder
from ._center import initial_intercept, moved_center, resolve_fit_intercept
from ._changes import changed_since, parameters_of
from ._declared import parameter
from ._dictionary import (
    check_non_negative,
    dictionary_from_codes,
    given_dictionary,
    initial_dictionary,
    resolve_n_components,
)
from ._fitting import fitting
from ._interrupts import warn_interrupted
from ._known_codes import check_reachable, warn_if_far
from ._learned_dictionary import LearnedDictionary
from ._learners import MAX_ITER, blocks_of, make_learner, pass_online
from ._missing import check_observed, fill_in, warn_of_unobserved, without_unobserved
from ._parameters import (
    ALGORITHM_RULE,
    COUNT,
    NON_NEGATIVE,
    POSITIVE,
    CenterParameters,
    DictionaryParameters,
    InferenceParameters,
    L1Parameters,
)
from ._parts import warn
from ._solver_parameters import (
    check_learned_sparsity,
    check_sparsity,
    encode,
    flops_per_sample,
    goes_by_penalty,
    tell_algorithm,
)
from ._split_sign import SplitSign
from ._tasks import FitTask
from ._usefulness import warn_of_codes, warn_of_far_rows


class GradSparseCoder(
    DictionaryParameters,
    L1Parameters,
    CenterParameters,
    InferenceParameters,
    SplitSign,
    BaseSparseCoder,
):
    """Sparse coding: the dictionary and the codes that minimize the objective, by optimization.

    Minimizes the mean over samples of ``1/2 ||x - c - z D||^2 + alpha ||z||_1`` over codes and
    atoms of unit norm, with a center c of the data or 0: the objective of scikit-learn's
    `DictionaryLearning`. `transform` solves the
    convex problem of the codes of new data, to a certified accuracy. It is the most expensive
    encoder and the best: the amortization gap of the others is measured against it.

    With `n_nonzero_coefs` codes have at most so many non-zeros instead of a penalty, as those of
    `TopKSAE`, and `transform` finds such codes by a pursuit; they have no certificate each.

    `fit` passes over the data online first, in mini-batches, and then refines the dictionary with
    all of them, where online learning alone would stall. What is not in memory - a memory map, an
    HDF5, zarr or dask array, a column of a data set, any object with `shape` and row slicing - is
    read by blocks of 16,777,216 numbers; what fits in one is read at once. `partial_fit` goes on
    online with data that come in pieces.

    Beside data and codes of a block of rows, learning holds the Gram matrix of the codes and often
    that of the atoms, ``n_components**2`` numbers each: 1 GB for 16,384 atoms in float32. With
    `n_nonzero_coefs` mini-batches do without that of the codes, here and in `partial_fit`, and
    `fit` passes over them again as long as it lowers the objective by a twentieth.

    Parameters
    ----------
    dict_init : {"auto", "samples", "k-means++"}, array-like, estimator or None
        Where the dictionary starts. "samples": at rows of X drawn at random, "k-means++": at rows
        far from each other, both less the center of the data where there is one, and scaled to unit
        norm; an array of shape (n_components, n_features); a fitted estimator, for its
        `components_`: `clone` keeps it as it is, but for those among the values of a grid search,
        which need a `FrozenEstimator`. None: at random directions. "auto": at distinct rows of X
        where `n_nonzero_coefs` is given, else at random directions.
    n_nonzero_coefs : int or None
        Most non-zeros of a code, in learning and in `transform`, in place of the L1 penalty.
    algorithm : {"auto", "cd", "fista", "adam"} or a k-sparse solver
        "cd" and "fista" alternate sparse inference, by coordinate descent or by accelerated
        proximal gradient with restart, with an exact block-coordinate update of the atoms. "auto"
        takes "cd" on a CPU with numba installed and "fista" elsewhere, the fastest for each. "adam"
        is the published joint gradient descent on codes ``exp(u)`` and dictionary; it is slow and
        here for comparison. With `n_nonzero_coefs` the solver that finds the codes, "omp", "ormp"
        or another k-sparse one of `skamort.solvers.SOLVERS`; "auto" takes "ormp".
    batch_size : int, "auto" or None
        Samples of a mini-batch in the online pass that `fit` begins with, and in `partial_fit`.
        "auto": the larger of 256 and `n_components`, but no online pass in `fit` over fewer than
        8 such batches, with `n_nonzero_coefs` than 4. None: no online pass in `fit`, one batch in
        `partial_fit`.
    n_init : int
        Number of random starts; the one with the lowest objective wins.
    learning_rate : float
        Step size of ``algorithm="adam"``.
    max_iter : int
        Maximum number of iterations of a start, the online pass being the first. None: 40,000
        with "adam", 300 with the others.
    tol : float
        Learning has converged when the objective has not fallen by this share of itself for ten
        iterations; "adam" does not stop early.
    transform_algorithm : str
        Solver that finds the codes in `transform`, a key of `skamort.solvers.SOLVERS`, one of
        scikit-learn's "lars", "lasso_cd", "lasso_lars" and "threshold", or "auto", which picks one
        as `skamort.solvers.sparse_encode` does; with `n_nonzero_coefs` it is that of learning.
    transform_n_nonzero_coefs : int
        Most non-zeros of a code in `transform`, in place of the L1 penalty, for "auto" and for the
        k-sparse solvers. None: `n_nonzero_coefs`, but where another parameter of `transform` says
        how sparse codes are; without it as many as the penalty leaves, or `transform_residual_tol`
        needs; else a tenth of the features where a k-sparse solver is named.
    transform_residual_tol : float
        Squared residual of a row at which it takes no more atoms in `transform`, in place of the L1
        penalty, for "auto", "omp", "ormp", "mp" and "gradient_pursuit".
    transform_alpha : float
        Weight of the L1 penalty in `transform`. None: `alpha_`. A smaller one shrinks the codes
        less. It also gives codes by a penalty where learning went by `n_nonzero_coefs`.
    sparse_output : bool
        Whether `transform` returns a SciPy CSR array. Dense codes are then held for one block of
        rows at a time: 2**24 entries, 64 MB of float32.
    warm_start : bool
        Whether `fit` goes on from the dictionary of the previous fit.

    Attributes
    ----------
    alpha_ : float or None
        The weight of the L1 penalty that was used; None with `n_nonzero_coefs`.
    loss_curve_ : list of float
        The objective after each iteration of the best start; empty where the dictionary or the
        codes were known. The entry of an online pass is the mean over its mini-batches, each
        before its update.
    n_iter_ : int
        Number of iterations of the best start and of passes by `partial_fit`.
    n_iter_all_starts_ : int
        Number of iterations of all starts together and of passes by `partial_fit`.
    n_samples_seen_ : int or float
        Number of samples of `fit` and of all calls of `partial_fit` since; one with a weight counts
        as so many.

    See Also
    --------
    ITOCoder : The same codes for any dictionary.
    sklearn.decomposition.DictionaryLearning : Alternates coordinate descent or LARS instead.

    References
    ----------
    Beck and Teboulle (2009), A fast iterative shrinkage-thresholding algorithm. Mairal et al.
    (2010), Online learning for matrix factorization and sparse coding, algorithms 1 and 2. Arthur
    and Vassilvitskii (2007), k-means++: the advantages of careful seeding. Engan, Aase and Husoy
    (1999), Method of optimal directions for frame design, and Aharon, Elad and Bruckstein (2006),
    K-SVD, alternate k-sparse codes and the dictionary as well. O'Neill, Gumran and
    Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in Sparse Autoencoders,
    section 3.

    Examples
    --------
    >>> from skamort import GradSparseCoder
    >>> from skamort.datasets import make_sparse_coded_signal
    >>> X, dictionary, _ = make_sparse_coded_signal(
    ...     n_samples=500, n_components=16, n_features=8, n_nonzero_coefs=2, positive=True,
    ...     random_state=0)
    >>> coder = GradSparseCoder(n_components=16, alpha=0.03, n_init=5, random_state=0).fit(X)
    >>> from skamort.metrics import dictionary_mcc
    >>> dictionary_mcc(dictionary, coder.components_) > 0.99
    True
    """

    dict_init: Any = parameter(
        "array-like",
        StrOptions({"auto", "samples", "k-means++"}),
        HasMethods(["fit", "transform"]),
        None,
        default="auto",
    )
    n_nonzero_coefs: int | None = parameter(COUNT, None, default=None, may_change="warm")
    algorithm: str = parameter(StrOptions({"auto", *MAX_ITER}), default="auto", may_change="warm")
    batch_size: int | str | None = parameter(
        COUNT, StrOptions({"auto"}), None, default="auto", may_change="warm"
    )
    n_init: int = parameter(COUNT, default=1, may_change="warm")
    learning_rate: float = parameter(POSITIVE, default=1e-3, may_change="warm")
    max_iter: int | None = parameter(COUNT, None, default=None, may_change="warm")
    tol: float = parameter(NON_NEGATIVE, default=1e-3, may_change="warm")
    transform_algorithm: str = parameter(*ALGORITHM_RULE, default="auto", may_change="warm")
    transform_n_nonzero_coefs: int | None = parameter(COUNT, None, default=None, may_change="warm")
    transform_residual_tol: float | None = parameter(
        NON_NEGATIVE, None, default=None, may_change="warm"
    )
    transform_alpha: float | None = parameter(NON_NEGATIVE, None, default=None, may_change="warm")
    warm_start: bool = parameter("boolean", default=False, may_change="warm")

    @fitting(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, *, codes=None):
        """Learn the dictionary.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data, in memory or not.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0 of the rows, in memory. Only their ratios matter, and integers stand for as
            many equal rows: up to rounding where all rows are one batch and no atom starts as a row
            (with "adam" up to its epsilon); else in expectation. None: all rows weigh 1.
        codes : {array-like, sparse matrix} of shape (n_samples, n_components), default=None
            Known codes, in memory or not, about the size of X, >= 0 where `positive_code`: the
            dictionary becomes the unit-norm atoms that best reconstruct X from them.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or the parameters break a rule.
        """
        n_iterations = None if self.max_iter is None else self.max_iter * self.n_init
        task = FitTask(self, X, y, sample_weight, n_iterations)
        again = self.warm_start and hasattr(self, "components_")
        X, codes, weights = self._check_training_data(X, codes, sample_weight, fresh=not again)
        weights = None if weights is None else weights / weights.mean()
        rows = X
        X, codes = self._standardize(X, codes, weights, fresh=True)
        if self.verbose:
            tell(self)
            tell_algorithm(self, X)
        generator = self._make_generator(fresh=True)
        self.n_iter_all_starts_ = 0
        learned = self._learn(X, codes, weights, again, generator, task)
        if not again:
            learned.atoms = self._seen(learned.atoms, X)
        self._keep(learned, [], generator)
        if self.missing_values is not None and self.dictionary is None:
            warn_of_unobserved(self, rows)
        if not learned.converged:
            self._warn_not_converged()
        if codes is not None:
            warn_if_far(self, X, codes, learned.atoms, weights)
        if not warn_of_far_rows(rows, weights, type(self).__name__):
            alpha = self._transform_alpha() if goes_by_penalty(self) else None
            warn_of_codes(self, rows, alpha, self._fitted_center(rows[:1]))
        task.end()
        return self

    @fitting(prefer_skip_nested_validation=True)
    @torch.no_grad()
    def partial_fit(self, X, y=None, sample_weight=None, *, codes=None):  # noqa: ARG002
        """Pass over X online, one chunk of a larger whole.

        Older chunks are forgotten little by little: what was learned from the first samples, with
        a dictionary that was still bad, must not hold back the last. After `fit`, its data count
        as samples seen. The center is the mean of all samples seen, or the geometric median of the
        first chunk.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0 of the rows, taken as they are, so that those of one call compare with
            those of another. None: all rows weigh 1.
        codes : {array-like, sparse matrix} of shape (n_samples, n_components), default=None
            Known codes of X, as in `fit`: the dictionary is updated for them.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If the data or the parameters break a rule, or `algorithm` is "adam", which has no
            online form.

        Examples
        --------
        >>> from skamort import GradSparseCoder
        >>> from skamort.datasets import load_image_patches
        >>> X = load_image_patches(4000, random_state=0)
        >>> coder = GradSparseCoder(n_components=64, random_state=0)
        >>> for chunk in X.reshape(4, 1000, -1):
        ...     coder = coder.partial_fit(chunk)
        >>> coder.loss_curve_[-1] < 0.8 * coder.loss_curve_[0]
        True
        """
        if self.algorithm == "adam":
            raise ValueError(
                "GradSparseCoder: algorithm='adam' has no online form; choose algorithm='auto', "
                "'cd' or 'fista' for partial_fit."
            )
        fresh = not hasattr(self, "components_")
        X, codes, weights = self._check_training_data(X, codes, sample_weight, fresh=fresh)
        X, codes = self._standardize(X, codes, weights, fresh)
        generator = self._make_generator(fresh)
        start = self._start(X, weights, not fresh, generator)
        learned = LearnedDictionary(start, None if fresh else self._statistics_like(start))
        if self.dictionary is None:
            with threads_worth(len(X) * start.numel(), start.device):
                pass_online(self, X, codes, weights, learned, generator)
        previous = 0 if fresh else self.n_iter_all_starts_
        self.n_iter_all_starts_ = previous + len(learned.loss_curve)
        self._keep(learned, [] if fresh else self.loss_curve_, generator)
        return self

    # -- The steps of a fit ------------------------------------------------------------------------

    def _check_training_data(self, X, codes, sample_weight, fresh):
        """Validate all that comes in; return the rows of X and of the codes, and the weights."""
        device = resolve_device(self.device, self)
        if self.algorithm == "adam" and not self.positive_code:
            raise ValueError(
                "GradSparseCoder: algorithm='adam' finds codes exp(u) > 0, got "
                "positive_code=False; choose another algorithm for signed codes."
            )
        self._check_non_negative()
        if not fresh:
            changed_since(self._made_with, self)
        if self.missing_values is not None:
            self._check_missing_values(codes)
        X = self._check_rows(X, reset=fresh)
        dtype = X.dtype if fresh else self._torch_dtype_and_device()[0]
        X = X.to(dtype=dtype, device=device).hold()
        if self.missing_values is not None:
            check_observed(self, X)
        n_components = resolve_n_components(self) if fresh else len(self.components_)
        check_learned_sparsity(self, n_components)
        check_sparsity(self, n_components, "transform_")
        if codes is not None:
            codes = self._check_codes(codes, X, n_components).to(dtype=dtype, device=device)
            check_reachable(self, not self.positive_code, codes)
        weights = check_sample_weight(sample_weight, len(X), type(self).__name__)
        return X, codes, weights_to(weights, dtype=dtype, device=device)

    def _check_missing_values(self, codes):
        """Refuse what learns from complete rows only."""
        needs = {
            "codes=": codes is not None,
            "algorithm='adam'": self.algorithm == "adam",
            "fit_intercept='geometric_median'": self.fit_intercept == "geometric_median",
        }
        for name in [name for name, is_given in needs.items() if is_given]:
            raise ValueError(
                f"GradSparseCoder: {name} needs complete data, and NaN may be missing_values; "
                "impute what is missing, or go without."
            )

    def _check_non_negative(self):
        """Refuse what cannot have non-negative atoms."""
        check_non_negative(self)
        if self.positive_dict and self.algorithm == "adam":
            raise ValueError(
                "GradSparseCoder: positive_dict=True asks for atoms >= 0, but got "
                "algorithm='adam'; set positive_dict=False or choose another algorithm."
            )

    def _standardize(self, X, codes, weights, fresh):
        """Return data less their center, which is fitted here, and codes, both in their unit."""
        if fresh:
            is_known = codes is not None or self.dictionary is not None
            self.fit_intercept_ = resolve_fit_intercept(self, X, is_known, weights)
            center = initial_intercept(self.fit_intercept_, X, weights)
            few = X[few_rows(X)]
            few = fill_in(few if center is None else few - center, 0.0)
            self._unit = unit_of(few, centered=False)
            self.n_samples_seen_ = 0
        else:
            center = self._follow_center(X, weights)
        self.n_samples_seen_ += count_of(X, weights)
        self._find_alpha(X, weights)
        self.intercept_ = np.zeros(X.shape[1], X[:1].cpu().numpy().dtype)
        if center is not None:
            self.intercept_ += center.cpu().numpy()
        X = (X if center is None else X - center) * (1 / self._unit)
        return X.hold(), None if codes is None else codes * (1 / self._unit)

    def _find_alpha(self, X, weights):
        """Set the weight of the penalty, of the first call where it is "auto"."""
        if self.n_nonzero_coefs is not None:
            self.alpha_ = None
        elif getattr(self, "alpha_", None) is None or self._made_with["alpha"] != self.alpha:
            self.alpha_ = resolve_alpha(self, X, weights)

    def _follow_center(self, X, weights):
        """Return the center of all data seen, more rows included, or None."""
        center = self._fitted_center(X[:1])
        if center is None or self.fit_intercept_ == "geometric_median":
            return center
        moved = moved_center(center, self.n_samples_seen_, X, weights)
        if self._statistics is not None:
            self._statistics.move_center((moved - center) / self._unit)
        return moved

    def _make_generator(self, fresh):
        """Return a generator, seeded or in the state where the last call left it."""
        if not fresh:
            generator = torch.Generator()
            generator.set_state(torch.tensor(self._generator_state))
            return generator
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return torch.Generator().manual_seed(int(seed))

    @torch.no_grad()
    def _learn(self, X, codes, weights, again, generator, task):
        """Return the best dictionary of all starts."""
        start = self._start(X, weights, again, generator)
        if self.dictionary is not None:
            return LearnedDictionary(start, converged=True)
        if codes is not None:
            blocks, positive = blocks_of(X, codes, weights), self.positive_dict
            with threads_worth(len(X) * start.numel(), start.device):
                atoms = dictionary_from_codes(blocks, start, positive=positive)
            return LearnedDictionary(atoms, converged=True)
        one_start = again or not (self.dict_init is None or isinstance(self.dict_init, str))
        n_init = 1 if one_start else self.n_init
        learner = make_learner(self, X, weights, len(start), generator)
        best = LearnedDictionary(start)
        bar = progress_bar(learner.max_iter * n_init, "GradSparseCoder", disable=not self.verbose)
        with bar:
            for index in range(n_init):
                learned = LearnedDictionary(start.clone())
                learned.on_iteration = partial(self._advance, bar, task, learned)
                finished = self._run(learner, X, learned)
                self.n_iter_all_starts_ += len(learned.loss_curve)
                if learned.objective < best.objective:
                    best = learned
                if not finished:
                    break
                if index + 1 < n_init:
                    start = self._start(X, weights, again, generator)
        return best

    def _start(self, X, weights, again, generator):
        """Return the atoms to begin with."""
        if again:
            return self._fitted_atoms(X)
        auto = None if self.n_nonzero_coefs is None else "auto"
        return self._seen(initial_dictionary(self, X, generator, weights, auto), X)

    def _seen(self, atoms, X):
        """Return atoms, 0 where no row of X has an entry and none were given."""
        is_whole = self.missing_values is None or given_dictionary(self) is not None
        return atoms if is_whole else without_unobserved(atoms, X)

    def _run(self, learner, X, learned):
        """Run one start; return whether the user let it end."""
        try:
            with threads_worth(len(X) * learned.atoms.numel(), learned.atoms.device):
                learner.learn(X, learned)
        except KeyboardInterrupt as reason:
            learned.converged = True  # the user's verdict: no second warning
            if not isinstance(reason, TrainingConverged):  # for which a callback asks
                warn_interrupted(self, f"iteration {len(learned.loss_curve) + 1}")
            return False
        return True

    def _advance(self, bar, task, learned, objective):
        """Tell an iteration to those who watch."""
        advance(bar, "iteration", objective=f"{self._unit**2 * objective:.5g}")
        if task.end_iteration(lambda: {"components_": learned.atoms.cpu().numpy().copy()}):
            raise TrainingConverged

    # -- What a fit leaves -------------------------------------------------------------------------

    def _keep(self, learned, earlier_losses, generator):
        """Set the fitted attributes."""
        self.components_ = learned.atoms.cpu().numpy().copy()
        self._made_with = parameters_of(self)
        self._statistics = learned.statistics
        self._generator_state = generator.get_state().numpy()
        self.loss_curve_ = earlier_losses + [self._unit**2 * x for x in learned.loss_curve]
        self.n_iter_ = len(self.loss_curve_)

    def _fitted_center(self, like):
        """Return the center as a tensor like another, or None."""
        if not self.fit_intercept_:
            return None
        return as_held(self.intercept_, "intercept_", like)

    def _fitted_atoms(self, X):
        """Return a copy of the dictionary as a tensor like X."""
        return torch.tensor(self.components_).to(X[:1])

    def _statistics_like(self, atoms):
        return None if self._statistics is None else self._statistics.copy_like(atoms)

    def _warn_not_converged(self):
        warn(
            f"GradSparseCoder: the objective was still falling after {self.n_iter_} iterations; "
            "raise max_iter, or raise tol if this is good enough.",
            ConvergenceWarning,
            stacklevel=3,
        )

    def _count_flops(self, n_samples, mode, n_iter, formula):
        n_atoms, n_features = self.components_.shape
        products = n_atoms * n_features
        if mode == "inference":
            return n_samples * flops_per_sample(self, n_iter, formula)
        if formula == "published":
            step = 3 * (5 * products + n_atoms) + 2 * n_features + 2 * n_atoms
            return self.n_iter_all_starts_ * (n_samples * step + products)
        if self.algorithm == "adam":
            return self.n_iter_all_starts_ * n_samples * 6 * products
        statistics = 2 * n_atoms**2 + 2 * products
        step = flops_per_sample(self, n_iter, formula) + statistics
        return self.n_iter_all_starts_ * (n_samples * step + 2 * n_atoms * products)

    def _transform_alpha(self):
        return self.alpha_ if self.transform_alpha is None else self.transform_alpha

    def _encode_block(self, X):
        alpha = self._transform_alpha()
        center = self._fitted_center(X)
        X = X if center is None else X - center
        codes = encode(self, X, alpha=alpha, positive=self.positive_code, prefix="transform_")
        return self._split(codes)

    def _torch_dtype_and_device(self):
        return as_tensor(self.components_, "components_").dtype, resolve_device(self.device, self)
