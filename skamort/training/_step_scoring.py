"""Scores of held-out rows in the course of training, at steps evenly spaced on a log scale."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from .._matrices import check_matrix
from .._unit import times
from .._validation import check_integer
from ._callback import Setting

# What has been spent, at the start.
_COSTS = {"step": 0, "n_samples": 0, "flops": 0.0, "seconds": 0.0}


class StepScoring(Setting):
    """Score the codes of held-out rows now and then while an encoder is trained.

    skorch's ``EpochScoring`` scores after every epoch. Most of what training has to show happens in
    the first, and curves of encoders that cost differently are compared by operations or seconds;
    so this looks at steps that lie evenly on a log scale, before the first and after the last too,
    and writes down what had been spent. The time that scoring takes does not count.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows to encode; they are not trained on.
    scoring : callable or dict of str to callable
        What is called with their codes, ndarray of shape (n_samples, n_components), and the
        dictionary, ndarray of shape (n_components, n_features), and returns a number. A callable
        alone has the name "score".
    n_per_decade : int, default=10
        Looks from a number of steps to ten times as many.

    Attributes
    ----------
    curve_ : dict of str to list
        By name the figures of all looks, from first to last: "step", the steps done; "n_samples",
        the rows seen in them; "flops", their operations as :func:`skamort.metrics.flops` counts
        products; "seconds", by the clock; and the scores. After the last step the weights are those
        that training leaves: before `fit` moves thresholds to as many codes as it was asked for,
        and with the codes of training where `transform` has others.

    See Also
    --------
    skamort.inspection.TrainingCurveDisplay : Draws the scores.

    Notes
    -----
    A fit begins a new curve, ``partial_fit`` and a resumed one go on with theirs. In float16 and
    bfloat16 training the rows are encoded in the precision of the weights.

    Examples
    --------
    >>> from skamort import SAEEncoder
    >>> from skamort.datasets import make_published_signal
    >>> from skamort.metrics import latent_mcc
    >>> from skamort.training import StepScoring
    >>> X, dictionary, codes = make_published_signal(n_samples=512)
    >>> recovery = StepScoring(X[256:], lambda z, atoms: latent_mcc(codes[256:], z), n_per_decade=4)
    >>> sae = SAEEncoder(16, max_iter=25, tol=0, batch_size=64, random_state=0,
    ...                  callbacks=[recovery])
    >>> import warnings; warnings.simplefilter("ignore")  # it has not come to its end
    >>> _ = sae.fit(X[:256])
    >>> recovery.curve_["step"]
    [0, 1, 2, 4, 7, 12, 21, 37, 66, 100]
    >>> recovery.curve_["score"][0] < recovery.curve_["score"][-1]
    True
    """

    state = ("curve_", "next_", "spent_")
    capturable = ()

    def __init__(
        self,
        X: Any,
        scoring: Callable[..., float] | Mapping[str, Callable[..., float]],
        n_per_decade: int = 10,
    ):
        self.X = X
        self.scoring = scoring
        self.n_per_decade = n_per_decade

    def __repr__(self) -> str:
        return f"StepScoring({', '.join(self._scorers())}, n_per_decade={self.n_per_decade})"

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Look at the weights before the first step, or go on where a net has been trained."""
        self._check(net.module_.decoder.dictionary.shape[1])
        if not net.history:
            self.curve_, self.next_ = {}, 0
            self.spent_ = dict(_COSTS)
        self.clock_ = time.perf_counter()
        self._look_if_due(net)

    def on_batch_end(self, net, training=False, **kwargs):  # noqa: ARG002
        """Note what a step has cost, and look when it is time."""
        if training:
            n_rows = net.processes_.n_rows
            self.spent_["step"] += 1
            self.spent_["n_samples"] += n_rows
            self.spent_["flops"] += n_rows * net.criterion_.flops(net.module_)
            self._look_if_due(net)

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Look at the weights that remain, in the place of a look after the last step."""
        if self.curve_["step"][-1] == self.spent_["step"]:
            for figures in self.curve_.values():
                figures.pop()
        self._look(net)

    def _check(self, n_features):
        check_integer(self.n_per_decade, "StepScoring: n_per_decade", 1)
        self._check_scoring()
        given = check_matrix(self.X, "X").shape[1]
        if given != n_features:
            raise ValueError(
                f"StepScoring: the estimator is fitted on data of {n_features} features, got X of "
                f"{given}; pass rows of the same kind."
            )

    def _check_scoring(self):
        scorers = self._scorers()
        taken = sorted(_COSTS.keys() & scorers.keys())
        if taken or not scorers:
            raise ValueError(
                f"StepScoring: scoring needs scores with names other than {sorted(_COSTS)}, got "
                f"{taken or scorers}; give it a callable, or a dict of callables by name."
            )
        for name, score in scorers.items():
            if not callable(score):
                raise TypeError(
                    f"StepScoring: the score {name!r} must be callable, got {score!r}; pass a "
                    f"function of codes and dictionary."
                )

    def _look_if_due(self, net):
        step = self.spent_["step"]
        if step >= self.next_:
            self._look(net)
            self.next_ = max(step + 1, round(step * 10 ** (1 / self.n_per_decade)))

    def _look(self, net):
        self.spent_["seconds"] += time.perf_counter() - self.clock_
        codes = self._encode(net)
        dictionary = net.module_.decoder.dictionary.detach().cpu().numpy()
        scores = {
            name: _as_number(name, score(codes, dictionary))
            for name, score in self._scorers().items()
        }
        for name, figure in (self.spent_ | scores).items():
            self.curve_.setdefault(name, []).append(figure)
        self.clock_ = time.perf_counter()

    @torch.no_grad()
    def _encode(self, net):
        like = net.module_.decoder.dictionary
        X = torch.as_tensor(check_matrix(self.X, "X")).to(like)
        is_training = net.module_.training
        codes = net.module_.eval().encode(times(X, 1 / net.unit))
        net.module_.train(is_training)
        return times(codes, net.unit).cpu().numpy()

    def _scorers(self):
        return self.scoring if isinstance(self.scoring, Mapping) else {"score": self.scoring}


def _as_number(name: str, score: Any) -> float:
    number = np.asarray(score)
    if number.size == 1 and number.dtype.kind in "biuf":
        return float(number.item())
    raise TypeError(
        f"StepScoring: the score {name!r} must return a number, got {score!r}; return one, "
        "such as a mean."
    )
