"""The base of the trained encoders: `fit` and `partial_fit` as an outline of named steps.

A subclass names its architecture in three methods: `_hidden_layer_sizes()`, `_make_activation()`
and `_make_loss()`. Everything else, from validation to the three scenarios, is here.
"""

import os
import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import joblib
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import TensorDataset

from .._compat import Interval, StrOptions, fit_context
from .._lazy_rows import LazyRows
from .._validation import as_tensor
from ..modules import Decoder, SparseAutoencoder, make_encoder, scale_output, tie_to_dictionary
from ..training import (
    BUFFER_ELEMENTS,
    BestWeights,
    Checkpoint,
    ChunkDataset,
    ClearDenormals,
    ClipGradient,
    CodeRegressionLoss,
    LatentActivity,
    Progress,
    ResampleDead,
    Schedule,
    SparseNet,
    StopOnPlateau,
    TeachDead,
    UnitNormAtoms,
    batches_of,
    fingerprint,
    hold_out,
)
from ._base import CODE_ELEMENTS, BaseSparseCoder, resolve_device, warn_interrupted
from ._center import initial_intercept
from ._dictionary import (
    DICT_INIT_CONSTRAINT,
    dictionary_from_codes,
    initial_dictionary,
    resolve_n_components,
)

# Parameters that say nothing about what is learned, or only how long.
_FREE_TO_CHANGE = {
    *("max_iter", "random_state", "device", "verbose", "callbacks", "sparse_output", "warm_start"),
    *("checkpoint_dir", "checkpoint_epochs", "checkpoint_seconds", "transform_k"),
}
# Rows from which the scale of the first codes is estimated, one number.
_SCALING_ROWS = 512


