"""LISTAEncoder: a few learned iterations, between one product and an optimization."""

from numbers import Integral, Real

from .._compat import Interval
from ..modules import LISTA
from ..training import SparseCodingLoss
from ._trained import BaseTrainedEncoder


class LISTAEncoder(BaseTrainedEncoder):
    """Sparse coding amortized by learned iterations of shrinkage, with an L1 penalty.

    The encoder is an optimization of `n_layers` proximal gradient steps with all of its weights
    learned; reconstructions are ``z D + c``, and training minimizes the objective of `SAEEncoder`.
    Every layer starts as an exact step of ISTA on the dictionary that training starts from, so even
    an untrained encoder is a sensible one. More layers narrow the amortization gap, each at the
    price of two products with the dictionary: one is a sparse autoencoder, ten come close to the
    optimum that ISTA needs hundreds of steps for.

    Parameters
    ----------
    n_components : int, default=None
        Number of atoms. None: that of `dictionary` or `dict_init`, else ``n_features``.
    n_layers : int, default=3
        Number of learned iterations.
    alpha : float, default=0.1
        Weight of the L1 penalty, in the units of the data.
    alpha_warmup_fraction : float, default=0.0
        Share of the steps of `max_iter` epochs in which the penalty climbs, in a line, to `alpha`.
        Losses are always told with all of it.
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
    SAEEncoder : The same decoder behind a linear encoder.
    MLPEncoder : The same decoder behind a multilayer perceptron.
    ITOCoder : The best codes for a dictionary, by optimization.

    References
    ----------
    Gregor and LeCun (2010), Learning fast approximations of sparse coding, section 3. Chen, Liu,
    Wang and Yin (2018), Theoretical linear convergence of unfolded ISTA, for the coupling of a
    layer's weights.

    Examples
    --------
    >>> from skamort import LISTAEncoder
    >>> from skamort.datasets import make_sparse_coded_signal
    >>> from skamort.metrics import latent_mcc
    >>> X, dictionary, codes = make_sparse_coded_signal(
    ...     1000, n_components=16, n_features=8, n_nonzero_coefs=2, positive=True, random_state=0)
    >>> lista = LISTAEncoder(dictionary=dictionary, alpha=0.03, tol=0.01, random_state=0)
    >>> latent_mcc(codes, lista.fit_transform(X), matched=True) > 0.9
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseTrainedEncoder._parameter_constraints,
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "alpha_warmup_fraction": [Interval(Real, 0, 1, closed="both")],
    }
    del _parameter_constraints["encoder_bias"]  # thresholds are what makes it shrink
    del _parameter_constraints["dead_latents"], _parameter_constraints["dead_window"]
    dead_latents = None  # a layer's latent fires wherever its atom would lower the objective

    def __init__(
        self,
        n_components=None,
        *,
        n_layers=3,
        alpha=0.1,
        alpha_warmup_fraction=0.0,
        dictionary=None,
        dict_init=None,
        fit_intercept=False,
        intercept_init="mean",
        code_loss="cosine",
        learning_rate=1e-3,
        warmup_fraction=0.0,
        decay_fraction=0.0,
        max_grad_norm=None,
        max_iter=1000,
        batch_size=256,
        tol=1e-3,
        n_iter_no_change=10,
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
        self.n_layers = n_layers
        self.alpha = alpha
        self.alpha_warmup_fraction = alpha_warmup_fraction
        self.dictionary = dictionary
        self.dict_init = dict_init
        self.fit_intercept = fit_intercept
        self.intercept_init = intercept_init
        self.code_loss = code_loss
        self.learning_rate = learning_rate
        self.warmup_fraction = warmup_fraction
        self.decay_fraction = decay_fraction
        self.max_grad_norm = max_grad_norm
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
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

    def _make_encoder(self, centered, dictionary, generator):  # noqa: ARG002
        return LISTA(dictionary, self.alpha, self.n_layers)

    def _make_loss(self, X):  # noqa: ARG002
        return SparseCodingLoss(self.alpha)
