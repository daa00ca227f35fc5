"""Quality against what it costs to encode: floating point operations and seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._compare import compare_encoders
from ._labels import label_points
from ._matplotlib import find_panels, import_pyplot, on_one_line
from ._table import check_table, make_table

_INK, _FRONTIER = "#4c6a8c", "#e08a3c"
_LABELS = {
    "flops": "operations per sample",
    "seconds": "seconds per sample",
    "latent_mcc": "latent MCC",
    "dictionary_mcc": "dictionary MCC",
    "fvu": "fraction of variance unexplained",
    "gap": "amortization gap",
}
_HIGHER_IS_BETTER = {"latent_mcc", "dictionary_mcc"}


class ComputeFrontierDisplay:
    """Quality of encoders against the cost of encoding, with the frontier of the best.

    On the frontier are the encoders that none beats in quality at the same or a lower cost.

    Parameters
    ----------
    table : DataFrame
        One row an encoder: costs in "flops" (operations a sample) or "seconds" (a sample), either
        may be missing, and `quality`. NaN leaves a point out.
    quality : str, default="latent_mcc"
        Column of the table that is drawn upwards.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure that holds the panels.
    ax_ : ndarray of matplotlib Axes
        One a cost.
    frontiers_ : dict of list
        The encoders on the frontier of each cost, from cheap to expensive.

    See Also
    --------
    compare_encoders : Makes a table of all figures.
    skamort.metrics.flops : Counts operations.

    Examples
    --------
    >>> from sklearn.decomposition import PCA, TruncatedSVD
    >>> from skamort.datasets import load_image_patches
    >>> from skamort.inspection import ComputeFrontierDisplay
    >>> X = load_image_patches(500, patch_size=8, random_state=0)
    >>> display = ComputeFrontierDisplay.from_estimators(
    ...     {"few": PCA(5), "many": PCA(20)}, X[:400], X[400:], alpha=0.1, quality="fvu",
    ...     flops={"few": 640, "many": 2560})
    >>> display.frontiers_["flops"]
    ['few', 'many']
    """

    def __init__(self, table: Any, *, quality: str = "latent_mcc"):
        self.table = table
        self.quality = quality

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
        quality: str = "latent_mcc",
        flops: Any = None,
        ax: Any = None,
    ) -> ComputeFrontierDisplay:
        """Fit estimators, measure quality and seconds, and draw.

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
        quality : str, default="latent_mcc"
            Column of :func:`compare_encoders` to draw upwards.
        flops : dict, default=None
            Operations a sample by the estimator's name, or a function of a fitted estimator that
            returns them. None draws seconds alone.
        ax : matplotlib Axes or array-like of Axes, default=None
            Where to draw, one for each cost: "flops", "seconds". None makes a figure.

        Returns
        -------
        display : ComputeFrontierDisplay
            Drawn; the figures are in its `table`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            A quality that the comparison does not have.
        """
        import_pyplot(cls.__name__)  # what is missing is said before any fit
        compared, fitted = compare_encoders(
            estimators,
            X_train,
            X_test,
            alpha=alpha,
            codes=codes,
            dictionary=dictionary,
            return_estimators=True,
        )
        _check_column(compared, quality)
        rows = {}
        values = np.asarray(compared[quality], dtype=float)
        speeds = np.asarray(compared["samples_per_second"], dtype=float)
        for name, value, speed in zip(compared.index, values, speeds, strict=True):
            count = np.nan
            if name in fitted and flops is not None:
                count = flops(fitted[name]) if callable(flops) else flops.get(name, np.nan)
            costs = {} if flops is None else {"flops": float(count)}
            rows[name] = {**costs, "seconds": 1 / speed, quality: value}
        return cls(make_table(rows), quality=quality).plot(ax)

    def plot(self, ax: Any = None) -> ComputeFrontierDisplay:
        """Draw one panel for each cost that the table has.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Where to draw, one for each cost: "flops", "seconds". None makes a figure.

        Returns
        -------
        display : ComputeFrontierDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            A table without cost or quality, or a wrong number of axes.
        """
        check_table(self.table, "ComputeFrontierDisplay")
        _check_column(self.table, self.quality)
        costs = [cost for cost in ("flops", "seconds") if cost in self.table]
        if not costs:
            raise ValueError(
                "ComputeFrontierDisplay: the table has neither of the columns 'flops' and "
                "'seconds'; add a cost."
            )
        size = (5.2 * len(costs), 4.2)
        self.ax_ = find_panels("ComputeFrontierDisplay", ax, "cost", len(costs), size, sharey=True)
        self.figure_ = self.ax_[0].figure
        panels = dict(zip(costs, self.ax_, strict=True))
        self.frontiers_ = {cost: self._draw(axes, cost) for cost, axes in panels.items()}
        self.ax_[0].set_ylabel(_quality_label(self.quality), parse_math=False)
        for cost, axes in panels.items():  # once all else has its place
            names, points, best = self._points(cost)
            label_points(axes, names, points, _steps(points[best]))
        return self

    def _points(self, cost: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Names, points (cost, quality) where both are known, and which are on the frontier."""
        names = np.array([str(name) for name in self.table.index])
        points = np.column_stack([self.table[cost], self.table[self.quality]]).astype(float)
        known = np.isfinite(points).all(axis=1)
        names, points = names[known], points[known]
        sign = 1 if self.quality in _HIGHER_IS_BETTER else -1
        return names, points, _frontier(points[:, 0], sign * points[:, 1])

    def _draw(self, axes: Any, cost: str) -> list[str]:
        """Points and the frontier; return who is on it."""
        names, points, best = self._points(cost)
        axes.plot(*_steps(points[best]).T, color=_FRONTIER, zorder=1)
        axes.scatter(*points.T, color=_INK, zorder=2)
        axes.set_xscale("log")
        axes.margins(x=0.25, y=0.12)
        axes.set_xlabel(f"{_LABELS[cost]}, log scale")
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        return names[best].tolist()


def _steps(points: np.ndarray) -> np.ndarray:
    """Corners of a line along the axes: from each point to below or above the next, then there."""
    corners = np.repeat(points, 2, axis=0)[:-1]
    corners[1::2, 0] = points[1:, 0]
    return corners


def _frontier(cost: np.ndarray, quality: np.ndarray) -> list[int]:
    """Indices, from cheap to expensive, of what nothing at most as expensive equals or beats."""
    best, chosen = -np.inf, []
    for index in np.lexsort((-quality, cost)):
        if quality[index] > best:
            best = quality[index]
            chosen.append(int(index))
    return chosen


def _quality_label(quality: str) -> str:
    direction = "higher" if quality in _HIGHER_IS_BETTER else "lower"
    return f"{on_one_line(_LABELS.get(quality, quality))}, {direction} is better"


def _check_column(table: Any, quality: str) -> None:
    if quality not in table:
        columns = [str(column) for column in table]
        raise ValueError(
            f"ComputeFrontierDisplay: the table has no column {quality!r}, it has {columns}; "
            "pass codes or dictionary where the quality needs the truth."
        )
