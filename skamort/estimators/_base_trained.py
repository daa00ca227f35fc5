"""The base of the trained encoders: `fit` and `partial_fit` as an outline of named steps.

A subclass names its architecture in three methods: `_make_encoder`, `_make_activation` and
`_make_loss`. Everything else, from validation to the three scenarios, is here.
"""

from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import check_random_state

from .._device import resolve_device
from .._numbers import as_array
from .._rows import few_rows, rows_within
from .._sample_weight import check_sample_weight, scaled_to_mean_one, weights_to
from .._threads import threads_worth
from .._unit import times
from .._validation import as_tensor
from ..modules import Decoder, ReLU, SparseAutoencoder, encoding_flops
from ..training import (
    BestWeights,
    Checkpoint,
    ClearDenormals,
    ClipGradient,
    CodeRegressionLoss,
    Job,
    LatentActivity,
    NonNegativeAtoms,
    Progress,
    SparseNet,
    StopOnPlateau,
    TrainingData,
    UnitNormAtoms,
)
from ._auto import resolve, tell
from ._base import BaseSparseCoder
from ._changes import changed_since, parameters_of
from ._checks import check_callbacks, check_can_split, check_code_loss
from ._dictionary import dictionary_from_codes, initial_dictionary, resolve_n_components
from ._feature_weights import relative_scores, to_weights
from ._first_look import first_look
from ._fitting import fitting
from ._host_rows import starts_on_host
from ._identity import identity_of
from ._interrupts import warn_interrupted
from ._known_codes import check_learnable, check_learns_codes_alone, match_scale
from ._parameters import TrainingParameters
from ._tasks import EpochTasks, FitTask
from ._usefulness import note_divergence, reader, warn_not_converged, warn_of_fits

# What `precision` is to the net.
_PRODUCTS = {"full": None, "tf32": "tf32", "bfloat16": torch.bfloat16}
# Rows from which the scale of the first codes is estimated, one number.
_SCALING_ROWS = 512


