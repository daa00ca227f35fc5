"""What a parameter trades: error, sparsity, dead latents and stability over its values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import clone

from .._decoder import decoder_of
from .._explained_variance import fraction_unexplained
from .._fitted import check_estimator_given
from .._given import check_given
from .._matrices import check_dense_or_csr
from .._pipeline import as_one_coder, seed_name
from ..metrics import dead_fraction, mean_l0, stability
from ._matplotlib import find_panels, import_pyplot
from ._table import check_table, make_table

_LABELS = {
    "fvu": "fraction of variance unexplained",
    "l0": "non-zero codes a row",
    "dead_fraction": "share of dead latents",
    "stability": "stability across seeds",
}
_LEAST_TOP = 0.1  # of an axis, or a few dead latents would fill it
_INK, _ELBOW = "#4c6a8c", "#e08a3c"


class SweepDisplay:
    """Error, sparsity, dead latents and stability over the values of a parameter.

    `score`, the variance explained, rewards dense codes, so that a grid search over `alpha`, `k` or
    `n_components` by it takes the densest. This shows what each value costs and brings. The elbow
    is marked: the value whose error lies farthest below the line between the first and the last,
    drawn against sparsity, or against the values where all are as sparse. It is where the curve
    bends most, no more: look whether it bends at all.

    Parameters
    ----------
    table : DataFrame
        One row a value: "value", "fvu", "l0", "dead_fraction", and "stability" where there are
        several seeds.
    param_name : str
        The parameter.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure that holds the panels.
    ax_ : ndarray of matplotlib Axes
        One for each column of the table, after the value.
    elbow_ : number or str
        The value at the elbow; its text where it is no number.

    See Also
    --------
    sklearn.model_selection.ValidationCurveDisplay : One score over the values of a parameter.
    skamort.estimators.fit_many : Fits them all at once.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import TopKSAE
    >>> from skamort.estimators import fit_many
    >>> from skamort.inspection import SweepDisplay
    >>> X = load_digits().data
    >>> display = SweepDisplay.from_estimator(
    ...     TopKSAE(32, tol=0.02), X[:500], X[500:], param_name="k",
    ...     param_range=[1, 2, 4, 8, 16], random_states=[0, 1], fit=fit_many)
    >>> display.elbow_ in (2, 4, 8)
    True
    """

    def __init__(self, table: Any, *, param_name: str):
        self.table = table
        self.param_name = param_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X_train: Any,
        X_test: Any,
        *,
        param_name: str,
        param_range: Sequence[Any],
        random_states: Sequence[int] | None = None,
        fit: Callable[..., list[Any]] | None = None,
        ax: Any = None,
    ) -> SweepDisplay:
        """Fit an estimator with each value, measure on other rows, and draw.

        Parameters
        ----------
        estimator : estimator
            What to fit; it is cloned and stays as it is. A :class:`sklearn.pipeline.Pipeline` is
            measured in the space of X, to which its steps before the last must map back linearly;
            seeds are those of its last step.
        X_train : array-like of shape (n_train_samples, n_features)
            Data to fit on.
        X_test : array-like of shape (n_samples, n_features)
            Data to encode, on which is measured.
        param_name : str
            The parameter, such as "alpha", "k" or "n_components"; of a Pipeline with the name of
            its step before it, as "topksae__k".
        param_range : sequence
            Its values, in the order in which they are drawn.
        random_states : sequence of int, default=None
            Seeds with which each value is fitted; figures are then means, and with two or more
            there is a panel of their stability.
        fit : callable, default=None
            :func:`skamort.estimators.fit_many`, which trains small models together. By default
            clones are fitted one after the other.
        ax : matplotlib Axes or array-like of Axes, default=None
            Where to draw, one for each panel. None makes a figure.

        Returns
        -------
        display : SweepDisplay
            Drawn; the figures are in its `table`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are fewer than two values.
        """
        import_pyplot(cls.__name__)  # what is missing is said before any fit
        check_estimator_given(estimator, cls.__name__, ("fit", "transform"), fitted=False)
        check_dense_or_csr(X_test, "X_test")
        check_given(isinstance(param_name, str), param_name, "SweepDisplay: param_name", "a str")
        is_range = isinstance(param_range, Iterable) and not isinstance(param_range, str)
        check_given(is_range, param_range, "SweepDisplay: param_range", "a list of values")
        seeds = random_states
        is_seeds = seeds is None or isinstance(seeds, Sized)
        check_given(is_seeds, seeds, "SweepDisplay: random_states", "a list of seeds or None")
        values = list(param_range)
        if len(values) < 2:
            raise ValueError(f"SweepDisplay: a sweep needs two values or more, got {values}.")
        if random_states is not None and not len(random_states):
            raise ValueError(
                "SweepDisplay: random_states must hold a seed at least; None for one fit."
            )
        fit = fit or _fit_each
        models = fit(estimator, X_train, {param_name: values}, random_states=random_states)
        models = [as_one_coder(model) for model in models]
        n_seeds = len(models) // len(values)
        rows = {
            str(value): {
                "value": _shown(value),
                **_measure(models[i * n_seeds : (i + 1) * n_seeds], X_test),
            }
            for i, value in enumerate(values)
        }
        return cls(make_table(rows), param_name=param_name).plot(ax)

    def plot(self, ax: Any = None) -> SweepDisplay:
        """Draw one panel for each column.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Where to draw, one for each panel. None makes a figure.

        Returns
        -------
        display : SweepDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            A wrong number of axes.
        """
        check_table(self.table, "SweepDisplay")
        measures = [name for name in _LABELS if name in self.table]
        size = (3.6 * len(measures), 3.4)
        self.ax_ = find_panels("SweepDisplay", ax, "measure", len(measures), size)
        self.figure_ = self.ax_[0].figure
        values = np.asarray(self.table["value"])
        elbow = _elbow(
            _abscissa(values, np.asarray(self.table["l0"])), np.asarray(self.table["fvu"])
        )
        self.elbow_ = values.tolist()[elbow]
        for axes, name in zip(self.ax_, measures, strict=True):
            self._draw(axes, values, np.asarray(self.table[name], dtype=float), elbow)
            axes.set_ylabel(_LABELS[name])
        return self

    def _draw(self, axes: Any, values: np.ndarray, measured: np.ndarray, elbow: int) -> None:
        axes.plot(values, measured, marker="o", color=_INK)
        axes.axvline(values[elbow], color=_ELBOW, linestyle="--", zorder=0)
        if _spans_decades(values):
            axes.set_xscale("log")
            axes.set_xticks(values, [f"{value:.3g}" for value in values])
            axes.minorticks_off()
        axes.set_ylim(0, max(1.08 * np.nanmax(measured), _LEAST_TOP))
        axes.set_xlabel(self.param_name, parse_math=False)
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)


def _fit_each(
    estimator: Any, X: Any, grid: dict[str, list[Any]], random_states: Sequence[int] | None
) -> list[Any]:
    ((name, values),) = grid.items()
    seeds = [{}] if random_states is None else [{seed_name(estimator): s} for s in random_states]
    return [
        clone(estimator).set_params(**{name: value}, **seed).fit(X)
        for value in values
        for seed in seeds
    ]


def _shown(value: Any) -> Any:
    """Return a value as an axis shows it: a number, or its text."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return value if is_number else str(value)


