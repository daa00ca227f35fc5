"""What all sparse coders share: validation, devices, transform in blocks, score, feature names."""

import warnings

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from .._lazy_rows import LazyRows, as_array, check_finite, is_lazy
from .._validation import as_tensor
from ..metrics import fraction_variance_unexplained
from ..modules import DenseCodes
from ._parameters import CoderParameters

# Codes computed at once in `transform`: 64 MB of float32. Smaller blocks copy more often than they
# save, larger ones only cost memory.
CODE_ELEMENTS = 1 << 24


class BaseSparseCoder(
    CoderParameters, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Base of the estimators that turn rows into sparse codes over a dictionary.

    A subclass fits `components_` and provides `_encode_block(X)`: tensor in, codes as a tensor out.
    """

    # Where scikit-learn's HTML repr leads to; without it the repr shows no words of a parameter.
    _doc_link_module = "skamort"
    _doc_link_template = (
        "https://skamort.readthedocs.io/en/stable/generated/skamort.{estimator_name}.html"
    )

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
            If there is no such parameter, or a nested one belongs to an object that is not there.
        """
        for name in params:
            outer, nested, inner = name.partition("__")
            part = params.get(outer, getattr(self, outer, None))
            if nested and outer in self._declared and not hasattr(part, "set_params"):
                raise ValueError(
                    f"{type(self).__name__}: {outer}={part!r} has no parameter {inner!r} to set; "
                    f"set {outer} to an object that has it first."
                )
        return super().set_params(**params)

    def transform(self, X):
        """Find the codes of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data; each row is encoded by itself. A memory map, an HDF5, zarr or dask array, or any
            object with `shape` and row slicing is read a block of rows at a time.

        Returns
        -------
        codes : ndarray or csr_array of shape (n_samples, n_components)
            Sparse codes, of the dtype the estimator was fitted with. A SciPy CSR array if
            `sparse_output`; the dense codes are then never held as a whole.
        """
        check_is_fitted(self)
        blocks = self._blocks(self._check_rows(X, reset=False))
        if self.sparse_output:
            # csr_array: SciPy before 1.12 stacks arrays into a matrix
            blocks = [self._encode_block_to_csr(block) for block in blocks]
            return sparse.csr_array(sparse.vstack(blocks, format="csr"))
        return _stack([self._encode_block(block).cpu().numpy() for block in blocks])

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
        check_is_fitted(self)
        codes = check_array(X, accept_sparse=["csr", "csc"], dtype=[np.float64, np.float32])
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"{type(self).__name__}: the codes have {codes.shape[1]} columns, the dictionary "
                f"has {self._n_features_out} atoms; pass codes as transform returns them."
            )
        reconstruction = codes @ self.components_
        intercept = getattr(self, "intercept_", None)
        return reconstruction if intercept is None else reconstruction + intercept

    def score(self, X, y=None):  # noqa: ARG002
        """Return the fraction of the variance of X that the codes explain.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.

        Returns
        -------
        score : float
            1 - ||X - X_hat||^2 / ||X - mean(X)||^2, at most 1; higher is better.
        """
        check_is_fitted(self)
        X = self._check_rows(X, reset=False)[:]
        codes = (self._encode_block(block).cpu().numpy() for block in self._blocks(X))
        X_hat = _stack([self.inverse_transform(block) for block in codes])
        return 1.0 - fraction_variance_unexplained(X, X_hat)

    def _blocks(self, X):
        """Yield consecutive rows of the validated X as tensors that are encoded at once."""
        step = max(1, CODE_ELEMENTS // self._n_features_out)
        dtype, device = self._torch_dtype_and_device()
        for start in range(0, len(X), step):
            block = as_tensor(X[start : start + step], "X", check=False)
            yield block.to(device=device, dtype=dtype)

    def _encode_block_to_csr(self, X):
        """Encode a tensor to a SciPy CSR array."""
        return DenseCodes(self._encode_block(X)).to_csr()

    @property
    def _n_features_out(self):
        return len(self.components_)

    def _check_data(self, X, reset):
        """Validate X; float32 and float64 stay, half precision becomes float32, all else
        float64."""
        X = as_array(X) if isinstance(X, torch.Tensor) else X
        half = getattr(X, "dtype", None) == np.float16
        dtype = np.float32 if half else [np.float64, np.float32]
        like = {"dtype": dtype, "order": "C", "ensure_all_finite": False}
        X = validate_data(self, X, reset=reset, **like)
        check_finite(X, type(self).__name__)
        return X

    def _check_rows(self, X, reset):
        """Validate X as `_check_data` does; what is not in memory is checked when it is read."""
        if not is_lazy(X):
            return self._check_data(X, reset)
        rows = LazyRows(X, self)
        self._check_data(rows[:1], reset)
        return rows

    def _check_codes(self, codes, n_samples, n_components, like):
        """Validate known codes; return them as a tensor like `like`."""
        codes = as_tensor(codes, "codes", like=like)
        if codes.shape != (n_samples, n_components):
            raise ValueError(
                f"{type(self).__name__}: codes must have shape (n_samples, n_components) = "
                f"{(n_samples, n_components)}, got {tuple(codes.shape)}; set n_components to "
                "their width."
            )
        return codes

    def __sklearn_tags__(self):
        """Declare that float32 and float64 are kept."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def resolve_device(device, owner):
    """Return the torch device that the parameter `device` of the estimator `owner` asks for."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = type(owner).__name__
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{name}: device must be 'auto', 'cpu', 'cuda' or 'cuda:<index>', got {device!r}."
        ) from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"{name}: device={device!r} is not there, torch sees {torch.cuda.device_count()} CUDA "
            "device(s); choose device='auto' or 'cpu', or install a CUDA build of torch."
        )
    return resolved


def warn_interrupted(owner, moment):
    """Say that the user stopped the fit of the estimator `owner`."""
    warnings.warn(
        f"{type(owner).__name__}: the fit was interrupted in {moment}; what was learned so far is "
        "kept.",
        UserWarning,
        stacklevel=4,
    )


def _stack(blocks):
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
