"""Modules of other packages as estimators, as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor, nn

_ROWS = 4096


def wrap(module: Any, n_features: int | None = None) -> WrappedModule:
    """Return an estimator that encodes and decodes by a module of another package.

    It is judged as any estimator is, by :func:`skamort.metrics.amortization_gap`,
    :func:`skamort.inspection.compare_encoders`, displays and
    :class:`~skamort.ITOCoder`; nothing is copied or changed. The decoder must be linear. A module
    in training mode is called in evaluation mode, without dropout, and left in training mode.

    Parameters
    ----------
    module : object
        With `encode` and `decode`, as the modules of SAELens, dictionary_learning and overcomplete
        have. Where `encode` returns several tensors, the last holds the codes.
    n_features : int, default=None
        Width of the data. None: what the shapes of its parameters suggest.

    Returns
    -------
    estimator : WrappedModule
        A fitted estimator, with `transform`, `inverse_transform`, `components_` and `intercept_`.

    Raises
    ------
    TypeError
        If `encode` or `decode` is missing.
    ValueError
        If no width fits, or the decoder is not linear.

    Examples
    --------
    >>> import torch
    >>> from skamort.interop import wrap
    >>> from skamort.metrics import amortization_gap
    >>> class Theirs(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.W = torch.nn.Parameter(torch.eye(3, 2) + 0.1)
    ...     def encode(self, x):
    ...         return (x @ self.W.T).relu()
    ...     def decode(self, z):
    ...         return z @ self.W
    >>> gap = amortization_gap(wrap(Theirs()), [[1.0, 2.0], [0.5, 0.1]], alpha=0.1)
    >>> gap.gap > 0
    True
    """
    return WrappedModule(module, n_features)._look()


class WrappedModule(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """An estimator that encodes and decodes by a module of another package; see `wrap`.

    Parameters
    ----------
    module : object
        The module.
    n_features : int, default=None
        Width of the data.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        What one code of size 1 adds to a reconstruction.
    intercept_ : ndarray of shape (n_features,)
        The reconstruction of codes of zero.
    n_features_in_ : int
        Width of the data.
    n_parameters_ : int
        Numbers that the module has learned.
    """

    def __init__(self, module, n_features=None):
        self.module = module
        self.n_features = n_features

    def fit(self, X, y=None):  # noqa: ARG002
        """Find out what the module, which is trained, decodes by.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Ignored.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The estimator itself.
        """
        return self._look()

    def transform(self, X):
        """Find the codes of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            What the module's `encode` gives.
        """
        check_is_fitted(self)
        return self._by_blocks(self._encode, self._checked(X, self.n_features_in_))

    def inverse_transform(self, X):
        """Reconstruct data from codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            What the module's `decode` gives.
        """
        check_is_fitted(self)
        return self._decode(self._checked(X, self._n_features_out))

    def _checked(self, X, width):
        """Return rows as an array of numbers, which must be finite and of a width."""
        kinds = [np.float64, np.float32]
        X = check_array(X, dtype=kinds, force_writeable=True, estimator=self, input_name="X")
        if X.shape[1] != width:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {width} "
                "features as input."
            )
        return X

    @property
    def _n_features_out(self):
        return len(self.components_)

    def _look(self) -> WrappedModule:
        """Find out what the module decodes by."""
        missing = [name for name in ("encode", "decode") if not hasattr(self.module, name)]
        if missing:
            raise TypeError(
                f"wrap: {type(self.module).__name__} has no {missing[0]}; pass a module with "
                "encode and decode."
            )
        self.n_features_in_, codes = self._find_width()
        n_components = codes.shape[1]
        self.intercept_ = self._decode(np.zeros((1, n_components)))[0]
        blocks = range(0, n_components, _ROWS)
        self.components_ = (
            np.concatenate(
                [
                    self._decode(np.eye(min(_ROWS, n_components - i), n_components, i))
                    for i in blocks
                ]
            )
            - self.intercept_
        )
        self._check_linear(n_components)
        return self

    def _find_width(self) -> tuple[int, Tensor]:
        """Return the width of data that the module encodes and decodes to, and codes of a row."""
        widths = {n for p in self._parameters() for n in p.shape}
        for width in sorted(widths) if self.n_features is None else [self.n_features]:
            try:
                row = torch.zeros(1, width, dtype=self._dtype, device=self._device)
                with torch.no_grad(), self._evaluating():
                    codes = self._encode(row)
                    if self.module.decode(codes).shape == row.shape:
                        return width, codes
            except (RuntimeError, ValueError, IndexError, AssertionError):
                continue
        raise ValueError(
            f"wrap: {type(self.module).__name__} encodes and decodes no rows of width "
            f"{self.n_features or sorted(widths)}; pass the width of the data as n_features."
        )

    def _check_linear(self, n_components):
        codes = np.linspace(0, 2, n_components)[None]
        found = self._decode(codes)
        expected = codes @ self.components_.astype(np.float64) + self.intercept_
        if np.abs(found - expected).max() > 1e-2 * max(1.0, np.abs(expected).max()):
            raise ValueError(
                f"wrap: {type(self.module).__name__} does not decode linearly, so that no "
                "dictionary describes it."
            )

    @property
    def n_parameters_(self):
        """Numbers that the module has learned, int."""
        return sum(parameter.numel() for parameter in self._parameters())

    def _count_flops(self, n_samples, mode, n_iter, formula):  # noqa: ARG002
        if mode == "training":
            raise ValueError(
                f"flops: {type(self.module).__name__} was trained by another package, which alone "
                "knows what that took; ask for mode='inference'."
            )
        from torch.utils.flop_counter import FlopCounterMode  # imports Triton

        row = np.zeros((1, self.n_features_in_))
        with FlopCounterMode(display=False) as counter:
            self.transform(row)
        return n_samples * counter.get_total_flops()

    def _encode(self, X: Tensor) -> Tensor:
        codes = self.module.encode(X)
        codes = codes[-1] if isinstance(codes, tuple) else codes
        return codes.to_dense() if codes.is_sparse else codes

    def _decode(self, codes):
        return self._by_blocks(self.module.decode, codes)

    @torch.no_grad()
    def _by_blocks(self, function, X):
        rows = torch.as_tensor(X, dtype=self._dtype)
        with self._evaluating():
            blocks = [function(block.to(self._device)).cpu() for block in rows.split(_ROWS)]
        return torch.cat(blocks).float().numpy()

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Have the module in evaluation mode for a while, part by part as some may be already."""
        is_module = isinstance(self.module, nn.Module)
        training = [part for part in self.module.modules() if part.training] if is_module else []
        try:
            for part in training:
                part.training = False
            yield
        finally:
            for part in training:
                part.training = True

    def _parameters(self):
        module = self.module
        return list(module.parameters()) if isinstance(module, nn.Module) else []

    @property
    def _dtype(self):
        return next((p.dtype for p in self._parameters()), torch.float32)

    @property
    def _device(self):
        return next((p.device for p in self._parameters()), torch.device("cpu"))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "components_")
