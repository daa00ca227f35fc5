"""The base of the trained encoders: `fit` and `partial_fit` as an outline of named steps.

A subclass names its architecture in three methods: `_hidden_layer_sizes()`, `_make_activation()`
and `_make_loss()`. Everything else, from validation to the three scenarios, is here.
"""

import math
import warnings
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import TensorDataset

from .._validation import as_tensor
from ..modules import Decoder, SparseAutoencoder, make_encoder, scale_output, tie_to_dictionary
from ..training import (
    BestWeights,
    ClearDenormals,
    CodeRegressionLoss,
    LatentActivity,
    Progress,
    ResampleDead,
    SparseNet,
    StopOnPlateau,
    TeachDead,
    UnitNormAtoms,
)
from ._base import BaseSparseCoder, resolve_device, warn_interrupted
from ._dictionary import (
    DICT_INIT_CONSTRAINT,
    dictionary_from_codes,
    initial_dictionary,
    resolve_n_components,
)

# Rows from which the scale of the first codes is estimated, one number.
_SCALING_ROWS = 512


class BaseTrainedEncoder(BaseSparseCoder):
    """Base of the encoders that training fits, with or without their dictionary."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "dictionary": ["array-like", None],
        "dict_init": DICT_INIT_CONSTRAINT,
        "fit_intercept": ["boolean"],
        "encoder_bias": ["boolean"],
        "code_loss": [StrOptions({"cosine", "squared_error"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "dead_latents": [StrOptions({"resample"}), None],
        "dead_window": [Interval(Integral, 1, None, closed="left"), None],
        "product_dtype": [StrOptions({"bfloat16"}), None],
        "callbacks": [list, tuple, None],
        "sparse_output": ["boolean"],
        "warm_start": ["boolean"],
        "device": [str],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, codes=None):
        """Train the encoder, and the dictionary where it is not known.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,), default=None
            Ignored, but by ``feature_weights="consistency"`` where the estimator has it.
        codes : array-like of shape (n_samples, n_components), default=None
            Known codes. The encoder then regresses on them by `code_loss`, and an unknown
            dictionary becomes the unit-norm atoms that best reconstruct X from them.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or the parameters break a rule, or the training loss becomes infinite or
            NaN.
        """
        fresh = not (self.warm_start and hasattr(self, "net_"))
        X, codes = self._check_training_data(X, codes, reset=fresh)
        if fresh:
            self._initialize(X, y, codes)
        try:
            self._train(X, codes, self.max_iter, self.validation_fraction * self.early_stopping)
        except ValueError:  # diverged: a fresh net without a single good weight is no fit
            if fresh:
                del self.net_
            raise
        if not self.net_.converged_:
            self._warn_not_converged()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, codes=None):
        """Train for one more pass over X, one chunk of a larger whole.

        All rows are trained on, whatever `early_stopping` is.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,), default=None
            As in `fit`; only the first call looks at it.
        codes : array-like of shape (n_samples, n_components), default=None
            Known codes, as in `fit`. An unknown dictionary is set by the first call.

        Returns
        -------
        self : object
            The estimator.
        """
        fresh = not hasattr(self, "net_")
        X, codes = self._check_training_data(X, codes, reset=fresh)
        if fresh:
            self._initialize(X, y, codes)
        self._train(X, codes, 1)
        return self

    # -- The steps of a fit ------------------------------------------------------------------------

    def _check_training_data(self, X, codes, reset):
        """Validate all that comes in, and put it on the device."""
        device = resolve_device(self.device, self)
        X = as_tensor(self._check_data(X, reset=reset), "X", check=False)
        if codes is not None:
            n_components = resolve_n_components(self) if reset else self._n_features_out
            codes = self._check_codes(codes, X, n_components).to(device)
        return X.to(device), codes

    def _initialize(self, X, y, codes):
        """Build the net, its weights and its random stream."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        generator = torch.Generator().manual_seed(int(seed))
        dictionary = initial_dictionary(self, X, generator)
        if codes is not None and self.dictionary is None:
            dictionary = dictionary_from_codes(X, codes, dictionary)
        module = self._make_module(X, dictionary, codes is None, generator)
        self._prepare_loss(X, y)
        loss = self._make_loss(X)
        if codes is None:
            rows = X[:: -(-len(X) // _SCALING_ROWS)]
            scale_output(module.encoder, loss.best_scale(module, rows))
        self.net_ = SparseNet(
            module,
            loss,
            learning_rate=self.learning_rate,
            data_scale=module.center(X).square().mean().sqrt().item() or 1.0,
            batch_size=self.batch_size,
            generator=generator,
            device=X.device,
            product_dtype=self.product_dtype and getattr(torch, self.product_dtype),
            callbacks=self._make_callbacks(module),
        ).initialize()

    def _make_module(self, X, dictionary, codes_unknown, generator):
        encoder = make_encoder(
            X.shape[1],
            len(dictionary),
            self._hidden_layer_sizes(),
            bias=self.encoder_bias,
            generator=generator,
        ).to(X)
        decoder = Decoder(
            dictionary,
            X.mean(0) if self.fit_intercept else None,
            trainable=self.dictionary is None and codes_unknown,
        )
        module = SparseAutoencoder(encoder, self._make_activation(), decoder).to(X)
        tie_to_dictionary(encoder, module.center(X), dictionary)
        return module

    def _make_callbacks(self, module):
        """Return what happens around a step: the constraint, the user's wishes, the end."""
        callbacks = [UnitNormAtoms()] if module.decoder.dictionary.requires_grad else []
        callbacks += [ClearDenormals(), BestWeights(), ("activity", LatentActivity())]
        if self.dead_latents == "resample":
            callbacks.append(ResampleDead(self.dead_window))
        elif self.dead_latents == "auxk":
            callbacks.append(TeachDead(self.dead_window))
        callbacks += check_callbacks(self)
        callbacks.append(StopOnPlateau(self.tol, self.n_iter_no_change))
        if self.verbose:
            callbacks.append(Progress(type(self).__name__))
        return callbacks

    def _train(self, X, codes, n_epochs, held_out_fraction=0):
        """Run the net, keeping what it has learned when the user interrupts."""
        data = (X,) if codes is None else (X, codes)
        training, held_out = self._split(data, held_out_fraction)
        loss = self._make_loss(X) if codes is None else CodeRegressionLoss(self.code_loss)
        self.net_.criterion_ = loss.to(X.device)
        self.net_.max_epochs = n_epochs
        try:
            self.net_.partial_fit(training, held_out)
        except KeyboardInterrupt:
            self.net_.converged_ = True  # the user's verdict: no second warning
            warn_interrupted(self, f"epoch {len(self.net_.history)}")
        if codes is not None and self.code_loss == "cosine":
            self._match_scale(X, codes)

    def _split(self, data, fraction):
        """Return the rows to train on and those held out, or None, as datasets.

        A warm start holds out the same rows again, so that no row is in both parts.
        """
        n_samples = len(data[0])
        if not fraction:
            return TensorDataset(*data), None
        if n_samples < 2:
            raise ValueError(
                f"{type(self).__name__}: early_stopping=True holds out rows of X, which has "
                f"n_samples={n_samples}; give at least 2 rows, or set early_stopping=False."
            )
        generator = torch.Generator().manual_seed(self.net_.generator.initial_seed())
        order = torch.randperm(n_samples, generator=generator).to(data[0].device)
        n_held_out = min(math.ceil(fraction * n_samples), n_samples - 1)
        parts = order[n_held_out:], order[:n_held_out]
        return [TensorDataset(*(tensor[rows] for tensor in data)) for rows in parts]

    @torch.no_grad()
    def _match_scale(self, X, target):
        """Give the codes the scale of their targets, to which the cosine is blind.

        A positive factor a latent commutes with ReLU, so the encoder's last layer can carry it.
        Under top-k it would change which latents win, so there they share one factor.
        """
        module = self.net_.module_
        codes = module.encode(X)
        products, energies = (codes * target).sum(0), codes.square().sum(0)
        if not isinstance(module.activation, nn.ReLU):
            products, energies = products.sum().expand_as(energies), energies.sum()
        scale = torch.where(products > 0, products / energies, 1.0)
        scale_output(module.encoder, scale)

    def _warn_not_converged(self):
        warnings.warn(
            f"{type(self).__name__}: the training loss was still falling after max_iter="
            f"{self.max_iter} epochs; raise max_iter or learning_rate, or raise tol if this "
            "is good enough.",
            ConvergenceWarning,
            stacklevel=3,
        )

    # -- What a subclass decides -------------------------------------------------------------------

    def _hidden_layer_sizes(self):
        return ()

    def _make_activation(self):
        return nn.ReLU()

    def _prepare_loss(self, X, y):
        """Learn from the data what the loss needs to know."""

    def _make_loss(self, X):
        raise NotImplementedError

    # -- What a fit leaves -------------------------------------------------------------------------

    @torch.no_grad()
    def _encode_block(self, X):
        return self.net_.module_.encode(X)

    @torch.no_grad()
    def _encode_block_to_csr(self, X):
        return self.net_.module_.encode_compactly(X).to_csr()

    def _torch_dtype_and_device(self):
        dictionary = self.net_.module_.decoder.dictionary
        return dictionary.dtype, dictionary.device

    @property
    def components_(self):
        """Atoms of unit norm, ndarray of shape (n_components, n_features)."""
        return _to_numpy(self.net_.module_.decoder.dictionary)

    @property
    def intercept_(self):
        """Learned center of the data, ndarray of shape (n_features,); zeros if not fitted."""
        decoder = self.net_.module_.decoder
        if decoder.intercept is None:
            return np.zeros(decoder.dictionary.shape[1], dtype=self.components_.dtype)
        return _to_numpy(decoder.intercept)

    @property
    def loss_curve_(self):
        """Mean training loss a sample in each epoch, list of float."""
        return self.net_.history[:, "train_loss"]

    @property
    def validation_loss_curve_(self):
        """Mean loss a held-out sample after each epoch, list of float; None without
        `early_stopping`."""
        return [row["valid_loss"] for row in self.net_.history if "valid_loss" in row] or None

    @property
    def n_iter_(self):
        """Number of epochs run, int."""
        return len(self.net_.history)

    @property
    def latent_frequency_(self):
        """Share of the samples of the last epoch on which each latent fired, ndarray of shape
        (n_components,)."""
        return _to_numpy(self.net_.callback("activity").frequency_)

    @property
    def dead_fraction_(self):
        """Share of the latents that fired on no sample of the last epoch, float."""
        return float(np.mean(self.latent_frequency_ == 0))

    @property
    def _n_features_out(self):
        return len(self.net_.module_.decoder.dictionary)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")


def check_callbacks(owner):
    """Return the skorch callbacks that the parameter `callbacks` of an estimator holds.

    Raises
    ------
    TypeError
        If one of them is not a callback, a class of callbacks, or such with a name.
    """
    callbacks = list(owner.callbacks or ())
    for entry in callbacks:
        callback = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise TypeError(
                f"{type(owner).__name__}: callbacks must hold skorch callbacks or pairs of a name "
                f"and one, got {entry!r}; derive it from skorch.callbacks.Callback."
            )
    return callbacks


def _to_numpy(parameter):
    # A copy: NumPy would otherwise share memory with weights that partial_fit changes.
    return parameter.detach().cpu().numpy().copy()
