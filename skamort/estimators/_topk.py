"""TopKSAE: the sparse autoencoder that keeps the k largest codes."""

import math
from numbers import Integral

from .._compat import Interval, StrOptions
from ..modules import SparseAutoencoder, TopK
from ..training import SparseCodingLoss
from ._dictionary import resolve_n_components
from ._trained import BaseTrainedEncoder


class TopKSAE(BaseTrainedEncoder):
    """Sparse autoencoder that keeps the k largest codes of each sample.

    Codes are ``max(TopK(W (x - c) + b), 0)``, reconstructions ``z D + c``, and training minimizes
    the mean over samples of ``1/2 ||x - x_hat||^2`` with the rows of D on the unit sphere.
    Sparsity is a constraint, not a penalty: codes are not shrunk and there is no weight to tune.

    Parameters
    ----------
    n_components : int, default=None
        Number of atoms. None: that of `dictionary` or `dict_init`, else ``n_features``.
    k : int, default=None
        Number of codes kept a sample, at most `n_components`. None: the square root of
        ``n_features``, rounded up.
    multi_topk : bool, default=False
        Whether the 4 k largest codes learn to reconstruct too, by 1/8 of the gradients of their
        loss (Multi-TopK): codes with another k, by `transform_k`, then lose less.
    transform_k : int, default=None
        Number of codes that `transform` keeps, at most `n_components`. None: as in training. It can
        be set on a fitted estimator.
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
        what the others leave over.
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
    SAEEncoder : The same model with an L1 penalty instead.
    ITOCoder : The best codes for a dictionary, by optimization.

    References
    ----------
    Gao et al. (2024), Scaling and evaluating sparse autoencoders, section 2.3. Makhzani and Frey
    (2013), k-Sparse Autoencoders.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skamort import TopKSAE
    >>> X = StandardScaler().fit_transform(load_digits().data)
    >>> codes = TopKSAE(n_components=128, k=8, tol=0.01, random_state=0).fit_transform(X)
    >>> int((codes > 0).sum(axis=1).max())
    8
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseTrainedEncoder._parameter_constraints,
        "dead_latents": [StrOptions({"auxk", "resample"}), None],
        "k": [Interval(Integral, 1, None, closed="left"), None],
        "multi_topk": ["boolean"],
        "transform_k": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components=None,
        *,
        k=None,
        multi_topk=False,
        transform_k=None,
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
        self.k = k
        self.multi_topk = multi_topk
        self.transform_k = transform_k
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
        _check_k(self, "transform_k", self.transform_k, resolve_n_components(self))
        return TopK(resolve_k(self))

    def _make_loss(self, X):  # noqa: ARG002
        return SparseCodingLoss(multi_topk=self.multi_topk)

    def _transforming_module(self):
        module = self.net_.module_
        if self.transform_k is None:
            return module
        self._validate_params()  # it may have been set since
        _check_k(self, "transform_k", self.transform_k, self._n_features_out)
        return SparseAutoencoder(module.encoder, TopK(self.transform_k), module.decoder)


def resolve_k(estimator):
    """Return the k that the estimator's parameters ask for.

    Raises
    ------
    ValueError
        If it exceeds the number of atoms.
    """
    n_components = resolve_n_components(estimator)
    if estimator.k is None:
        return min(math.ceil(math.sqrt(estimator.n_features_in_)), n_components)
    _check_k(estimator, "k", estimator.k, n_components)
    return estimator.k


def _check_k(estimator, name, k, n_components):
    """Refuse a k beyond the number of atoms."""
    if k is not None and k > n_components:
        raise ValueError(
            f"{type(estimator).__name__}: {name}={k} exceeds n_components={n_components}; "
            f"choose {name} <= n_components."
        )
