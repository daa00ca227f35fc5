"""The training losses of estimators, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._given import check_given
from .._pipeline import last_step
from ._matplotlib import find_panels, on_one_line
from ._named import named_estimators

# Of Okabe and Ito (2008), told apart by the colour-blind.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#000000")


class LossCurveDisplay:
    """Training losses by epoch.

    Parameters
    ----------
    curves : dict of str to array-like of shape (n_epochs,)
        Losses by name.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes
        Where the curves are.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import TopKSAE
    >>> from skamort.inspection import LossCurveDisplay
    >>> X = load_digits().data
    >>> fast, slow = (TopKSAE(64, k=4, learning_rate=rate, max_iter=20, tol=0, random_state=0)
    ...               for rate in (1e-2, 1e-3))
    >>> import warnings; warnings.simplefilter("ignore")  # neither has come to its end
    >>> display = LossCurveDisplay.from_estimators({"fast": fast.fit(X), "slow": slow.fit(X)})
    >>> display.ax_.get_xlabel()
    'epoch'
    """

    def __init__(self, curves: Mapping[str, Any]):
        self.curves = curves

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any] | Any, *, ax: Any = None
    ) -> LossCurveDisplay:
        """Draw the losses of fitted estimators.

        Parameters
        ----------
        estimators : dict, list of (str, estimator) tuples, list of estimators, or an estimator
            Fitted, with a `loss_curve_`.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            An estimator without losses: not fitted, or fitted without epochs.
        """
        named = named_estimators(estimators, "LossCurveDisplay", "fit")
        estimators = {name: last_step(each) for name, each in named.items()}
        without = [name for name, each in estimators.items() if not hasattr(each, "loss_curve_")]
        if without:
            raise ValueError(
                f"LossCurveDisplay: {', '.join(map(str, without))} has no loss_curve_; pass fitted "
                "estimators that learn in epochs."
            )
        return cls({name: each.loss_curve_ for name, each in estimators.items()}).plot(ax)

    def plot(self, ax: Any = None) -> LossCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        is_mapping = isinstance(self.curves, Mapping) and self.curves
        check_given(is_mapping, self.curves, "LossCurveDisplay: curves", "losses by name")
        (self.ax_,) = find_panels("LossCurveDisplay", ax, "display", 1, (5.2, 3.6))
        self.figure_ = self.ax_.figure
        for i, (name, losses) in enumerate(self.curves.items()):
            losses = np.asarray(losses, dtype=float)
            color = _COLORS[i % len(_COLORS)]
            self.ax_.plot(
                np.arange(1, len(losses) + 1), losses, color=color, label=on_one_line(name)
            )
        self.ax_.set_xlabel("epoch")
        self.ax_.set_ylabel("training loss")
        if all(np.min(losses, initial=np.inf) > 0 for losses in self.curves.values()):
            self.ax_.set_yscale("log")
        if len(self.curves) > 1:
            for text in self.ax_.legend(frameon=False).get_texts():
                text.set_parse_math(False)
        self.ax_.grid(color="0.9")
        self.ax_.set_axisbelow(True)
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self
