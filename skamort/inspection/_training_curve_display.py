"""Scores of held-out rows in the course of training, by what had been spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._given import check_given
from .._pipeline import last_step
from ._matplotlib import find_panels, on_one_line
from ._named import named_estimators

# Of Okabe and Ito (2008), told apart by the colour-blind.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#000000")
_COSTS = {
    "step": "steps",
    "n_samples": "samples",
    "flops": "operations",
    "seconds": "seconds",
}


class TrainingCurveDisplay:
    """Scores against steps, operations and seconds of training, one panel a cost.

    Which encoder is ahead depends on what is held equal. A wide encoder that is ahead after as many
    steps may be behind after as many operations; `first_ahead` tells from when on it is not.

    Parameters
    ----------
    curves : dict of str to dict
        By name of the encoder what :class:`skamort.training.StepScoring` has written down, or
        anything like it, a DataFrame for example: "step", "n_samples", "flops", "seconds", of which
        those are drawn that all curves have, and scores. Figures of several runs can stand in a
        score as a list of lists, a list a look; their mean is drawn, in a band of a standard
        deviation.
    score_name : str, default=None
        Which score is drawn. None: the first that is no cost.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure that holds the panels.
    ax_ : ndarray of matplotlib Axes
        One a cost.

    See Also
    --------
    LossCurveDisplay : Training losses by epoch.
    sklearn.model_selection.LearningCurveDisplay : A score by the number of training samples.

    Examples
    --------
    >>> from skamort import MLPEncoder, SAEEncoder
    >>> from skamort.datasets import make_published_signal
    >>> from skamort.inspection import TrainingCurveDisplay
    >>> from skamort.metrics import latent_mcc
    >>> from skamort.training import StepScoring
    >>> X, dictionary, codes = make_published_signal(n_samples=512)
    >>> encoders = {"SAE": SAEEncoder(16), "MLP-32": MLPEncoder(16, hidden_layer_sizes=32)}
    >>> import warnings; warnings.simplefilter("ignore")  # neither has come to its end
    >>> for encoder in encoders.values():
    ...     scoring = StepScoring(X[256:], {"latent MCC": lambda z, D: latent_mcc(codes[256:], z)})
    ...     _ = encoder.set_params(max_iter=20, random_state=0, callbacks=[scoring]).fit(X[:256])
    >>> display = TrainingCurveDisplay.from_estimators(encoders)
    >>> [ax.get_xlabel() for ax in display.ax_]
    ['steps', 'samples', 'operations', 'seconds']
    """

    def __init__(self, curves: Mapping[str, Any], *, score_name: str | None = None):
        self.curves = curves
        self.score_name = score_name

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any] | Any, *, score_name: str | None = None, ax: Any = None
    ) -> TrainingCurveDisplay:
        """Draw the scores of fitted estimators.

        Parameters
        ----------
        estimators : dict, list of (str, estimator) tuples, list of estimators, or an estimator
            Fitted, with a :class:`skamort.training.StepScoring` among their `callbacks`.
        score_name : str, default=None
            Which score to draw. None for the first.
        ax : matplotlib Axes or array-like of Axes, default=None
            Where to draw, one for each cost. None makes a figure.

        Returns
        -------
        display : TrainingCurveDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            An estimator without such a callback or not fitted, or a score that a curve has not.
        """
        named = named_estimators(estimators, "TrainingCurveDisplay", "fit")
        estimators = {name: last_step(each) for name, each in named.items()}
        curves = {name: _curve_of(each) for name, each in estimators.items()}
        without = [str(name) for name, curve in curves.items() if curve is None]
        if without:
            raise ValueError(
                f"TrainingCurveDisplay: {', '.join(without)} has no curve; fit with "
                "callbacks=[StepScoring(...)]."
            )
        return cls(curves, score_name=score_name).plot(ax)

    def plot(self, ax: Any = None) -> TrainingCurveDisplay:
        """Draw one panel for each cost that all curves have.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Where to draw, one for each cost. None makes a figure.

        Returns
        -------
        display : TrainingCurveDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            Curves without a cost in common or without the score, or a wrong number of axes.
        """
        score_name = self._find_score()
        costs = [c for c in _COSTS if all(c in curve for curve in self.curves.values())]
        size = (3.6 * len(costs), 3.6)
        self.ax_ = find_panels("TrainingCurveDisplay", ax, "cost", len(costs), size, sharey=True)
        self.figure_ = self.ax_[0].figure
        for panel, cost in zip(self.ax_, costs, strict=True):
            for i, (name, curve) in enumerate(self.curves.items()):
                style = {"color": _COLORS[i % len(_COLORS)], "label": on_one_line(name)}
                _check_looks(name, curve, [*costs, score_name])
                begun = np.asarray(curve[costs[0]]) > 0  # what no log scale shows is left out
                _draw(panel, curve[cost], curve[score_name], begun, style)
            panel.set(xscale="log", xlabel=_COSTS[cost])
            panel.xaxis.set_minor_formatter("")  # within a decade their labels overlap
            panel.grid(color="0.9")
            panel.set_axisbelow(True)
            panel.spines[["top", "right"]].set_visible(False)
        self.ax_[0].set_ylabel(on_one_line(score_name), parse_math=False)
        for text in self.ax_[0].legend(frameon=False).get_texts():
            text.set_parse_math(False)
        return self

    def first_ahead(self, name: str, other: str, *, cost: str = "flops") -> float:
        """Return from what cost on one curve is at least as high as another.

        Parameters
        ----------
        name, other : str
            The curves.
        cost : {"step", "n_samples", "flops", "seconds"}, default="flops"
            What is held equal.

        Returns
        -------
        cost : float
            The first look of `name` from which on it stays above the score that `other` had at the
            same cost, or at its end where that was less; NaN where there is none.

        Raises
        ------
        ValueError
            A curve or a cost that is not there.
        """
        score_name = self._find_score()
        self._check_names(name, other)
        mine, theirs = self.curves[name], self.curves[other]
        if cost not in mine or cost not in theirs:
            shared = [c for c in _COSTS if self._all_have(c)]
            raise ValueError(
                f"TrainingCurveDisplay: cost={cost!r} is not in both curves; choose one "
                f"of {shared}."
            )
        costs = np.asarray(mine[cost], dtype=float)
        rival = np.interp(costs, np.asarray(theirs[cost], dtype=float), _mean(theirs[score_name]))
        is_behind = np.flatnonzero(_mean(mine[score_name]) < rival)
        first = 0 if not len(is_behind) else is_behind[-1] + 1
        return float(costs[first]) if first < len(costs) else float("nan")

    def _check_names(self, *names: str) -> None:
        for name in names:
            if name not in self.curves:
                raise ValueError(
                    f"TrainingCurveDisplay: there is no curve {name!r}; choose among "
                    f"{list(self.curves)}."
                )

    def _find_score(self) -> str:
        """Name of the score to draw, which every curve has."""
        is_mapping = isinstance(self.curves, Mapping) and self.curves
        check_given(is_mapping, self.curves, "TrainingCurveDisplay: curves", "curves by name")
        common = [n for n in next(iter(self.curves.values())) if self._all_have(n)]
        scores = [name for name in common if name not in _COSTS]
        name = self.score_name or next(iter(scores), "score")
        if name not in scores or len(scores) == len(common):
            raise ValueError(
                f"TrainingCurveDisplay: curves must share a cost and the score {name!r}, they "
                f"share {common}; pass a score_name that all have."
            )
        return name

    def _all_have(self, name: str) -> bool:
        return all(name in curve for curve in self.curves.values())


def _curve_of(estimator: Any) -> Any:
    """What the first callback that keeps a curve has written down, its own or its encoder's."""
    entries = getattr(getattr(estimator, "encoder_", estimator), "callbacks", None) or ()
    callbacks = (entry[1] if isinstance(entry, tuple) else entry for entry in entries)
    return next((c.curve_ for c in callbacks if hasattr(c, "curve_")), None)


def _check_looks(name: str, curve: Any, used: Sequence[str]) -> None:
    lengths = {key: len(curve[key]) for key in used}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"TrainingCurveDisplay: {name!r} needs as many figures of each cost and score, one a "
            f"look, got {lengths}; leave out the looks that some lack."
        )
    runs = sorted({np.size(figures) for figures in curve[used[-1]]})
    if len(runs) > 1:
        raise ValueError(
            f"TrainingCurveDisplay: {name!r} needs a figure of each run at every look at "
            f"{used[-1]!r}, got looks with {runs} figures; leave out the runs that some lack."
        )


def _mean(scores: Any) -> np.ndarray:
    values = np.asarray(scores, dtype=float)
    return values.reshape(len(values), -1).mean(axis=1)


def _draw(ax: Any, costs: Any, scores: Any, shown: np.ndarray, style: dict[str, Any]) -> None:
    """Draw a line, and a band where there are several runs."""
    costs, values = (np.asarray(each, dtype=float)[shown] for each in (costs, scores))
    mean = _mean(values)
    ax.plot(costs, mean, **style)
    if values.ndim > 1:
        std = values.std(axis=1)
        ax.fill_between(costs, mean - std, mean + std, color=style["color"], alpha=0.2, linewidth=0)
