"""Estimators from the folders that `_saving` has written."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn

from .._folder import CorruptFolder, read_arrays, read_json
from .._packing import unpack
from .._validation import as_path
from ._base import BaseSparseCoder
from ._saving import ARRAYS, FORMAT, JSON


def load(path: str | os.PathLike) -> Any:
    """Load an estimator that `save` has written.

    Nothing that is read is run: files hold numbers and texts, and only skamort's and scikit-learn's
    own classes are made from them. `partial_fit` and a warm start go on where they were.

    Parameters
    ----------
    path : str or path
        The directory.

    Returns
    -------
    estimator : object
        The estimator, on the device that it was fitted on, or on the CPU where that is not there.

    Raises
    ------
    FileNotFoundError
        If there is no such directory.
    ValueError
        If it holds no estimator of skamort, one that a newer version has written, or one that is
        corrupt.

    See Also
    --------
    skamort.interop : Autoencoders of other packages.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> import skamort
    >>> X = load_digits().data
    >>> sae = skamort.TopKSAE(32, k=4, tol=0.01, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sae.save(f"{folder}/sae")
    ...     again = skamort.load(f"{folder}/sae")
    >>> bool((again.transform(X) == sae.transform(X)).all())
    True
    """
    path = as_path(path, "load: path")
    if not path.is_dir():
        raise FileNotFoundError(
            f"skamort.load: {str(path)!r} is no directory; give the one that was given to save."
        )
    if not os.path.lexists(path / JSON):
        raise ValueError(
            f"skamort.load: {str(path)!r} has no {JSON}, so skamort has not saved it; for "
            "autoencoders of other packages see skamort.interop."
        )
    try:
        about = read_json(path / JSON)
        _check_format(path, about)
        arrays = read_arrays(path, JSON, about)[ARRAYS]
        return _rebuild(about, arrays)
    except _Newer as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # whatever a stranger has put there
        raise ValueError(
            f"skamort.load: {str(path)!r} is corrupt ({type(error).__name__}: {error}); save the "
            "estimator again, or fetch the directory anew."
        ) from error


class _Newer(Exception):
    """A newer version of skamort has written this."""


def _check_format(path, about):
    found = about.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise CorruptFolder(f"format is {found!r}")
    if found > FORMAT:
        raise _Newer(
            f"skamort.load: {str(path)!r} was saved by skamort {about.get('skamort')} in format "
            f"{found}, this version reads up to {FORMAT}; update skamort."
        )


def _rebuild(about, arrays):
    estimator = unpack(about["estimator"], arrays)
    if not isinstance(estimator, BaseSparseCoder):
        raise CorruptFolder(f"it holds a {type(estimator).__name__}, no estimator of skamort")
    _check_whole(estimator)
    return estimator


def _check_whole(estimator):
    """Refuse an estimator whose parts do not go together: compiled code trusts shapes."""
    _fill_in(estimator)
    for part in vars(estimator).values():
        if isinstance(part, BaseSparseCoder):
            _check_whole(part)
    if "n_features_in_" not in vars(estimator):  # it was not fitted
        return
    if "net_" in vars(estimator):
        _check_module(estimator.net_.module_)
    atoms, n_features = estimator.components_, estimator.n_features_in_
    _check_shape("components_", atoms, (len(atoms), n_features))
    if getattr(estimator, "intercept_", None) is not None:
        _check_shape("intercept_", estimator.intercept_, (n_features,))
    seen = getattr(estimator, "_statistics", None)
    n_atoms = len(atoms)
    shapes = {"cross": atoms.shape, "gram_codes": (n_atoms, n_atoms)}
    for name in () if seen is None else (*seen._sums, "idle"):
        _check_shape(name, getattr(seen, name), shapes.get(name, (n_atoms,)))


def _fill_in(estimator):
    """Give parameters their defaults that came after the version that saved it."""
    defaults = {name: declared.default for name, declared in estimator._declared.items()}
    for known in (vars(estimator), vars(estimator).get("_made_with", {})):
        known.update({name: value for name, value in defaults.items() if name not in known})


def _check_module(module):
    """Refuse a net whose weights do not fit each other."""
    atoms = module.decoder.dictionary
    if module.decoder.intercept is not None:
        _check_shape("intercept", module.decoder.intercept, atoms.shape[1:])
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            _check_shape(f"{name}.weight", layer.weight, (layer.out_features, layer.in_features))
            if layer.bias is not None:
                _check_shape(f"{name}.bias", layer.bias, (layer.out_features,))
    with torch.no_grad():
        codes = module.encode_compactly(torch.zeros_like(atoms[:1])).to_dense()
    _check_shape("codes", codes, (1, len(atoms)))


def _check_shape(name, array, shape):
    kinds = (np.float32, np.float64, torch.float32, torch.float64)
    if tuple(array.shape) != tuple(shape) or array.dtype not in kinds:
        raise CorruptFolder(f"{name} has shape {tuple(array.shape)} and dtype {array.dtype}")
