"""What all sparse coders share: validation, devices, transform in blocks, score, feature names."""

import warnings
from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from .._compat import CallbackSupportMixin, InvalidParameterError, ParameterNames
from .._device import holding_uploads, is_missing, telling_out_of_memory
from .._explained_variance import ExplainedVariance
from .._fitted import check_same_names, has_learned
from .._given import check_numbers_given, is_mistaken
from .._numbers import (
    as_numbers,
    check_array_given,
    check_is_matrix,
    check_real,
    column_names,
    is_frame,
    is_on_gpu,
)
from .._rows import Rows, is_lazy, rows_on_gpu
from .._sample_weight import check_sample_weight, scaled_to_mean_one
from .._sparse_rows import rows_of
from ..modules import DenseCodes
from ._known_codes import check_size
from ._parameters import CoderParameters
from ._saving import save
from ._who_takes import telling_who_takes

_FLOAT_TYPES = [np.float64, np.float32]


class BaseSparseCoder(
    CoderParameters,
    ParameterNames,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Base of the estimators that turn rows into sparse codes over a dictionary.

    A subclass fits `components_` and provides `_encode_block(X)`: tensor in, codes as a tensor out.
    """

    # Where scikit-learn's HTML repr leads to; without it the repr shows no words of a parameter.
    _doc_link_module = "skamort"
    _doc_link_template = (
        "https://skamort.readthedocs.io/en/stable/generated/api/skamort.{estimator_name}.html"
    )

    # Parameters whose estimators are used as they are where they are fitted.
    _parts = ("dict_init", "estimator", "teacher")

    def __sklearn_clone__(self):
        """Return an unfitted copy with the same parts, where they are fitted."""
        parts = {name: getattr(self, name, None) for name in self._parts}
        kept = {name: part for name, part in parts.items() if has_learned(part)}
        return super().__sklearn_clone__().set_params(**kept)

    def set_params(self, **params):
        """Set parameters, those of nested objects by ``<name>__<parameter>``.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If there is no such parameter, or a nested one belongs to an object that is not there or
            to a fitted part, which is not fitted again.
        """
        for name in params:
            outer, nested, inner = name.partition("__")
            part = params.get(outer, getattr(self, outer, None))
            if nested and outer in self._declared and not hasattr(part, "set_params"):
                raise ValueError(
                    f"{type(self).__name__}: {outer}={part!r} has no parameter {inner!r} to set; "
                    f"set {outer} to an object that has it first."
                )
            if nested and outer in self._parts and has_learned(part):
                raise ValueError(
                    f"{type(self).__name__}: {outer}={type(part).__name__} is fitted and used as "
                    f"it is, so that {inner} would change nothing; set {outer} to an unfitted one, "
                    "such as its sklearn.base.clone, or set the parameter on the part itself."
                )
        return super().set_params(**params)

    def _validate_params(self):
        for name, declared in self._declared.items():
            value = getattr(self, name)
            if "array-like" in declared.rule and is_mistaken(value):
                check_numbers_given(value, f"{type(self).__name__}: {name}")
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            raise telling_who_takes(error, self) from None

    def transform(self, X):
        """Find the codes of the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data; each row is encoded by itself. A memory map, an HDF5, zarr or dask array, a column
            of a data set, or any object with `shape` and row slicing is read a block of rows at a
            time. A tensor on a GPU is used where it lies.

        Returns
        -------
        codes : ndarray or csr_array of shape (n_samples, n_components)
            Sparse codes, of the dtype the estimator was fitted with. A SciPy CSR array if
            `sparse_output`; the dense codes are then never held as a whole.
        """
        coder = self._ready(X)
        with coder._computing():
            blocks = coder._blocks(coder._check_rows(X, reset=False))
            if self.sparse_output:
                # csr_array: SciPy before 1.12 stacks arrays into a matrix
                blocks = [coder._encode_block_to_csr(block) for block in blocks]
                return sparse.csr_array(sparse.vstack(blocks, format="csr"))
            return _stack([coder._encode_block(block).cpu().numpy() for block in blocks])

    def inverse_transform(self, X):
        """Reconstruct data from codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_components)
            Codes, as `transform` returns them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            ``X @ components_``, plus the intercept where the estimator has one.
        """
        coder = self._ready()
        name = f"{type(self).__name__}: the codes"
        codes = check_array_given(X, name, accept_sparse=["csr", "csc"])
        if codes.shape[1] != self._n_features_out:
            n_atoms = len(coder.components_)
            halves = " with two columns each" if n_atoms != self._n_features_out else ""
            raise ValueError(
                f"{type(self).__name__}: the codes have {codes.shape[1]} columns, the dictionary "
                f"has {n_atoms} atoms{halves}; pass codes as transform returns them."
            )
        reconstruction = self._joined(codes) @ coder.components_
        intercept = getattr(coder, "intercept_", None)
        return reconstruction if intercept is None else reconstruction + intercept

    def score(self, X, y=None, sample_weight=None):  # noqa: ARG002
        """Return the fraction of the variance of X that the codes explain.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data, read as `transform` reads them.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0 of the rows, in sums and mean. None: all rows weigh 1.

        Returns
        -------
        score : float
            1 - ||X - X_hat||^2 / ||X - mean(X)||^2, at most 1; higher is better. Where entries may
            be missing, sums and means are those of the others.
        """
        coder = self._ready(X)
        rows, variance = coder._check_rows(X, reset=False), ExplainedVariance()
        weights = check_sample_weight(sample_weight, len(rows), type(self).__name__)
        weights = scaled_to_mean_one(weights)
        with coder._computing():
            for block, X, X_hat in coder._reconstructed(rows):
                given = () if weights is None else (weights[block],)
                variance.add(X, X_hat, *given)
        return variance.fraction()

    def score_samples(self, X):
        """Return how well each row of X is reconstructed: low for anomalies.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data, read as `transform` reads them.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Less the mean squared error over the features, or over those observed; float64, in the
            squared units of X, at most 0. Higher is more normal.
        """
        coder = self._ready(X)
        rows = coder._check_rows(X, reset=False)
        with coder._computing():
            return -_stack([_squared_error(X, X_hat) for _, X, X_hat in coder._reconstructed(rows)])

    def _reconstructed(self, rows):
        """Yield slices of rows, the rows and their reconstructions, as arrays."""
        dtype, device = self._torch_dtype_and_device()
        rows = rows.there()
        for block in rows.blocks(self._n_features_out):
            X = rows[block]
            codes = self._encode_block(X.to(device=device, dtype=dtype)).cpu().numpy()
            yield block, X.cpu().numpy(), self.inverse_transform(codes)

    @contextmanager
    def _computing(self):
        """Take what blocks of rows share to the device once; say what was too much for it."""
        with holding_uploads(), telling_out_of_memory(type(self).__name__, self._tell_of_memory):
            yield

    def _tell_of_memory(self):
        return (
            f"a block of rows and their codes, n_components={self._n_features_out}",
            "free what else is held there, by other processes too, or find codes elsewhere by "
            "set_params(device='cpu')",
        )

    def save(self, path):
        """Save the estimator, fitted or not, for `skamort.load`.

        A directory holds all that `partial_fit` and a warm start need to go on to the same bits, in
        two files: `estimator.json` (class, parameters, fitted attributes, versions) and
        `arrays.safetensors` (arrays and weights by name). They hold no code, so that files of
        strangers may be loaded. Callbacks of other packages are left out, with a warning.

        Parameters
        ----------
        path : str or path
            The directory, which is made; one that holds a saved estimator and nothing else is
            replaced when the new one is whole.

        Raises
        ------
        FileExistsError
            If there is something else in its place, or beside the estimator in it.
        TypeError
            If a parameter or an attribute is what such files do not hold: a function, or an object
            of another package than skamort and scikit-learn.
        ValueError
            If the path has no name of its own, such as ".".
        """
        save(self, path)

    def _ready(self, X=None):  # noqa: ARG002  (some need no fit)
        """Return what codes the rows of X: itself, once it is fitted."""
        check_is_fitted(self)
        return self

    def _joined(self, codes):
        """Return codes that have one column an atom."""
        return codes

    def _blocks(self, rows):
        """Yield consecutive rows as tensors that are encoded at once."""
        dtype, device = self._torch_dtype_and_device()
        rows = rows.to(dtype=dtype, device=device)
        return (rows[block] for block in rows.blocks(self._n_features_out))

    def _codes_there(self, X):
        """Encode a tensor for another estimator, as one on its device."""
        coder = self._ready()
        dtype, device = coder._torch_dtype_and_device()
        return coder._encode_block(X.to(dtype=dtype, device=device)).to(X)

    def _encode_block_to_csr(self, X):
        """Encode a tensor to a SciPy CSR array."""
        return DenseCodes(self._encode_block(X)).to_csr()

    @property
    def _n_features_out(self):
        return len(self.components_)

    def _check_rows(self, X, reset):
        """Validate X; return its rows. Float32 and float64 stay, half precision becomes float32,
        all else float64. What is not in memory is checked when it is read."""
        if reset:
            self._forget()
        rows = self._read_rows(X, reset)
        if reset:
            self._check_parts()
        return rows

    def _take_columns(self, other):
        """Know of the columns of X what another, whose rows are those of this fit, has found."""
        for name in vars(other).keys() & {"n_features_in_", "feature_names_in_"}:
            setattr(self, name, getattr(other, name))
        self._check_parts()

    def _check_parts(self):
        for part in self._parts:
            check_same_names(self, part)

    def _read_rows(self, X, reset):
        name = type(self).__name__
        if is_on_gpu(X):
            rows = rows_on_gpu(X, name, allow_nan=self._allows_nan)
            self._check_array(rows[:1].numpy(), reset)
            return rows
        if not is_lazy(X):
            return rows_of(self._check_array(X, reset), name, allow_nan=self._allows_nan)
        rows = X if isinstance(X, Rows) else Rows(X, name, allow_nan=self._allows_nan)
        self._check_array(rows[:1].numpy(), reset)
        return rows

    @property
    def _allows_nan(self):
        """Whether NaN stands for entries that are missing."""
        return getattr(self, "missing_values", None) is not None

    def _forget(self):
        """Drop what an earlier fit left, so that one that fails leaves no half of each."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def _check_array(self, X, reset):
        is_named = is_frame(X)
        if is_named:
            self._check_names(X, reset)
        name = type(self).__name__
        if sparse.issparse(X):
            check_real(X, name, "data")
        else:
            X = as_numbers(X, name, "data", allow_nan=self._allows_nan)
        half = X.dtype == np.float16
        dtype = np.float32 if half else _FLOAT_TYPES
        like = {"dtype": dtype, "order": "C", "ensure_all_finite": False, "accept_sparse": "csr"}
        if is_named:
            return check_array(X, input_name="X", estimator=self, **like)
        return validate_data(self, X, reset=reset, **like)

    def _check_names(self, frame, reset):
        """Keep the names of the columns, or compare them with those of the fit."""
        validate_data(self, frame, reset=reset, skip_check_array=True)
        names = column_names(frame)
        lost = reset and not hasattr(self, "feature_names_in_")
        if lost and names and all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{type(self).__name__}: this version of scikit-learn cannot tell the names of the "
                f"columns of a {type(frame).__name__}; pass a pandas frame, or an array without "
                "names."
            )

    def _check_codes(self, codes, X, n_components):
        """Validate known codes of rows; return theirs. A sparse matrix stays one."""
        name = type(self).__name__
        if is_on_gpu(codes):
            rows = rows_on_gpu(codes, name, "codes")
        elif is_lazy(codes):
            rows = Rows(codes, name, "codes")
        else:
            like = {"dtype": _FLOAT_TYPES, "order": "C", "input_name": "codes"}
            if not sparse.issparse(codes):
                codes = as_numbers(codes, name, "codes")
            check_is_matrix(codes.shape, f"{name}: the codes")
            codes = check_array(codes, accept_sparse="csr", ensure_all_finite=False, **like)
            rows = rows_of(codes, name, "codes")
        if rows.shape != (len(X), n_components):
            fits = rows.shape[1] == n_components
            remedy = (
                "give one row of codes a row of X" if fits else "set n_components to their width"
            )
            raise ValueError(
                f"{name}: codes must have shape (n_samples, n_components) = "
                f"{(len(X), n_components)}, got {rows.shape}; {remedy}."
            )
        check_size(self, rows, X)
        return rows

    def __setstate__(self, state):
        super().__setstate__(state)
        is_fitted = "n_features_in_" in vars(self)
        if is_fitted and self.device.startswith("cuda") and is_missing(self.device):
            warnings.warn(
                f"{type(self).__name__}: it was fitted with device={self.device!r}, which torch "
                "does not see here; it goes on with device='auto'.",
                UserWarning,
                stacklevel=2,
            )
            self.device = "auto"

    def __sklearn_is_fitted__(self):
        return hasattr(self, "components_")

    def __sklearn_tags__(self):
        """Declare that float32 and float64 are kept, and that sparse data are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._allows_nan
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _squared_error(X, X_hat):
    """Return the mean squared error of each row over what is observed, all that is not NaN."""
    squares = np.square(X.astype(np.float64) - X_hat)
    return np.nansum(squares, axis=1) / np.isfinite(squares).sum(axis=1).clip(min=1)


def _stack(blocks):
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