def _measure(models: list[Any], X: Any) -> dict[str, float]:
    """Return means over models that differ by their seeds."""
    each = [_measure_one(model, check_dense_or_csr(X, "X")) for model in models]
    means = {name: float(np.mean([row[name] for row in each])) for name in each[0]}
    return means | ({"stability": stability(models)} if len(models) > 1 else {})


def _measure_one(model: Any, X: Any) -> dict[str, float]:
    codes = check_dense_or_csr(model.transform(X))
    dictionary, intercept = decoder_of(model, codes)
    return {
        "fvu": fraction_unexplained(X, lambda rows: codes[rows] @ dictionary + intercept),
        "l0": mean_l0(codes),
        "dead_fraction": dead_fraction(codes),
    }


def _abscissa(values: np.ndarray, l0: np.ndarray) -> np.ndarray:
    """Return what the error is held against: sparsity, or where it hardly moves the values."""
    if np.ptp(l0) > 0.1 * l0.max():
        return l0
    if values.dtype.kind not in "iuf":
        return np.arange(len(values))
    return np.log(values) if _spans_decades(values) else values


def _elbow(along: np.ndarray, fvu: np.ndarray) -> int:
    """Return which point lies farthest below the line from the first to the last, both axes scaled
    to what they span."""
    order = np.argsort(along)
    x, y = (_scaled(each) for each in (along, fvu))
    first, last = order[0], order[-1]
    line = y[first] + (y[last] - y[first]) * (x - x[first]) / max(x[last] - x[first], 1e-300)
    return int(np.argmax(line - y))


def _scaled(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / max(np.ptp(values), 1e-300)


def _spans_decades(values: np.ndarray) -> bool:
    return values.dtype.kind in "iuf" and values.min() > 0 and values.max() >= 8 * values.min()