class BaseTrainedEncoder(BaseSparseCoder):
    """Base of the encoders that training fits, with or without their dictionary."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "dictionary": ["array-like", None],
        "dict_init": DICT_INIT_CONSTRAINT,
        "fit_intercept": ["boolean"],
        "intercept_init": [StrOptions({"mean", "geometric_median"})],
        "encoder_bias": ["boolean"],
        "code_loss": [StrOptions({"cosine", "squared_error"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "warmup_fraction": [Interval(Real, 0, 1, closed="both")],
        "decay_fraction": [Interval(Real, 0, 1, closed="both")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
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
        "checkpoint_dir": [str, os.PathLike, None],
        "checkpoint_epochs": [Interval(Integral, 1, None, closed="left")],
        "checkpoint_seconds": [Interval(Real, 0, None, closed="left"), None],
        "sparse_output": ["boolean"],
        "warm_start": ["boolean"],
        "device": [str],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, codes=None, resume=False):
        """Train the encoder, and the dictionary where it is not known.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data. What is not in memory - a memory map, an HDF5, zarr or dask array, a column of a
            data set, any object with `shape` and row slicing - is read by chunks, and shuffled
            with a buffer of 16,777,216 numbers; a random buffer stands for the whole where
            training starts. What fits in the buffer is read at once.
        y : array-like of shape (n_samples,), default=None
            Ignored, but by ``feature_weights="consistency"`` where the estimator has it.
        codes : array-like of shape (n_samples, n_components), default=None
            Known codes. The encoder then regresses on them by `code_loss`, and an unknown
            dictionary becomes the unit-norm atoms that best reconstruct X from them.
        resume : bool, default=False
            Whether to go on from the newest checkpoint in `checkpoint_dir`, to the bit, where there
            is one. Data, of which a few rows are compared, and parameters must be the same;
            `max_iter` may be larger, but where a schedule goes by it.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or the parameters break a rule, the training loss becomes infinite or NaN,
            or the checkpoint to resume from is corrupt or of another run.
        OSError
            If nothing can be written to `checkpoint_dir`.
        """
        fresh = not (self.warm_start and hasattr(self, "net_"))
        schedule = self._make_schedule()
        data = self._check_training_data(X, codes, reset=fresh)
        checkpoint = self._make_checkpoint(data, codes is not None, schedule, resume, fresh)
        seed = None if checkpoint is None else checkpoint.open()
        if fresh:
            self._initialize(data, y, seed)
        try:
            held_out = self.validation_fraction * self.early_stopping
            self._train(data, codes is not None, self.max_iter, held_out, schedule, checkpoint)
        except ValueError:  # diverged: a fresh net without a single good weight is no fit
            if fresh:
                del self.net_
            raise
        self.net_.workspace_.clear()
        if not self.net_.converged_:
            self._warn_not_converged()
        return self

    @fit_context(prefer_skip_nested_validation=True)
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
        data = self._check_training_data(X, codes, reset=fresh)
        if fresh:
            self._initialize(data, y)
        self._train(data, codes is not None, 1)
        return self

    def _fit_in_halves(self, X, y, codes, shared):
        """Fit from the start for a caller that trains many nets at once, see `fit_many`.

        Yields the net and what its `partial_fit` is to be given, and then finishes. `shared` holds
        the data sets of such fits by device, so that the same rows are held only once.
        """
        self._validate_params()
        schedule = self._make_schedule()
        data = self._check_training_data(X, codes, reset=True)
        data = shared.setdefault(self.device, data)
        self._initialize(data, y)
        held_out = self.validation_fraction * self.early_stopping
        try:
            parts = self._prepare_net(data, codes is not None, self.max_iter, held_out)
            with self._callbacks_of_this_fit(schedule):
                yield self.net_, *parts
        except ValueError:
            del self.net_
            raise
        self._finish_training(data, codes is not None)

    # -- The steps of a fit ------------------------------------------------------------------------

    def _check_training_data(self, X, codes, reset):
        """Validate all that comes in; return a data set of the rows, with their codes if known."""
        device = resolve_device(self.device, self)
        X = self._check_rows(X, reset=reset)
        if isinstance(X, LazyRows) and np.prod(X.shape) <= BUFFER_ELEMENTS:
            X = X[:]  # it would fit in the buffer
        lazy = isinstance(X, LazyRows)
        like = as_tensor(X[:1], "X", check=False).to(device)
        if not reset:
            like = like.to(self._torch_dtype_and_device()[0])
        data = [X if lazy else as_tensor(X, "X", check=False).to(like)]
        if codes is not None:
            n_components = resolve_n_components(self) if reset else self._n_features_out
            data.append(self._check_codes(codes, len(X), n_components, like))
        return ChunkDataset(data, like.dtype, device) if lazy else TensorDataset(*data)

    def _make_schedule(self):
        """Return the callback that the fractions ask for, or None."""
        warmup, decay = self.warmup_fraction, self.decay_fraction
        if warmup + decay > 1:
            raise ValueError(
                f"{type(self).__name__}: warmup_fraction={warmup:g} and decay_fraction={decay:g} "
                "are shares of one fit; choose them to add up to 1 or less."
            )
        fractions = warmup, decay, getattr(self, "alpha_warmup_fraction", 0)
        return Schedule(*fractions) if any(fractions) else None

    def _make_checkpoint(self, data, codes_known, schedule, resume, fresh):
        """Return the callback that `checkpoint_dir` asks for, or None."""
        if self.checkpoint_dir is None:
            if resume:
                raise ValueError(
                    f"{type(self).__name__}: resume=True needs the checkpoint_dir of the run to go "
                    "on with, got checkpoint_dir=None."
                )
            return None
        if not fresh:
            raise ValueError(
                f"{type(self).__name__}: checkpoint_dir is for a fit from the start, not for a "
                "warm start; set warm_start=False or checkpoint_dir=None."
            )
        dtype = data.dtype if isinstance(data, ChunkDataset) else data.tensors[0].dtype
        plain = int | float | str | None
        identity = {
            name: value if isinstance(value, plain) else joblib.hash(value)
            for name, value in self.get_params(deep=False).items()
            if name not in _FREE_TO_CHANGE and not callable(value)
        }
        if schedule is not None:  # it goes by the length of the whole run
            identity["max_iter"] = self.max_iter
        identity["estimator"] = type(self).__name__
        identity["n_samples"], identity["n_features"] = len(data), self.n_features_in_
        identity["some rows"] = f"of sha256 {fingerprint(data)}"
        identity["dtype"], identity["codes"] = str(dtype), "known" if codes_known else "unknown"
        every = self.checkpoint_epochs, self.checkpoint_seconds
        return Checkpoint(self.checkpoint_dir, identity, *every, resume)

    def _initialize(self, data, y, seed=None):
        """Build the net, its weights and its random stream."""
        if seed is None:
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        generator = torch.Generator().manual_seed(seed)
        if isinstance(data, ChunkDataset):  # what fits in the buffer stands for the whole
            rows, (X, *codes) = data.sample(generator)
            y = None if y is None else np.asarray(y)[rows]
        else:
            X, *codes = data.tensors
        dictionary = initial_dictionary(self, X, generator)
        if codes and self.dictionary is None:
            dictionary = dictionary_from_codes(self._passes(data, len(dictionary)), dictionary)
        module = self._make_module(X, dictionary, not codes, generator)
        self._prepare_loss(X, y)
        loss = self._make_loss(X)
        if not codes:
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
        intercept = initial_intercept(self, X) if self.fit_intercept else None
        trainable = self.dictionary is None and codes_unknown
        decoder = Decoder(dictionary, intercept, trainable=trainable)
        centered = X if intercept is None else X - intercept
        encoder = self._make_encoder(centered, dictionary, generator)
        return SparseAutoencoder(encoder, self._make_activation(), decoder).to(X)

    def _make_callbacks(self, module):
        """Return what happens around a step: the constraint, the user's wishes, the end."""
        callbacks = [UnitNormAtoms()] if module.decoder.dictionary.requires_grad else []
        callbacks += [ClearDenormals(), BestWeights(), ("activity", LatentActivity())]
        if self.dead_latents == "resample":
            callbacks.append(ResampleDead(self.dead_window))
        elif self.dead_latents == "auxk":
            callbacks.append(TeachDead(self.dead_window))
        if self.max_grad_norm is not None:
            callbacks.append(ClipGradient(self.max_grad_norm))
        callbacks += check_callbacks(self)
        callbacks.append(StopOnPlateau(self.tol, self.n_iter_no_change))
        if self.verbose:
            callbacks.append(Progress(type(self).__name__))
        return callbacks

    def _train(
        self, data, codes_known, n_epochs, held_out_fraction=0, schedule=None, checkpoint=None
    ):
        """Run the net, keeping what it has learned when the user interrupts."""
        training, held_out = self._prepare_net(data, codes_known, n_epochs, held_out_fraction)
        with self._callbacks_of_this_fit(schedule, checkpoint):
            try:
                self.net_.partial_fit(training, held_out)
            except KeyboardInterrupt:
                self.net_.converged_ = True  # the user's verdict: no second warning
                warn_interrupted(self, f"epoch {len(self.net_.history)}")
        self._finish_training(data, codes_known)

    @contextmanager
    def _callbacks_of_this_fit(self, schedule, checkpoint=None):
        """Give the net callbacks that it is not to keep; each may be None."""
        callbacks = self.net_.callbacks_
        all_of_them = [("schedule", schedule), *callbacks, ("checkpoint", checkpoint)]
        self.net_.callbacks_ = [pair for pair in all_of_them if pair[1] is not None]
        try:
            yield
        finally:
            self.net_.callbacks_ = callbacks

    def _prepare_net(self, data, codes_known, n_epochs, held_out_fraction):
        """Tell the net what to minimize and for how long; return the rows to train on and those
        held out, or None."""
        like = self.net_.module_.decoder.dictionary
        loss = CodeRegressionLoss(self.code_loss) if codes_known else self._make_loss(like)
        self.net_.criterion_ = loss.to(like.device)
        self.net_.max_epochs = n_epochs
        return self._split(data, held_out_fraction)

    def _finish_training(self, data, codes_known):
        if codes_known and self.code_loss == "cosine":
            self._match_scale(data)

    def _passes(self, data, n_components):
        """Return the batches of a pass over the data whose codes fit in memory together."""
        return batches_of(data, max(1, CODE_ELEMENTS // n_components))

    def _split(self, data, fraction):
        """Return the rows to train on and those held out, or None.

        A warm start holds out the same rows again, so that no row is in both parts.
        """
        if not fraction:
            return data, None
        if len(data) < 2:
            raise ValueError(
                f"{type(self).__name__}: early_stopping=True holds out rows of X, which has "
                f"n_samples={len(data)}; give at least 2 rows, or set early_stopping=False."
            )
        generator = torch.Generator().manual_seed(self.net_.generator.initial_seed())
        return hold_out(data, fraction, generator)

    @torch.no_grad()
    def _match_scale(self, data):
        """Give the codes the scale of their targets, to which the cosine is blind.

        A positive factor a latent commutes with ReLU, so the encoder's last layer can carry it.
        Under top-k it would change which latents win, so there they share one factor.
        """
        module = self.net_.module_
        products = energies = 0
        for X, target in self._passes(data, self._n_features_out):
            codes = module.encode(X)
            products = products + (codes * target).sum(0)
            energies = energies + codes.square().sum(0)
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

    def _make_encoder(self, centered, dictionary, generator):
        """Return the encoder as it starts: tied to the dictionary."""
        widths = (centered.shape[1], len(dictionary), self._hidden_layer_sizes())
        encoder = make_encoder(*widths, bias=self.encoder_bias, generator=generator).to(centered)
        tie_to_dictionary(encoder, centered, dictionary)
        return encoder

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
        return self._transforming_module().encode(X)

    @torch.no_grad()
    def _encode_block_to_csr(self, X):
        return self._transforming_module().encode_compactly(X).to_csr()

    def _transforming_module(self):
        return self.net_.module_

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
