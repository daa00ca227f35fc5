"""The rows on which latents are strongest, and rows from all of their range."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._validation import check_integer
from ._activity import N_SAMPLED, find_activity, quantile_bins
from ._coded_rows import CodedRows
from ._table import make_frame


def top_activations(
    estimator: Any,
    X: Any,
    *,
    n_top: int = 10,
    n_bins: int = 0,
    n_per_bin: int = 5,
    latents: Any = None,
    random_state: int | np.random.RandomState | None = None,
) -> Any:
    """Find the rows on which each latent is strongest, and rows from all of its range.

    The codes are found a block of rows at a time, and no more of them is kept than is returned and
    a few hundred a latent: X may be larger than memory.

    Parameters
    ----------
    estimator : object with ``transform``
        Any fitted estimator that turns rows into codes.
    X : {array-like, sparse matrix} of shape (n_rows, n_features)
        Data; a memory map, an HDF5, zarr or dask array, or any object with `shape` and row slicing
        is read a block of rows at a time.
    n_top : int, default=10
        How many of a latent's strongest rows to return, by the absolute code; fewer where it is
        active in fewer.
    n_bins : int, default=0
        Number of quantile bins: the absolute codes of a latent that are not zero, cut into so many
        parts of equal size. Above a few hundred codes, a random sample of them is cut.
    n_per_bin : int, default=5
        How many rows to draw from each bin at random, without those among the strongest.
    latents : array-like of int, default=None
        Which latents to look at, by number; None for all.
    random_state : int, RandomState instance or None, default=None
        What draws. The outcome depends on it, on the data and on nothing else.

    Returns
    -------
    table : DataFrame
        One row an example, by latent and bin: `latent`; `bin`, 0 for the strongest rows, from the
        strongest on, then from 1, the weakest, to `n_bins`; `row`, its number in X; and `code`.
        Without pandas, a table of the same columns.

    Raises
    ------
    ValueError
        NaN or infinity in X, or a latent that is not there.
    TypeError
        If a number is none.

    See Also
    --------
    FeatureReport : Shows them, with what else there is to see of latents.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skamort.inspection import top_activations
    >>> codes = np.array([[0.0, 1.0], [5.0, 0.0], [2.0, 3.0], [4.0, 2.0]])
    >>> table = top_activations(FunctionTransformer(), codes, n_top=2)
    >>> [table[column].tolist() for column in ("latent", "row", "code")]
    [[0, 0, 1, 1], [1, 3, 2, 3], [5.0, 4.0, 3.0, 2.0]]
    """
    n_top, n_bins = check_integer(n_top, "n_top", 0), check_integer(n_bins, "n_bins", 0)
    n_per_bin = check_integer(n_per_bin, "n_per_bin", 1)
    coded, seed = CodedRows(estimator, X, "top_activations"), draw_seed(random_state)
    numbers = check_latents(latents, coded.shape[1])
    n_sample = max(N_SAMPLED, 4 * n_bins * n_per_bin) if n_bins else 0
    activity = find_activity(coded, numbers, n_top, n_sample, seed)
    drawn, bins = quantile_bins(activity, n_bins, n_per_bin)
    entries = np.concatenate([activity.top, drawn])
    bins = np.concatenate([np.zeros(len(activity.top), dtype=np.int64), bins])
    order = np.lexsort((bins, entries["group"]))
    entries = entries[order]
    return make_frame(
        latent=numbers[entries["group"]],
        bin=bins[order],
        row=entries["row"],
        code=entries["code"],
    )


def draw_seed(random_state: Any) -> int:
    """Return the one number that all else which is random follows from."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def check_latents(latents: Any, n_latents: int) -> np.ndarray:
    """Return the numbers of the latents that are asked for; None asks for all."""
    if latents is None:
        return np.arange(n_latents)
    numbers = np.asarray(latents).reshape(-1)
    if not numbers.size:
        raise ValueError("latents are none, got []; pass one at least, or None for all.")
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"latents must be integers, got {latents!r}.")
    outside = numbers[(numbers < 0) | (numbers >= n_latents)]
    if len(outside):
        raise ValueError(f"latents must be from 0 to {n_latents - 1}, got {outside[0]}.")
    return numbers
