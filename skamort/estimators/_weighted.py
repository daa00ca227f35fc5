"""WeightedSAE: the sparse autoencoder that reconstructs some features more faithfully than
others."""

from numbers import Integral, Real

import numpy as np
import torch

from .._compat import Interval, StrOptions
from ..metrics import semantic_consistency
from ..modules import TopK
from ..training import SparseCodingLoss
from ._topk import resolve_k
from ._trained import BaseTrainedEncoder


class WeightedSAE(BaseTrainedEncoder):
    """Sparse autoencoder with a reconstruction error weighted by feature.

    Training minimizes the mean over samples of
    ``1/2 ||gamma * (x - x_hat)||^2 + alpha ||z||_1`` with ``gamma_j = s_j ** weight_exponent`` for
    a score s_j of each feature, scaled so that the mean of ``gamma ** 2`` is 1. Equal scores make
    it `SAEEncoder`, or `TopKSAE` with ``activation="topk"``. Its authors weight the features in
    which few sources are superposed, for more monosemantic latents; the page "What is proved"
    measures when that helps.

    Parameters
    ----------
    n_components : int, default=None
        Number of atoms. None: that of `dictionary` or `dict_init`, else ``n_features``.
    feature_weights : {"variance", "consistency"}, array-like or callable, default="variance"
        The score s_j of each feature. "variance": its variance. "consistency": the share of its top
        samples that belong to their most frequent class, which needs y in `fit`. An array of shape
        (n_features,), or a callable ``feature_weights(X, y)`` that returns one. Scores are >= 0 and
        not all zero.
    weight_exponent : float, default=1.0
        Exponent of the scores; 0 weighs all features alike.
    activation : {"relu", "topk"}, default="relu"
        ReLU codes with the L1 penalty, or the `k` largest codes without it.
    alpha : float, default=0.1
        Weight of the L1 penalty, in the units of the data; unused with ``activation="topk"``.
    alpha_warmup_fraction : float, default=0.0
        Share of the steps of `max_iter` epochs in which the penalty climbs, in a line, to `alpha`.
        Losses are always told with all of it.
    k : int, default=None
        Number of codes kept a sample with ``activation="topk"``, at most `n_components`. None: the
        square root of ``n_features``, rounded up.
    dictionary : array-like of shape (n_components, n_features), default=None
        A known dictionary: its atoms, scaled to unit norm, are kept and only the encoder is
        trained.
    dict_init : {"samples", "k-means++"}, array-like or estimator, default=None
        Where to start: rows of X drawn at random, or rows far from each other by k-means++, scaled
        to unit norm; an array of shape (n_components, n_features); or a fitted estimator, for its
        `components_`. None: random directions.
    fit_intercept : bool, default=False
        Whether to learn a center c of the data (the pre-bias of the literature). Set it for data
        that are not centered, such as language-model activations.
    intercept_init : {"mean", "geometric_median"}, default="mean"
        Where the center starts with `fit_intercept`: at the mean of the data, or at the point whose
        distances to the data have the smallest sum, which outliers do not move.
    encoder_bias : bool, default=True
        Whether the encoder has a bias b.
    code_loss : {"cosine", "squared_error"}, default="cosine"
        What to minimize when `fit` is given codes: minus the cosine similarity of each latent with
        its target, averaged over latents, or the squared error.
    learning_rate : float, default=0.001
        Step size of Adam.
    warmup_fraction : float, default=0.0
        Share of the steps of `max_iter` epochs in which the step size climbs, in a line, to
        `learning_rate`. `partial_fit` knows no such schedule.
    decay_fraction : float, default=0.0
        Share of them, the last ones, in which it falls to 0. Training that converges before does
        without.
    max_grad_norm : float, default=None
        Greatest length of a step's gradient, that of all parameters together, as data scaled to
        unit mean square would give it; longer ones are shortened. None: any.
    max_iter : int, default=1000
        Maximum number of epochs.
    batch_size : int, default=256
        Samples a step.
    tol : float, default=0.001
        Training has converged when the loss has not fallen by this fraction of itself...
    n_iter_no_change : int, default=10
        ...for this number of epochs.
    dead_latents : {"auxk", "resample"} or None, default=None
        What to do about latents that fire no more. "resample": start them anew at samples that are
        badly reconstructed. "auxk": teach the ``n_features / 2`` largest of them to reconstruct
        what the others leave over, with
        ``activation="topk"``.
    dead_window : int, default=None
        Number of samples without firing after which a latent is dead. None: five passes over X, at
        most 10 million; set it where `partial_fit` gets X in chunks.
    early_stopping : bool, default=False
        Whether convergence is that of the loss on held-out rows of X; the weights of the epoch with
        the lowest such loss are then kept.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out.
    product_dtype : {"bfloat16"} or None, default=None
        Type of the numbers in training's dense matrix products; weights and sums keep that of X.
        Half precision is faster where the processor has it.
    callbacks : list of skorch callbacks, default=None
        What else is to happen in training; :doc:`/training` tells what they can read.
    checkpoint_dir : str or path, default=None
        Where `fit` saves its state, so that a run that was killed can go on by
        ``fit(..., resume=True)``. Needs the extra ``checkpoint`` (safetensors).
    checkpoint_epochs : int, default=1
        Epochs between two checkpoints, unless `checkpoint_seconds` is set.
    checkpoint_seconds : float, default=None
        Seconds between two checkpoints, which are then written after a step, within epochs too.
    sparse_output : bool, default=False
        Whether `transform` returns a SciPy CSR array.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the previous fit.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", or "auto": CUDA where torch sees it.
    verbose : int or bool, default=False
        Whether to draw a progress bar.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights and of the batches' order.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Dictionary: atoms of unit norm.
    intercept_ : ndarray of shape (n_features,)
        Center of the data; zeros if not fitted.
    feature_weights_ : ndarray of shape (n_features,)
        gamma, the weight of each feature's error.
    loss_curve_ : list of float
        Mean training loss a sample in each epoch.
    validation_loss_curve_ : list of float or None
        Mean loss a held-out sample after each epoch, with `early_stopping`.
    n_iter_ : int
        Number of epochs run.
    latent_frequency_ : ndarray of shape (n_components,)
        Share of the samples of the last epoch on which each latent fired, as it was being trained.
    dead_fraction_ : float
        Share of the latents that fired on none of them.
    net_ : SparseNet
        The skorch net; ``net_.module_`` is the torch module.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X had names.

    See Also
    --------
    SAEEncoder, TopKSAE : The same models with equal weights.

    References
    ----------
    On the Limits of Sparse Autoencoders: A Theoretical Framework and Reweighted Remedy, section 5.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import WeightedSAE
    >>> X, y = load_digits(return_X_y=True)
    >>> wsae = WeightedSAE(n_components=32, feature_weights="consistency", tol=0.01, random_state=0)
    >>> wsae.fit(X / 16, y).feature_weights_.shape
    (64,)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseTrainedEncoder._parameter_constraints,
        "dead_latents": [StrOptions({"auxk", "resample"}), None],
        "feature_weights": [StrOptions({"variance", "consistency"}), "array-like", callable],
        "weight_exponent": [Interval(Real, 0, None, closed="left")],
        "activation": [StrOptions({"relu", "topk"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "alpha_warmup_fraction": [Interval(Real, 0, 1, closed="both")],
        "k": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components=None,
        *,
        feature_weights="variance",
        weight_exponent=1.0,
        activation="relu",
        alpha=0.1,
        alpha_warmup_fraction=0.0,
        k=None,
        dictionary=None,
        dict_init=None,
        fit_intercept=False,
        intercept_init="mean",
        encoder_bias=True,
        code_loss="cosine",
        learning_rate=1e-3,
        warmup_fraction=0.0,
        decay_fraction=0.0,
        max_grad_norm=None,
        max_iter=1000,
        batch_size=256,
        tol=1e-3,
        n_iter_no_change=10,
        dead_latents=None,
        dead_window=None,
        early_stopping=False,
        validation_fraction=0.1,
        product_dtype=None,
        callbacks=None,
        checkpoint_dir=None,
        checkpoint_epochs=1,
        checkpoint_seconds=None,
        sparse_output=False,
        warm_start=False,
        device="auto",
        verbose=False,
        random_state=None,
    ):
        self.n_components = n_components
        self.feature_weights = feature_weights
        self.weight_exponent = weight_exponent
        self.activation = activation
        self.alpha = alpha
        self.alpha_warmup_fraction = alpha_warmup_fraction
        self.k = k
        self.dictionary = dictionary
        self.dict_init = dict_init
        self.fit_intercept = fit_intercept
        self.intercept_init = intercept_init
        self.encoder_bias = encoder_bias
        self.code_loss = code_loss
        self.learning_rate = learning_rate
        self.warmup_fraction = warmup_fraction
        self.decay_fraction = decay_fraction
        self.max_grad_norm = max_grad_norm
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.dead_latents = dead_latents
        self.dead_window = dead_window
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.product_dtype = product_dtype
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_epochs = checkpoint_epochs
        self.checkpoint_seconds = checkpoint_seconds
        self.sparse_output = sparse_output
        self.warm_start = warm_start
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def _make_activation(self):
        return TopK(resolve_k(self)) if self.activation == "topk" else super()._make_activation()

    def _make_callbacks(self, module):
        if self.dead_latents == "auxk" and self.activation != "topk":
            raise ValueError(
                "WeightedSAE: dead_latents='auxk' takes the largest pre-activations and needs "
                f"activation='topk', got activation={self.activation!r}; choose 'resample'."
            )
        return super()._make_callbacks(module)

    def _prepare_loss(self, X, y):
        scores = self._scores(X.cpu().numpy(), y)
        peak = scores.max()
        if not np.isfinite(scores).all() or scores.min() < 0 or peak == 0:
            raise ValueError(
                "WeightedSAE: the feature weights must be finite, >= 0 and not all zero, got "
                f"values from {scores.min():g} to {peak:g} for feature_weights="
                f"{self.feature_weights!r} and n_samples={len(X)}; pass an array, or drop "
                "constant features."
            )
        gamma = (scores / peak) ** self.weight_exponent
        self.feature_weights_ = gamma / np.sqrt(np.mean(gamma**2))

    def _scores(self, X, y):
        """Return the score of each feature, of shape (n_features,)."""
        if isinstance(self.feature_weights, str):
            if self.feature_weights == "variance":
                return X.var(axis=0, dtype=np.float64)
            if y is None:
                raise ValueError(
                    "WeightedSAE: feature_weights='consistency' needs class labels, got y=None; "
                    "call fit(X, y), or choose feature_weights='variance'."
                )
            return semantic_consistency(X, y)
        given = self.feature_weights
        scores = np.asarray(given(X, y) if callable(given) else given, dtype=np.float64)
        if scores.shape != (X.shape[1],):
            raise ValueError(
                f"WeightedSAE: feature_weights must have shape (n_features,) = ({X.shape[1]},), "
                f"got {scores.shape}; give one weight a feature."
            )
        return scores

    def _make_loss(self, X):
        alpha = self.alpha if self.activation == "relu" else 0.0
        return SparseCodingLoss(alpha, torch.as_tensor(self.feature_weights_).to(X))
