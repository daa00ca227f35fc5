"""The table of `compare_encoders` as panels of bars, one a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._compare import compare_encoders
from ._matplotlib import find_panels, import_pyplot, on_one_line
from ._table import check_table

_INK, _ACCENT = "#4c6a8c", "#e08a3c"


@dataclass(frozen=True)
class _Panel:
    """How a column of the table is drawn; large numbers on a logarithmic scale."""

    title: str
    label: str
    log: bool = False


_PANELS = {
    "objective": _Panel("Objective", "lower is better\norange: amortization gap (+ %)"),
    "gap": _Panel("Amortization gap", "of the objective, lower is better"),
    "fvu": _Panel("Variance unexplained", "fraction, lower is better"),
    "l0": _Panel("L0", "non-zero codes per sample"),
    "dead_fraction": _Panel("Dead atoms", "fraction, lower is better"),
    "latent_mcc": _Panel("Latent MCC", "higher is better"),
    "dictionary_mcc": _Panel("Dictionary MCC", "higher is better"),
    "fit_seconds": _Panel("Time to fit", "seconds, log scale", log=True),
    "samples_per_second": _Panel("Speed of transform", "samples per second, log scale", log=True),
    "n_parameters": _Panel("Parameters", "count, log scale", log=True),
}
_DEFAULT = ("objective", "fvu", "l0", "latent_mcc", "dictionary_mcc", "samples_per_second")


class ComparisonDisplay:
    """Comparison of encoders, one panel a figure.

    The panel of the objective splits each bar into the best objective for the encoder's dictionary
    and what the encoder adds to it, the amortization gap.

    Parameters
    ----------
    table : DataFrame
        One row an encoder, one column a figure, as :func:`compare_encoders` returns it.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure that holds the panels.
    ax_ : ndarray of matplotlib Axes
        One a panel.

    See Also
    --------
    compare_encoders : Makes the table.

    Examples
    --------
    >>> from sklearn.decomposition import PCA, TruncatedSVD
    >>> from skamort.datasets import load_image_patches
    >>> from skamort.inspection import ComparisonDisplay
    >>> X = load_image_patches(500, patch_size=8, random_state=0)
    >>> display = ComparisonDisplay.from_estimators(
    ...     [PCA(10), TruncatedSVD(10, random_state=0)], X[:400], X[400:], alpha=0.1)
    >>> len(display.ax_)
    4
    """

    def __init__(self, table: Any):
        self.table = table

    @classmethod
    def from_estimators(
        cls,
        estimators: Any,
        X_train: Any,
        X_test: Any,
        *,
        alpha: float,
        codes: Any = None,
        dictionary: Any = None,
        ax: Any = None,
        columns: Any = None,
    ) -> ComparisonDisplay:
        """Compare estimators and draw the comparison.

        Parameters
        ----------
        estimators : dict, list of (str, estimator) tuples, list of estimators, or an estimator
            Transformers by name, or named by their classes; what is not fitted is cloned and
            fitted on `X_train`.
        X_train : array-like of shape (n_train_samples, n_features)
            Data to fit on.
        X_test : array-like of shape (n_samples, n_features)
            Data to encode, on which the figures are measured.
        alpha : float
            Weight of the L1 norm in the objective that judges all encoders.
        codes : {array-like, sparse matrix} of shape (n_samples, n_components_true), default=None
            True codes of `X_test`, where they are known.
        dictionary : array-like of shape (n_components_true, n_features), default=None
            True dictionary, where it is known.
        ax : matplotlib Axes or array-like of Axes, default=None
            Where to draw, one for each of `columns`. None makes a figure.
        columns : list of str or str, default=None
            Columns of the table to draw. None takes objective, variance unexplained, L0, the mean
            correlations where they are known, and speed.

        Returns
        -------
        display : ComparisonDisplay
            Drawn; the figures are in its `table`.
        """
        import_pyplot(cls.__name__)  # what is missing is said before any fit
        table = compare_encoders(
            estimators, X_train, X_test, alpha=alpha, codes=codes, dictionary=dictionary
        )
        return cls(table).plot(ax, columns=columns)

    def plot(self, ax: Any = None, *, columns: Any = None) -> ComparisonDisplay:
        """Draw the comparison.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Where to draw, one for each of `columns`. None makes a figure.
        columns : list of str or str, default=None
            Columns of the table to draw. None takes objective, variance unexplained, L0, the mean
            correlations where they are known, and speed.

        Returns
        -------
        display : ComparisonDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            A column that the table does not have, or a wrong number of axes.
        """
        check_table(self.table, "ComparisonDisplay")
        columns = self._check_columns(columns)
        names = [on_one_line(name) for name in self.table.index]
        longest = max(map(len, names))
        size = (0.085 * longest + 2.4 * len(columns) + 0.2, 0.36 * len(names) + 1.5)
        self.ax_ = find_panels("ComparisonDisplay", ax, "column", len(columns), size)
        self.figure_ = self.ax_[0].figure
        for axes, column in zip(self.ax_, columns, strict=True):
            self._draw(axes, column)
            shown = names if axes is self.ax_[0] else []
            axes.set_yticks(range(len(names)), shown, parse_math=False)
        return self

    def _check_columns(self, columns: Any) -> list[str]:
        if columns is None:
            return [column for column in _DEFAULT if column in self.table]
        columns = [columns] if isinstance(columns, str) else list(columns)
        known = [column for column in _PANELS if column in self.table]
        unknown = [column for column in columns if column not in known]
        if unknown or not columns:
            raise ValueError(
                f"ComparisonDisplay: the table has no columns {unknown}; choose from {known}."
            )
        return columns

    def _draw(self, axes: Any, column: str) -> None:
        panel = _PANELS[column]
        values = self._values(column)
        _draw_values(axes, values, panel.log)
        if column == "objective":
            gap = self._values("gap")
            axes.barh(np.arange(len(gap)), gap, left=values - gap, height=0.62, color=_ACCENT)
        _annotate(axes, values, self._labels(column))
        axes.set_title(panel.title, loc="left", fontsize="medium", fontweight="bold")
        axes.set_xlabel(panel.label, fontsize="small", loc="left")
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.tick_params(axis="x", labelsize="small")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)

    def _values(self, column: str) -> np.ndarray:
        return np.asarray(self.table[column], dtype=float)

    def _labels(self, column: str) -> list[str]:
        """The figures in words, as they stand at the end of the bars."""
        values = self._values(column)
        if column == "objective":
            gap = self._values("gap")
            share = gap / np.maximum(values - gap, np.finfo(float).tiny)
            pairs = zip(map(_short, values), 100 * share, strict=True)
            return [told if np.isnan(more) else f"{told} (+{more:.1f} %)" for told, more in pairs]
        if column == "gap":
            bounds = zip(values, self._values("gap_upper"), strict=True)
            return [f"0 to {high:.2g}" if low <= high / 2 else _short(low) for low, high in bounds]
        return [_short(value) for value in values]


def _draw_values(axes: Any, values: np.ndarray, log: bool) -> None:
    """Bars from 0, or points where a logarithmic scale has no 0."""
    y = np.arange(len(values))
    if log:
        axes.plot(values, y, "o", color=_INK)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter("")
    else:
        axes.barh(y, values, height=0.62, color=_INK)


def _short(value: float) -> str:
    """Three digits, with k or M for thousands and millions; n/a for NaN."""
    if np.isnan(value):
        return "n/a"
    unit = ""
    for limit, name in ((1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * limit:
            value, unit = value / limit, name
            break
    return f"{value:#.3g}".rstrip(".") + unit


def _annotate(axes: Any, values: np.ndarray, labels: list[str]) -> None:
    """Write a label at the end of each bar, and make room for the longest."""
    room = 0.04 + 0.036 * max(map(len, labels))
    known = values[np.isfinite(values)]
    if axes.get_xscale() == "log":
        low, high = (known.min(), known.max()) if known.size else (1, 10)
        span = max(np.log10(high / low), 1)
        axes.set_xlim(low / 10 ** (0.1 * span), high * 10 ** (room * span / (1 - room)))
    else:
        axes.set_xlim(0, (known.max(initial=0) or 1) / (1 - room))
    left = axes.get_xlim()[0]
    for row, (value, label) in enumerate(zip(values, labels, strict=True)):
        axes.annotate(
            label,
            (value if np.isfinite(value) else left, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color="0.25",
        )