class BaseTrainedEncoder(TrainingParameters, BaseSparseCoder):
    """Base of the encoders that training fits, with or without their dictionary."""

    @fitting(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, *, codes=None, code_loss="cosine", resume=False):
        """Train the encoder, and the dictionary where it is not known.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data. What is not in memory - a memory map, an HDF5, zarr or dask array, a column of a
            data set, any object with `shape` and row slicing - is read by chunks, and shuffled
            with a buffer of 16,777,216 numbers; a random buffer stands for the whole where
            training starts. What fits in the buffer is read at once.
        y : array-like of shape (n_samples,), default=None
            Ignored, but by ``feature_weights="consistency"`` and callables.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0 of the rows, in memory: in the losses, that of held-out rows too, in the
            center of the data, in a variance and in random starts. Only their ratios matter, and
            integers stand for as many equal rows: up to rounding where one batch holds all rows and
            nothing is drawn from them, else in expectation. None: all rows weigh 1.
        codes : {array-like, sparse matrix} of shape (n_samples, n_components), default=None
            Known codes, in memory or not, about the size of X, >= 0 where the encoder's are. The
            encoder then regresses on them by `code_loss`, and an unknown dictionary becomes the
            unit-norm atoms that best reconstruct X from them. What belongs to the reconstruction of
            X, a penalty, `feature_weights` and `prefix_sizes`, plays no part; what is set to learn
            from it is refused: `multi_topk`, `n_stages`, `TeachDead` ("auxk"), a schedule's
            `alpha_warmup`.
        code_loss : {"cosine", "squared_error"}, default="cosine"
            What to minimize where codes are known: minus the cosine similarity of each latent with
            its target, averaged over latents, or the squared error.
        resume : bool, default=False
            Whether to go on from the newest checkpoint in `checkpoint`, to the bit, where there is
            one. Data, of which a few rows and all weights are compared, and parameters must be the
            same;
            `max_iter` may be larger, but where a schedule goes by it.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or the parameters break a rule, training diverges, or the checkpoint to
            resume from is corrupt or of another run.
        OSError
            If nothing can be written to `checkpoint`.
        """
        fresh = not (self.warm_start and hasattr(self, "net_"))
        most = None if self.max_iter == "auto" else self.max_iter
        task = FitTask(self, X, y, sample_weight, most)
        job = self._prepare_fit(X, y, sample_weight, codes, code_loss, fresh, resume)
        job.observer = EpochTasks(task) if task.is_watched else None
        self._run(job)
        read = reader()
        note_divergence([job], read)
        self._finish_fit(job, fresh)
        if not self.net_.converged_:
            warn_not_converged(self)
        warn_of_fits([job], type(self).__name__, read)
        task.end()
        return self

    @fitting(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None, *, codes=None, code_loss="cosine"):
        """Train for one more pass over X, one chunk of a larger whole.

        All rows are trained on, whatever `early_stopping` is.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,), default=None
            As in `fit`; only the first call looks at it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0 of the rows, as in `fit`, but taken as they are, so that those of one call
            compare with those of another. None: all rows weigh 1.
        codes : {array-like, sparse matrix} of shape (n_samples, n_components), default=None
            Known codes, as in `fit`. An unknown dictionary is set by the first call.
        code_loss : {"cosine", "squared_error"}, default="cosine"
            What to minimize where codes are known, as in `fit`.

        Returns
        -------
        self : object
            The estimator.
        """
        check_code_loss(self, code_loss)
        fresh = not hasattr(self, "net_")
        data = self._check_training_data(X, codes, sample_weight, reset=fresh)
        self._resolve(data, fresh, is_chunk=True)
        if fresh:
            self._initialize(data, y, code_loss)
        else:
            self._take_changes(data)
        data = data.divided_by(self._unit)
        loss = self._choose_loss(data, code_loss, self._dictionary)
        job = self._make_job(data, loss, 1)
        self._run(job)
        self._finish_training(job)
        return self

    # -- The three parts of a fit, of which `fit_many` shares the second among many ----------------

    def _prepare_fit(
        self,
        X,
        y,
        sample_weight,
        codes,
        code_loss,
        fresh=True,
        resume=False,
        shared=None,
    ):
        """Do all that comes before training; return what is to be trained.

        Fits of the same rows may have them `shared`, to check and hold them only once.
        """
        check_code_loss(self, code_loss)
        check = partial(
            self._check_training_data, X, codes, sample_weight, reset=fresh, scale_weights=True
        )
        data = check() if shared is None else shared.of(self, check)
        held_out_fraction = self.validation_fraction * self.early_stopping
        check_can_split(self, len(data), held_out_fraction)
        self._resolve(data, fresh)
        schedule = self._make_schedule()
        checkpoint = self._open_checkpoint(data, schedule, resume, fresh)
        if fresh:
            seed = None if checkpoint is None else checkpoint.seed_
            self._initialize(data, y, code_loss, seed, among_others=shared is not None)
        else:
            self._take_changes(data)
        data = data.divided_by(self._unit)
        loss = self._choose_loss(data, code_loss, self._dictionary)
        return self._make_job(data, loss, self.max_iter_, held_out_fraction, schedule, checkpoint)

    def _run(self, job):
        """Train, keeping what has been learned when the user interrupts."""
        try:
            job.run()
        except KeyboardInterrupt:
            self.net_.converged_ = True  # the user's verdict: no second warning
            warn_interrupted(self, f"epoch {self.n_iter_ + 1}")

    def _finish_fit(self, job, fresh=True):
        """Do all that comes after training, or raise the error with which it failed."""
        if job.error is not None and fresh:
            del self.net_  # a fresh net without a single good weight is no fit
        self._finish_training(job)
        self._settle(job.data)
        self.net_.workspace_.clear()

    # -- The steps of a fit ------------------------------------------------------------------------

    def _check_training_data(self, X, codes, sample_weight, reset, scale_weights=False):
        """Validate all that comes in; return what to train on."""
        rows = self._check_rows(X, reset=reset)
        dtype = rows.dtype if reset else self._torch_dtype_and_device()[0]
        like = {"dtype": dtype, "device": resolve_device(self.device, self)}
        rows = rows.to(**like).hold()
        if codes is not None:
            check_learns_codes_alone(self)
            n_components = resolve_n_components(self) if reset else self._n_features_out
            codes = self._check_codes(codes, rows, n_components).to(**like).hold()
        weights = check_sample_weight(sample_weight, len(rows), type(self).__name__)
        weights = scaled_to_mean_one(weights) if scale_weights else weights
        return TrainingData.of(rows, codes, weights_to(weights, **like))

    def _resolve(self, data, fresh, is_chunk=False):
        """Find out what parameters come to that may be "auto"."""
        n_components = resolve_n_components(self) if fresh else self._n_features_out
        before = {} if fresh else vars(self)
        found = resolve(self, len(data), n_components, data.codes_known, is_chunk, before)
        for name in found.keys() & self._declared.keys():
            setattr(self, f"{name}_", found[name])

    def _make_schedule(self):
        """Return the callback that `schedule` asks for, checked, or None."""
        if self.schedule_ is None:
            return None
        schedule = clone(self.schedule_).check()
        if schedule.alpha_warmup and "alpha" not in self._declared:
            raise ValueError(
                f"{type(self).__name__}: schedule={schedule} warms up a penalty, and there is "
                "none; leave alpha_warmup=0."
            )
        return schedule

    def _open_checkpoint(self, data, schedule, resume, fresh):
        """Return the callback that `checkpoint` asks for, ready, or None."""
        if self.checkpoint is None:
            if resume:
                raise ValueError(
                    f"{type(self).__name__}: resume=True needs the checkpoint of the run to go "
                    "on with, got checkpoint=None."
                )
            return None
        if not fresh:
            raise ValueError(
                f"{type(self).__name__}: checkpoint is for a fit from the start, not for a "
                "warm start; set warm_start=False or checkpoint=None."
            )
        checkpoint = self.checkpoint
        checkpoint = (
            clone(checkpoint) if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        )
        return checkpoint.open(identity_of(self, data, schedule is not None), resume)

    def _initialize(self, data, y, code_loss, seed=None, among_others=False):
        """Build the net, its weights and its random stream, for data divided by their unit; for
        what is trained `among_others` perhaps on the host."""
        if seed is None:
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        generator = torch.Generator().manual_seed(seed)
        sample = data.sample(generator)
        if y is not None and sample.numbers is not None:
            y = as_array(y)[sample.numbers]
        self._weigh_penalty(sample)
        self.feature_weights_ = self._weigh_features(sample, y)
        look = self._look_at(sample, among_others)
        self._unit, self.fit_intercept_ = look.unit, look.fit_intercept
        X, weights, data = look.X, look.weights, data.divided_by(self._unit)
        if self.verbose:
            tell(self)
        dictionary = initial_dictionary(self, look.centered, generator, weights)
        if data.codes_known and self.dictionary is None:
            passes = self._passes(data, len(dictionary))
            dictionary = dictionary_from_codes(passes, dictionary, positive=self.positive_dict)
        trainable = self.dictionary is None and not data.codes_known
        decoder = Decoder(dictionary, look.intercept, trainable=trainable)
        module = self._make_module(look, decoder, generator)
        check_learnable(self, module, data)
        loss = self._choose_loss(data, code_loss, dictionary)
        if not data.codes_known:
            few = few_rows(X, _SCALING_ROWS)
            few_weights = None if weights is None else weights[few]
            loss.sample_weight = module.activation.sample_weight = few_weights
            self._scale_codes(module, loss, X[few])
        self.net_ = SparseNet(
            module,
            loss,
            data_scale=look.size,
            unit=self._unit,
            generator=generator,
            device=X.device,
            **self._make_settings(module, LatentActivity()),
        ).initialize()
        self._made_with = parameters_of(self)

    def _look_at(self, sample, among_others):
        """Look at rows, of which fits that share them know already."""
        kind = self.fit_intercept_, self.fit_intercept == "auto"
        look = sample.once(("look", kind), lambda: first_look(sample.X, sample.weights, *kind))
        if among_others and starts_on_host(sample, self._largest_matrix()):
            return sample.once(("look on the host", kind), look.on_host)
        return look

    def _largest_matrix(self):
        """Return how many numbers the largest matrix of the start has."""
        return resolve_n_components(self) * self.n_features_in_

    def _take_changes(self, data):
        """Go on with the parameters as they are now."""
        changed = changed_since(self._made_with, self)
        if "alpha" in changed:
            self._weigh_penalty(data.sample(torch.Generator()))
        if changed:
            net = self.net_
            self._renew_activation(net.module_)
            net.renew(**self._make_settings(net.module_, net.callback("activity")))
            self._made_with = parameters_of(self)
        check_learnable(self, self.net_.module_, data)

    def _make_settings(self, module, activity):
        """Return by name what the net takes of the parameters."""
        return {
            "learning_rate": self.learning_rate_,
            "batch_size": self.batch_size_,
            "product_dtype": _PRODUCTS[self.precision],
            "callbacks": self._make_callbacks(module, activity),
        }

    def _make_module(self, look, decoder, generator):
        atoms, few = decoder.dictionary.detach(), few_rows(look.centered)
        few_weights = None if look.weights is None else look.weights[few]
        encoder = self._make_encoder(look.centered[few], atoms, generator, few_weights)
        activation = self._make_activation(self._unit * look.size).to(atoms)
        if self._unit != 1:
            activation.rescale(1 / self._unit)
        return SparseAutoencoder(encoder, activation, decoder).to(atoms)

    def _make_callbacks(self, module, activity):
        """Return what happens around a step: the constraint, the user's wishes, the end."""
        callbacks = [UnitNormAtoms()] if module.decoder.dictionary.requires_grad else []
        callbacks += [ClearDenormals(), BestWeights(), ("activity", activity)]
        callbacks += self._make_dead_latents(module)
        callbacks += [NonNegativeAtoms()] if self.positive_dict else []
        if self.max_grad_norm is not None:
            callbacks.append(ClipGradient(self.max_grad_norm))
        callbacks += check_callbacks(self)
        callbacks.append(StopOnPlateau(self.tol, self.n_iter_no_change))
        if self.verbose:
            callbacks.append(Progress(type(self).__name__))
        return callbacks

    def _make_job(self, data, loss, n_epochs, held_out_fraction=0, schedule=None, checkpoint=None):
        """Tell the net what to minimize and for how long; return the run of its training."""
        self.net_.minimize(loss)
        self.net_.max_epochs = n_epochs
        training, held_out = self._split(data, held_out_fraction)
        return Job(self.net_, data, training, held_out, schedule, checkpoint)

    def _finish_training(self, job):
        if job.error is not None:
            raise job.error
        if job.data.codes_known and job.net.criterion_.degree == 0:
            match_scale(self.net_.module_, job.data)

    def _choose_loss(self, data, code_loss, like):
        """Return what training minimizes, on the device and of the dtype of a tensor."""
        if data.codes_known:
            return CodeRegressionLoss(code_loss).to(like)
        weights = self.feature_weights_
        if weights is not None:
            weights = as_tensor(weights, "feature_weights_", like=like, check=False)
        loss = self._make_loss(weights).to(like)
        loss.divide_by(self._unit)
        return loss

    def _passes(self, data, n_components):
        """Return the batches of a pass over the data whose codes fit in memory together."""
        return data.batches(rows_within(max(n_components, self.n_features_in_)))

    def _split(self, data, fraction):
        """Return the rows to train on and those held out, or None.

        A warm start holds out the same rows again, so that no row is in both parts.
        """
        if not fraction:
            return data, None
        generator = torch.Generator().manual_seed(self.net_.generator.initial_seed())
        return data.hold_out(fraction, generator)

    # -- What a subclass decides -------------------------------------------------------------------

    def _make_encoder(self, centered, dictionary, generator, sample_weight):
        """Return the encoder as it starts, given rows of centered data, the atoms, a source of
        randomness and the weights of the rows or None."""
        raise NotImplementedError

    def _make_activation(self, unit):  # noqa: ARG002
        """Return the activation as it starts, given the root mean square of centered data."""
        return ReLU()

    def _renew_activation(self, module):
        """Give the activation of a model that goes on learning the parameters as they are now."""

    def _scale_codes(self, module, loss, rows):
        """Give the first codes the scale that reconstructs a few rows best."""
        module.rescale(loss.best_scale(module, rows))

    def _make_loss(self, feature_weights):
        """Return the loss that learns a dictionary, given the weights of features or None."""
        raise NotImplementedError

    def _weigh_penalty(self, sample):
        """Find the weight of the penalty, where there is one, given a sample of the rows."""

    def _settle(self, data):
        """Find what only a net that was trained tells, given all rows of a fit."""

    def _make_dead_latents(self, module):  # noqa: ARG002
        """Return the callbacks that look after latents that fire no more."""
        return []

    def _weigh_features(self, sample, y):
        """Return the weight of each feature's error, or None, given a sample of the rows and their
        labels."""
        if self.feature_weights is None:
            return None
        return to_weights(relative_scores(self, sample, y))

    # -- What a fit leaves -------------------------------------------------------------------------

    def _encode_block(self, X):
        with self._transforming(X) as module:
            return times(module.encode(times(X, 1 / self._unit)), self._unit)

    def _encode_block_to_csr(self, X):
        with self._transforming(X) as module:
            codes = module.encode_compactly(times(X, 1 / self._unit))
            return times(codes.to_csr(), self._unit)

    @contextmanager
    def _transforming(self, X):
        """Let the module of transform compute, with the threads that a block is worth."""
        module = self._transforming_module()
        with torch.no_grad(), threads_worth(len(X) * module.largest_matrix(), X.device):
            yield module

    def _transforming_module(self):
        return self.net_.module_

    @property
    def _dictionary(self):
        return self.net_.module_.decoder.dictionary

    def _torch_dtype_and_device(self):
        device = resolve_device(self.device, self)
        self.net_.move_to(device)
        return self._dictionary.dtype, device

    @property
    def components_(self):
        """Atoms of unit norm, ndarray of shape (n_components, n_features)."""
        return _to_numpy(self._dictionary)

    @property
    def intercept_(self):
        """Learned center of the data, ndarray of shape (n_features,); zeros if not fitted."""
        decoder = self.net_.module_.decoder
        if decoder.intercept is None:
            return np.zeros(decoder.dictionary.shape[1], dtype=self.components_.dtype)
        return times(_to_numpy(decoder.intercept), self._unit)

    @property
    def loss_curve_(self):
        """Mean training loss a sample in each epoch, list of float."""
        return [row["train_loss"] for row in self.net_.history]

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

    def _count_flops(self, n_samples, mode, n_iter, formula):  # noqa: ARG002
        module = self.net_.module_
        if mode == "inference":
            return n_samples * encoding_flops(module, formula)
        step = self.net_.criterion_.flops(module, formula)
        return n_samples * step * self.n_iter_

    @property
    def _n_features_out(self):
        return len(self._dictionary)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")


def _to_numpy(parameter):
    # A copy: NumPy would otherwise share memory with weights that partial_fit changes.
    return parameter.detach().cpu().numpy().copy()
