"""Parameters that several estimators share, each declared once, in groups."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._compat import HasMethods, Interval, StrOptions
from ..solvers import SKLEARN_ALGORITHMS, SOLVERS
from ..training import Checkpoint, ResampleDead, Schedule, TeachDead
from ._declared import Declared, parameter
from ._solver_parameters import goes_by_penalty

POSITIVE = Interval(Real, 0, None, closed="neither")
AUTO = StrOptions({"auto"})
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")
SHARE = Interval(Real, 0, 1, closed="neither")


class CoderParameters(Declared):
    """What every coder has.

    Parameters
    ----------
    n_components : int or None
        Number of atoms. None: that of `dictionary` or `dict_init`, else ``n_features``.
    sparse_output : bool
        Whether `transform` returns a SciPy CSR array.
    device : str
        Where to compute: "cpu", "cuda", "cuda:1", or "auto", which is CUDA where torch sees it.
    verbose : int or bool
        Whether to draw a progress bar, and to print what is "auto" and, after 1, 2, 5, 10, 20
        epochs and so on, a line.
    random_state : int, RandomState instance or None
        Seed of all that is random in `fit`: the initial weights and the order of the samples.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Dictionary: atoms of unit norm.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X had names.
    """

    n_components: int | None = parameter(COUNT, None, default=None, kw_only=False)
    sparse_output: bool = parameter("boolean", default=False, may_change="always")
    device: str = parameter(str, default="auto", may_change="always")
    verbose: int | bool = parameter("verbose", default=False, may_change="always")
    random_state: int | np.random.RandomState | None = parameter(
        "random_state", default=None, may_change="always"
    )


class DictionaryParameters(Declared):
    """A dictionary that is known, or learned from a start.

    Parameters
    ----------
    dictionary : array-like of shape (n_components, n_features) or None
        A known dictionary: its atoms, scaled to unit norm, are kept and only the codes, or their
        encoder, are found.
    dict_init : {"samples", "k-means++"}, array-like, estimator or None
        Where the dictionary starts. "samples": at rows of X drawn at random, "k-means++": at rows
        far from each other, both less the center of the data where there is one, and scaled to unit
        norm; an array of shape (n_components, n_features); a fitted estimator, for its
        `components_`: `clone` keeps it as it is, but for those among the values of a grid search,
        which need a `FrozenEstimator`. None: at random directions.
    positive_dict : bool
        Whether entries of the atoms are >= 0: parts of what is non-negative, such as counts and
        images. A start is projected, and what is learned in every step; X has no center then by
        default. Not with ``algorithm="adam"`` where there is one, and trained one by one in
        `fit_many`.
    """

    dictionary: ArrayLike | None = parameter("array-like", None, default=None)
    dict_init: Any = parameter(
        "array-like",
        StrOptions({"samples", "k-means++"}),
        HasMethods(["fit", "transform"]),
        None,
        default=None,
    )
    positive_dict: bool = parameter("boolean", default=False)


class L1Parameters(Declared):
    """An L1 penalty on the codes.

    Parameters
    ----------
    alpha : float or "auto"
        Weight of the L1 penalty on the codes, in the units of the data. "auto": a tenth of the mean
        distance of the rows of X from their mean, but for a few that are far from all others, by
        the first call where `fit` goes on and in `partial_fit`.

    Attributes
    ----------
    alpha_ : float
        The weight of the L1 penalty that was used.
    """

    alpha: float | str = parameter(
        NON_NEGATIVE, StrOptions({"auto"}), default="auto", may_change="warm"
    )


class InferenceParameters(Declared):
    """Codes by optimization.

    Parameters
    ----------
    positive_code : bool
        Whether codes are >= 0.
    transform_max_iter : int
        Maximum number of iterations that `transform` spends on a sample.
    transform_tol : float or None
        Duality gap that `transform` certifies for each sample, relative to ``1/2 ||x||^2``. None:
        what costs little, as in `skamort.solvers.sparse_encode`.
    missing_values : nan or None
        What stands for entries that are missing. ``np.nan``: codes are the best for the other
        entries, `inverse_transform` fills in those that are missing, and `score` leaves them out; a
        row of which nothing was observed has codes 0, and entries that a masked array masks are
        missing too. None: none may be missing, NaN and masks are refused.
    """

    positive_code: bool = parameter("boolean", default=True, may_change="warm")
    transform_max_iter: int = parameter(COUNT, default=1000, may_change="warm")
    transform_tol: float | None = parameter(NON_NEGATIVE, None, default=None, may_change="warm")
    missing_values: float | None = parameter("nan", None, default=None, may_change="warm")

    @property
    def _limits_number(self):
        return not goes_by_penalty(self)


class CenterParameters(Declared):
    """A center of the data, taken off before codes are sought.

    Parameters
    ----------
    fit_intercept : bool or {"auto", "mean", "geometric_median"}
        Whether codes are sought for what is left of X without its center c, for data that are not
        centered, such as language-model activations. It is the mean of the data (True or "mean"),
        or the point whose distances to the data have the smallest sum, which outliers do not move.
        "auto": True where the mean makes up more than a third of the mean square of X, or
        "geometric_median" where a few rows would rule it; False where codes or dictionary are
        known, or atoms are to be >= 0, which explain X as it is.

    Attributes
    ----------
    fit_intercept_ : bool or str
        What `fit_intercept` came to.
    intercept_ : ndarray of shape (n_features,)
        Center of the data; zeros if not fitted.
    """

    fit_intercept: bool | str = parameter(
        "boolean", StrOptions({"auto", "mean", "geometric_median"}), default="auto"
    )


ALGORITHM_RULE = (StrOptions({"auto", *SOLVERS, *SKLEARN_ALGORITHMS}),)


class DeadLatentParameters(Declared):
    """What to do about latents that fire no more.

    Parameters
    ----------
    dead_latents : {"auto", "resample"}, ResampleDead or None
        What to do about latents that fire no more. "resample": start them anew at samples that are
        badly reconstructed. A `skamort.training.ResampleDead` also says after how many samples
        without firing a latent is dead (five passes over X, at most 10 million; set its `window`
        where `partial_fit` gets X in chunks). None: nothing. "auto": "resample" after 1.5 passes,
        in `partial_fit` after no less than 30 samples an atom; None where no center is learned,
        `fit` has fewer than 1,000 rows, or codes or dictionary are known.

    Attributes
    ----------
    dead_latents_ : str, ResampleDead or None
        What was done about latents that fire no more.
    """

    dead_latents: str | ResampleDead | TeachDead | None = parameter(
        AUTO, StrOptions({"resample"}), ResampleDead, None, default="auto", may_change="warm"
    )


class TrainingParameters(DictionaryParameters):
    """How an encoder is trained.

    Parameters
    ----------
    dict_init : {"auto", "samples", "k-means++"}, array-like, estimator or None
        Where the dictionary starts. "samples": at rows of X drawn at random, "k-means++": at rows
        far from each other, both less the center of the data where there is one, and scaled to unit
        norm; an array of shape (n_components, n_features); a fitted estimator, for its
        `components_` (in a `FrozenEstimator` it survives `clone`). None: at random directions.
        "auto": as "samples", but at no two equal rows.
    fit_intercept : bool or {"auto", "mean", "geometric_median"}
        Whether to learn a center c of the data (the pre-bias of the literature). It starts at the
        mean of the data (True or "mean"), or at the point whose distances to the data have the
        smallest sum, which outliers do not move. "auto": True, or "geometric_median" where a few
        rows would rule the mean; False where codes or dictionary are known, or atoms are to be
        >= 0, which explain X as it is.
    feature_weights : {"variance", "consistency"}, array-like, callable or None
        How faithfully each feature is to be reconstructed, a score >= 0; its error is multiplied by
        the score, scaled so that the squares have mean 1. "variance": the feature's variance.
        "consistency": the share of its top samples that belong to their most frequent class, which
        needs y in `fit`. An array of shape (n_features,), or a callable that gets (X, y) and
        returns one. None: all features alike. Of weights of samples, "variance" takes account; the
        others see the rows whose weight is not 0.
    learning_rate : float or "auto"
        Step size of Adam. "auto": 2e-3 for batches of 256 rows of 600 features, in proportion to
        the root of ``batch_size / n_features``, at most 4e-3, for `TopKSAE` and its kin also
        ``0.16 / sqrt(n_components)``, for ProLU half of that; for `LISTAEncoder` a quarter of it.
    schedule : Schedule, "auto" or None
        A `skamort.training.Schedule` of the step size (warm-up and decay) and of the penalty
        (warm-up) over the `max_iter` epochs of `fit`; `partial_fit` goes without. None: both are
        constant. "auto": a warm-up in 5 % of the steps, at most 100, and a decay in the last 20 %;
        None where `callbacks` hold skorch's `LRScheduler`.
    max_grad_norm : float or None
        Greatest length of a step's gradient, that of all weights together, as data scaled to
        unit mean square would give it; longer ones are shortened. None: any length.
    max_iter : int or "auto"
        Maximum number of epochs, passes over X. "auto": as many as make 10,000 steps, at most
        1,000.
    batch_size : int or "auto"
        Number of samples a training step. "auto": 256; above 360,000 rows the power of two that
        makes about 1,000 steps of a pass, at most 4,096.
    tol : float
        Training has converged when the loss, over `n_iter_no_change` epochs, has not fallen by this
        fraction of itself.
    n_iter_no_change : int
        Number of epochs in a row without a fall of the loss by `tol` that end training.
    early_stopping : bool
        Whether the loss of held-out rows of X decides when training has converged; the weights of
        the epoch with the lowest such loss are then kept.
    validation_fraction : float
        Share of the rows that `early_stopping` holds out.
    precision : {"full", "tf32", "bfloat16"}
        Numbers of training's dense matrix products: those of X, or of half precision, which is
        faster where the processor has it. "tf32": float32 with factors of eleven bits, on GPUs
        since Ampere; elsewhere as "full". Weights and sums keep the precision of X.
    callbacks : list of skorch callbacks or None
        What else is to happen in training; :doc:`/training` tells what callbacks can read.
    checkpoint : str, path, Checkpoint or None
        Directory where `fit` saves its state after each epoch, so that a run that was killed can
        go on by ``fit(..., resume=True)``. A `skamort.training.Checkpoint` also says how often.
        None: nothing is saved.
    warm_start : bool
        Whether `fit` goes on from the weights of the previous fit.

    Attributes
    ----------
    learning_rate_, batch_size_, max_iter_, schedule_, fit_intercept_ : object
        What the parameters of these names came to.
    intercept_ : ndarray of shape (n_features,)
        Center of the data; zeros if not fitted.
    feature_weights_ : ndarray of shape (n_features,) or None
        Weight of each feature's error; None without `feature_weights`.
    loss_curve_ : list of float
        Mean training loss a sample in each epoch.
    validation_loss_curve_ : list of float or None
        Mean loss a held-out sample after each epoch; None without `early_stopping`.
    n_iter_ : int
        Number of epochs run.
    latent_frequency_ : ndarray of shape (n_components,)
        Share of the samples of the last epoch on which each latent fired, as it was being trained.
    dead_fraction_ : float
        Share of the latents that fired on no sample of the last epoch.
    net_ : SparseNet
        The skorch net; ``net_.module_`` is the torch module, for data divided by ``net_.unit``: 1,
        or a power of two where their root mean square is below 1e-5 or above 1e5.
    """

    dict_init: Any = parameter(
        "array-like",
        StrOptions({"auto", "samples", "k-means++"}),
        HasMethods(["fit", "transform"]),
        None,
        default="auto",
    )
    fit_intercept: bool | str = parameter(
        "boolean", StrOptions({"auto", "mean", "geometric_median"}), default="auto"
    )
    feature_weights: str | ArrayLike | Callable | None = parameter(
        StrOptions({"variance", "consistency"}), "array-like", callable, None, default=None
    )
    learning_rate: float | str = parameter(AUTO, POSITIVE, default="auto", may_change="warm")
    # Share of the step size that "auto" comes to that suits the encoder.
    _step_share = 1.0
    # Over the root of the number of atoms it is the most that "auto" comes to. Finite where latents
    # compete, as an atom more leaves the others fewer codes, and where large codes have gradients
    # larger than their own.
    _max_rate_coefficient = math.inf
    schedule: Schedule | str | None = parameter(
        AUTO, Schedule, None, default="auto", may_change="warm"
    )
    max_grad_norm: float | None = parameter(POSITIVE, None, default=None, may_change="warm")
    max_iter: int | str = parameter(AUTO, COUNT, default="auto", may_change="always")
    batch_size: int | str = parameter(AUTO, COUNT, default="auto", may_change="warm")
    tol: float = parameter(NON_NEGATIVE, default=1e-3, may_change="warm")
    n_iter_no_change: int = parameter(COUNT, default=10, may_change="warm")
    early_stopping: bool = parameter("boolean", default=False, may_change="warm")
    validation_fraction: float = parameter(SHARE, default=0.1, may_change="warm")
    precision: str = parameter(
        StrOptions({"full", "tf32", "bfloat16"}), default="full", may_change="warm"
    )
    callbacks: Sequence | None = parameter(list, tuple, None, default=None, may_change="always")
    checkpoint: str | os.PathLike | Checkpoint | None = parameter(
        str, os.PathLike, Checkpoint, None, default=None, may_change="always"
    )
    warm_start: bool = parameter("boolean", default=False, may_change="always")
