"""AmortizedCoder: learn by optimization, encode by a learned function."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import check_random_state

from .._compat import HasMethods, Interval, StrOptions
from .._decoder import (
    atoms_of_part,
    center_of,
    check_no_pipeline,
    check_taught,
    known_alpha,
    limits_number_to_given,
)
from .._device import as_held, resolve_device
from .._fitted import configured, fitted, has_learned, is_fitted, transform_unnamed
from .._rows import Rows, few_rows
from .._sample_weight import check_sample_weight, scaled_to_mean_one
from .._sparse_rows import SparseRows
from .._validation import check_dictionary
from ..metrics import flops
from ..training import CODE_LOSSES
from ._base import BaseSparseCoder
from ._base_trained import BaseTrainedEncoder
from ._centered_rows import CenteredRows
from ._declared import parameter
from ._dictionary import lengths_of
from ._fitting import fitting
from ._grad_sparse_coder import GradSparseCoder
from ._interrupts import noting_interrupts
from ._l1_encoder import L1Encoder
from ._lista import LISTAEncoder
from ._parameters import COUNT, NON_NEGATIVE
from ._parts import part_of
from ._split_sign import joined
from ._tasks import FitTask
from ._topk import TopKSAE

# Rows whose codes are decoded where a teacher does not say itself how.
_ROWS_LOOKED_AT = 64


class AmortizedCoder(BaseSparseCoder):
    """A cheap encoder that a better one teaches.

    A teacher learns the dictionary and finds codes by optimization; an encoder with one forward
    pass a sample is then trained to predict these codes, starting from that dictionary. Dictionary
    and encoder do not have to be learned from each other's mistakes, as in a sparse autoencoder:
    the encoder's codes are as good as its architecture can make them, at its own low price.

    The teacher can label more data than there are. Each of `n_augmented` further samples takes the
    support of a row's codes, draws their magnitudes anew, each from those that the same atom has
    elsewhere, and adds what the teacher left unexplained of the row.

    Parameters
    ----------
    n_components : int
        Number of atoms. None: that of `dictionary` or the teacher's own.
    teacher : object
        Estimator with `components_` or `dictionary`, of skamort or of scikit-learn. Its codes are
        >= 0, but for an encoder that learns either sign, ``TopKSAE(positive_code=False)``. If it is
        fitted it is used as it is, after `clone` too, as in `cross_val_score`; otherwise a clone is
        fitted. Values of a grid search are cloned by themselves and fitted again, but in a
        `FrozenEstimator`. None: a `GradSparseCoder`.
    encoder : SAEEncoder, MLPEncoder, LISTAEncoder or another trained one
        A clone of it learns the teacher's codes, from new weights even where it is fitted; the
        `alpha` of a `LISTAEncoder` says where it starts, "auto" with the teacher's. Where the
        teacher goes by `n_nonzero_coefs`, a `k` of None is as many as its codes have. None: a
        `LISTAEncoder` with ``tol=1e-2``, or for such a teacher a `TopKSAE` with it, whose codes
        have either sign where the teacher's do.
    code_loss : {"cosine", "squared_error"}
        What the encoder minimizes: the squared error of its codes, or minus the cosine similarity
        of each latent with the teacher's, averaged over latents, and their scale in the end.
    dictionary : array-like of shape (n_components, n_features)
        A known dictionary, given to the teacher. Not together with a fitted teacher.
    alpha : float or "auto"
        Weight of the L1 penalty on the teacher's codes. "auto": what the teacher says itself. Not
        together with a fitted teacher.
    fit_intercept : bool or {"auto", "mean", "geometric_median"}
        Whether the teacher takes off a center of the data. "auto": what it says itself. Not
        together with a fitted teacher.
    max_iter : int or None
        Maximum number of iterations of the teacher and of epochs of the encoder, where they are
        fitted here. None: what they say themselves.
    n_augmented : int
        Number of further training samples. Several times the size of X help an encoder with many
        parameters; they cost the teacher's time and the memory that the samples take.
    device : str
        "cpu", "cuda" or "cuda:1" for what is fitted here; "auto": what teacher and encoder say.
    verbose : int or bool
        Whether what is fitted here tells how it comes on.
    random_state : int, RandomState instance or None
        Seed of the augmented samples, and of teacher and encoder where they have none.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The teacher's dictionary, its atoms scaled to unit norm, and the codes with them.
    alpha_ : float or None
        Weight of the L1 penalty on the teacher's codes; None where it has none.
    intercept_ : ndarray of shape (n_features,) or None
        Center of the data that the teacher has learned; None where it has none.
    teacher_ : object
        The fitted teacher.
    encoder_ : object
        The fitted encoder.
    n_iter_ : int
        Number of epochs in which the encoder was trained.
    loss_curve_ : list of float
        Mean loss a sample of the encoder in each epoch, in which it learns the teacher's codes.
    net_ : SparseNet
        The encoder's skorch net.

    See Also
    --------
    ITOCoder : The best codes for the same dictionary, where they may cost more.
    LISTAEncoder : The encoder that comes closest to them.

    References
    ----------
    Kavukcuoglu, Ranzato and LeCun (2008), Fast inference in sparse coding algorithms with
    applications to object recognition. O'Neill, Gumran and Klindt (2025), Compute Optimal Inference
    and Provable Amortisation Gap in Sparse Autoencoders.

    Examples
    --------
    >>> from skamort import AmortizedCoder, GradSparseCoder, SAEEncoder
    >>> from skamort.datasets import make_published_signal
    >>> from skamort.metrics import latent_mcc
    >>> X, _, codes = make_published_signal()
    >>> teacher = GradSparseCoder(16, alpha=0.03, n_init=5)
    >>> coder = AmortizedCoder(teacher=teacher, encoder=SAEEncoder(learning_rate=3e-3),
    ...     code_loss="cosine", random_state=0).fit(X[:1024])
    >>> latent_mcc(codes[1024:], coder.transform(X[1024:])) > 0.85
    True
    """

    teacher: Any = parameter(HasMethods(["fit", "transform"]), None, default=None)
    encoder: BaseTrainedEncoder | None = parameter(BaseTrainedEncoder, None, default=None)
    code_loss: str = parameter(StrOptions(set(CODE_LOSSES)), default="squared_error")
    dictionary: ArrayLike | None = parameter("array-like", None, default=None)
    alpha: float | str = parameter(NON_NEGATIVE, StrOptions({"auto"}), default="auto")
    fit_intercept: bool | str = parameter(
        "boolean", StrOptions({"auto", "mean", "geometric_median"}), default="auto"
    )
    max_iter: int | None = parameter(COUNT, None, default=None)
    n_augmented: int = parameter(Interval(Integral, 0, None, closed="left"), default=0)

    @fitting(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the teacher, then the encoder on the teacher's codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,), default=None
            Passed on to a teacher that is fitted here; otherwise ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0 of the rows, passed on to a teacher that is fitted here and to the encoder.
            Rows are drawn for augmentation in their proportion. None: all rows weigh 1.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or the parameters break a rule, or the teacher gives negative codes to an
            encoder that has none.
        KeyboardInterrupt
            If the user stops the fit of the teacher: there is no encoder yet, and the coder is not
            fitted. What the teacher has learned is `teacher_`, with which ``AmortizedCoder(teacher=
            coder.teacher_)`` goes on. Where the fit of the encoder is stopped, what it has learned
            is kept, and the coder is fitted.
        """
        task = FitTask(self, X, y, sample_weight, 1 if has_learned(self.teacher) else 2)
        resolve_device(self.device, self)
        check_no_pipeline(self.teacher, "AmortizedCoder", "teacher")
        if self.encoder is not None:
            with part_of(self, "encoder", self.encoder):
                self.encoder._validate_params()  # before the teacher's work
        rows = self._check_rows(X, reset=True)
        rng = check_random_state(self.random_state)
        weights = check_sample_weight(sample_weight, len(rows), type(self).__name__)
        weights = scaled_to_mean_one(weights)
        if self.encoder is not None:
            self._rehearse(rows, weights)
        self.teacher_ = teacher = self._find_teacher(rows.source, y, weights, rng, task)
        lengths = self._take_dictionary(teacher, rows[:1])
        check_taught(teacher, rows[few_rows(rows, _ROWS_LOOKED_AT)].cpu().numpy())
        self.alpha_ = None if limits_number_to_given(teacher) else known_alpha(teacher)
        codes = self._teach(teacher, rows, lengths)
        samples = [rows]
        if self.n_augmented:
            augmented = self._augment(rows, codes, weights, rng)
            samples.append(Rows(augmented, type(self).__name__))
            if weights is not None:
                weights = np.concatenate([weights, np.ones(self.n_augmented)])
            codes = sparse.vstack([codes, self._teach(teacher, samples[1], lengths)], format="csr")
        lessons = self._center_samples(samples)
        encoder = self._make_student(teacher, codes, rng)
        taught = {"codes": codes, "code_loss": self.code_loss}
        with task.part("encoder", encoder):
            self.encoder_ = encoder.fit(lessons, sample_weight=weights, **taught)
        task.end()
        return self

    # -- The steps of a fit ------------------------------------------------------------------------

    def _make_student(self, teacher, codes, rng):
        """Return the encoder that is to learn codes, as sparse as the teacher's where it does not
        say itself how sparse."""
        k_sparse = limits_number_to_given(teacher)
        default = _default_student(k_sparse, is_signed=codes.min() < 0)
        encoder = default if self.encoder is None else self.encoder
        encoder = configured(encoder, **self._shared(rng))
        encoder.set_params(dictionary=self.components_, fit_intercept=False)
        if isinstance(encoder, L1Encoder) and encoder.alpha == "auto":
            encoder.set_params(alpha=self.alpha_ or 0.0, target_l0=None)
        if k_sparse and getattr(encoder, "k", 0) is None:
            encoder.set_params(k=int((codes != 0).sum(axis=1).max()))
        return encoder

    def _rehearse(self, rows, weights):
        """Let the encoder refuse what it cannot do before the teacher's work: codes that are all
        zero, and atoms that are all one, stand for the teacher's."""
        n_components = self._known_n_components()
        if n_components is None:
            return
        encoder = configured(self.encoder, **self._shared(0))
        atoms = np.ones((n_components, rows.shape[1]))
        encoder.set_params(dictionary=atoms, fit_intercept=False)
        codes = sparse.csr_array((len(rows), n_components))
        with part_of(self, "encoder", encoder):
            encoder._prepare_fit(rows.source, None, weights, codes, self.code_loss)

    def _known_n_components(self):
        """Return the number of the teacher's atoms, None where only its fit can tell."""
        if self.dictionary is not None:
            return len(self.dictionary)
        if self.n_components is not None or self.teacher is None:
            return self.n_components or self.n_features_in_
        if is_fitted(self.teacher):
            return len(getattr(self.teacher, "components_", ())) or None
        return getattr(self.teacher, "n_components", None)

    def _find_teacher(self, X, y, weights, rng, task):
        """Return the fitted teacher, whose fit may be a part of a task."""
        teacher = GradSparseCoder() if self.teacher is None else self.teacher
        given = {name: getattr(self, name) for name in ("dictionary", "alpha", "fit_intercept")}
        given = {n: value for n, value in given.items() if not (value is None or _is_auto(value))}
        if given and is_fitted(teacher):
            name = next(iter(given))
            raise ValueError(
                f"AmortizedCoder: {name} and a fitted teacher both give a {name}; pass one of them."
            )
        if given:
            teacher = clone(teacher).set_params(**given)
        within, shared = partial(task.part, "teacher"), self._shared(rng)
        with noting_interrupts() as noted:
            teacher = fitted(teacher, X, y, weights, within=within, **shared)
        if noted:
            self.teacher_ = teacher
            raise KeyboardInterrupt(
                f"{noted[-1]}, and AmortizedCoder has no encoder yet; go on with "
                "AmortizedCoder(teacher=coder.teacher_)."
            )
        return teacher

    def _shared(self, rng):
        """Return the parameters that the whole shares with its parts."""
        names = ("n_components", "max_iter", "device", "verbose")
        return {**{name: getattr(self, name) for name in names}, "random_state": rng}

    def _take_dictionary(self, teacher, like):
        """Set the teacher's dictionary, in unit norm, and center, of the type of the tensor `like`;
        return the lengths of its atoms, None for those of unit norm."""
        name = type(teacher).__name__
        atoms = atoms_of_part(teacher, "AmortizedCoder", "teacher")
        atoms = check_dictionary(atoms, like)
        if self.n_components not in (None, len(atoms)):
            raise ValueError(
                f"AmortizedCoder: n_components={self.n_components} but teacher={name} has "
                f"{len(atoms)} atoms; leave n_components=None."
            )
        intercept = center_of(teacher)
        self.components_ = atoms.numpy().copy()
        lengths = lengths_of(self.components_)
        if lengths is not None:
            self.components_ /= lengths[:, None]
        dtype = self.components_.dtype
        self.intercept_ = None if intercept is None else np.asarray(intercept, dtype=dtype)
        return lengths

    def _teach(self, teacher, rows, lengths):
        """Return the teacher's codes of atoms of unit norm, of the type of the rows, which are read
        by blocks."""
        blocks = (rows[block].numpy() for block in rows.blocks(len(self.components_)))
        codes = [self._teach_block(teacher, block) for block in blocks]
        # csr_array: SciPy before 1.12 stacks arrays into a matrix
        codes = sparse.csr_array(sparse.vstack(codes, format="csr"))
        if lengths is not None:
            codes.data *= lengths[codes.indices]
        return codes

    def _teach_block(self, teacher, X):
        codes = joined(teacher, transform_unnamed(teacher, X))
        codes = sparse.csr_array(codes if sparse.issparse(codes) else np.asarray(codes))
        codes = codes.astype(X.dtype, copy=False)
        if codes.min() < 0 and not self._learns_signs(teacher):
            student = type(self.encoder or LISTAEncoder()).__name__
            raise ValueError(
                f"AmortizedCoder: teacher={type(teacher).__name__} gives negative codes, down to "
                f"{codes.min():.3g}, and encoder={student} has codes >= 0; set the teacher's "
                "positive_code=True, or encoder=TopKSAE(positive_code=False), which learns signs."
            )
        return codes

    def _learns_signs(self, teacher):
        """Return whether the encoder can have codes below zero."""
        if self.encoder is None:
            return limits_number_to_given(teacher)
        return not getattr(self.encoder, "positive_code", True)

    def _augment(self, X, codes, weights, rng):
        """Return samples with the supports of rows of X and other magnitudes."""
        if weights is None:
            rows = rng.randint(len(X), size=self.n_augmented)
        else:
            rows = rng.choice(len(X), size=self.n_augmented, p=weights / weights.sum())
        found = codes[rows].toarray()
        drawn, pools = found.copy(), codes.tocsc()
        for index, values in enumerate(drawn.T):
            active = values != 0
            if active.any():
                pool = pools.data[pools.indptr[index] : pools.indptr[index + 1]]
                values[active] = rng.choice(pool[pool != 0], active.sum())
        return X[rows].numpy() + (drawn - found) @ self.components_

    def _center_samples(self, samples):
        """Return the rows of all samples less their center: an array where the first are one."""
        first = samples[0]
        if isinstance(first, SparseRows) and len(samples) == 1:
            return self._center_tensor(first)
        rows = CenteredRows(samples, self.intercept_)
        return rows[:] if first.in_memory and not isinstance(first, SparseRows) else rows

    # -- What a fit leaves -------------------------------------------------------------------------

    def _encode_block(self, X):
        return self.encoder_._encode_block(self._center_tensor(X))

    def _encode_block_to_csr(self, X):
        return self.encoder_._encode_block_to_csr(self._center_tensor(X))

    def _center_tensor(self, X):
        if self.intercept_ is None:
            return X
        return X - as_held(self.intercept_, "intercept_", X)

    def _count_flops(self, n_samples, mode, n_iter, formula):
        """Count the encoder, and in training the teacher, who labels too."""
        if mode == "inference":
            return flops(self.encoder_, n_samples, formula=formula)
        n_labelled = n_samples + self.n_augmented
        shared = {"n_iter": n_iter, "formula": formula}
        return (
            flops(self.teacher_, n_samples, mode="training", **shared)
            + flops(self.teacher_, n_labelled, **shared)
            + flops(self.encoder_, n_labelled, mode="training", formula=formula)
        )

    def _torch_dtype_and_device(self):
        return self.encoder_._torch_dtype_and_device()

    @property
    def net_(self):
        """The encoder's net, a SparseNet."""
        return self.encoder_.net_

    @property
    def n_iter_(self):
        """Number of epochs in which the encoder was trained."""
        return self.encoder_.n_iter_

    @property
    def loss_curve_(self):
        """Mean loss a sample of the encoder in each epoch."""
        return self.encoder_.loss_curve_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "encoder_")


def _is_auto(value):
    return isinstance(value, str) and value == "auto"


def _default_student(k_sparse, is_signed):
    """Return the encoder that learns a teacher's codes where none is given."""
    if k_sparse:
        return TopKSAE(tol=1e-2, positive_code=not is_signed)
    return LISTAEncoder(tol=1e-2)
