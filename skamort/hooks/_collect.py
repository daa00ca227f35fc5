"""Activations of a layer, collected over batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from os import PathLike
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._validation import as_path
from ._activations import Activations
from ._layer import check_batches, evaluated, find_layer, read_layer
from ._positions import Mask, kept_positions
from ._store import DTYPES, FolderStore, MemoryStore, open_folder

_SECONDS_BETWEEN_REPORTS = 5.0


def collect_activations(
    model: nn.Module,
    layer: str,
    batches: Iterable[Any],
    path: str | PathLike[str] | None = None,
    *,
    dtype: str = "float16",
    mask: Mask | None = None,
    skip: int = 1,
    verbose: int = 0,
) -> Activations:
    """Collect what a layer of a model returns, a row a position.

    The model is any :class:`torch.nn.Module`. It runs in eval mode, without gradients, no further
    than the layer, and is left as it was.

    Parameters
    ----------
    model : torch.nn.Module
        Such as a language model of ``transformers``.
    layer : str
        The name of a submodule as ``model.named_modules()`` lists it. It returns a tensor of shape
        (n_texts, n_positions, n_features) or (n_texts, n_features), alone or first in a tuple.
    batches : iterable of tensor, dict or tuple
        What the model is called with: one input, keywords or several inputs. They are brought to
        the model's device. An ``attention_mask`` among keywords leaves out padding.
    path : path-like, default=None
        A folder to write the rows to, batch by batch. After an interruption the same call goes on
        where it stopped: batches that were stored are not computed again. Other batches, another
        layer or weights that have changed are refused; another `mask` is not noticed. By default
        rows are in memory.
    dtype : {"float16", "float32", "float64"}, default="float16"
        What rows are stored in.
    mask : callable, default=None
        Returns, for a batch, an array of bool of shape (n_texts, n_positions) or (n_texts,): which
        rows are kept.
    skip : int, default=1
        First positions of each text that are left out. A language model's first position has a norm
        a hundred times that of the others, and would be all that an encoder learns. Has no meaning
        without positions.
    verbose : int, default=0
        Whether to print how far it is, every five seconds.

    Returns
    -------
    activations : Activations
        ``rows``, which every estimator takes as `X`, and the ``text`` and ``position`` of each.

    Raises
    ------
    ValueError
        If there is no such layer, no row is kept, a row holds NaN or infinity or does not fit in
        `dtype`, a mask has another shape, or `path` holds rows of another origin.
    TypeError
        If the layer returns something else.

    See Also
    --------
    open_activations : What was collected, opened again.
    splice : The way back: reconstructions in the model.

    Examples
    --------
    >>> import torch
    >>> from skamort.hooks import collect_activations
    >>> model = torch.nn.Sequential(torch.nn.Embedding(10, 4), torch.nn.ReLU())
    >>> texts = torch.tensor([[1, 2, 3], [4, 5, 6]])
    >>> activations = collect_activations(model, "1", [texts])
    >>> activations
    <Activations: 4 rows of 4 features (float16), from 2 texts>
    >>> activations.position
    array([1, 2, 1, 2])
    """
    find_layer(model, layer)
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    check_batches(batches)
    origin = {"model": _digest_of(model), "layer": layer, "dtype": dtype, "skip": skip}
    store = (
        MemoryStore()
        if path is None
        else FolderStore(as_path(path, "collect_activations: path"), origin)
    )
    start = reported = monotonic()
    with evaluated(model), torch.no_grad():
        for number, batch in enumerate(batches):
            if store.holds(batch):
                continue
            values = read_layer(model, layer, batch)
            rows, places = _kept_rows(values, batch, mask, skip, store.n_texts)
            store.append(_stored(rows, places, layer, dtype), places.numpy(), len(values))
            if verbose and monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
                reported = monotonic()
                print(f"batch {number + 1}: {store.n_rows:,} rows in {reported - start:.0f} s")
    if not store.n_rows:
        raise ValueError(
            f"no position of layer {layer!r} is kept; look at `batches`, `mask`, `skip`."
        )
    return store.finish()


def open_activations(path: str | PathLike[str]) -> Activations:
    """Open what :func:`collect_activations` wrote.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    activations : Activations
        The rows as a read-only memory map.

    Raises
    ------
    ValueError
        If the folder holds something else, or less than it says.

    Examples
    --------
    >>> import tempfile, torch
    >>> from skamort.hooks import collect_activations, open_activations
    >>> folder = tempfile.mkdtemp()
    >>> _ = collect_activations(torch.nn.ReLU(), "", [torch.ones(5, 3)], folder)
    >>> open_activations(folder)
    <Activations: 5 rows of 3 features (float16), from 5 texts>
    """
    return open_folder(as_path(path, "open_activations: path"))


def _digest_of(model: nn.Module) -> str:
    """Return what tells a model from another: its parameters' names, shapes and sums."""
    told = [
        (name, tuple(value.shape), float(value.detach().sum(dtype=torch.float64)))
        for name, value in model.named_parameters()
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _kept_rows(
    values: Tensor, batch: Any, mask: Mask | None, skip: int, n_texts: int
) -> tuple[Tensor, Tensor]:
    """Return the rows that count, and the text and position of each."""
    kept = kept_positions(values.shape[:-1], batch, mask, skip)
    places = kept.nonzero()
    if places.shape[1] == 1:
        places = torch.cat([places, torch.zeros_like(places)], 1)
    places[:, 0] += n_texts
    return values[kept.to(values.device)], places


def _stored(rows: Tensor, places: Tensor, layer: str, dtype: str) -> np.ndarray:
    """Return rows as they are stored; one that cannot be raises ValueError."""
    stored = rows.to(getattr(torch, dtype)).cpu()
    bad = ~stored.isfinite().all(1)
    if bad.any():
        row = int(bad.int().argmax())
        text, position = places[row].tolist()
        lost = bool(rows[row].isfinite().all())
        rule = f"does not fit in {dtype}; store float32" if lost else "holds NaN or infinity"
        raise ValueError(f"text {text}, position {position} of layer {layer!r} {rule}.")
    return stored.numpy()
