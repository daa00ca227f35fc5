"""A number of codes to reach: the weight of the penalty as what a controller sets.

With y the log of the mean number of codes over the target and e its distance from a course that
falls to 0 by itself, every few steps

    log alpha = I + P e,   I <- I + c e,

the sum I of all errors and the error of the moment. The course spares latents a penalty that is far
too large for a time, of which they die.

While alpha moves losses do not compare: they rise with it however well the model learns. Such
epochs are called ``settling`` in the history, and neither end training nor give the best weights.
"""

from __future__ import annotations

import math

from ._callback import Stateful

# Steps between two looks, each of which makes a GPU wait, and those in which the course falls to
# 1/e. The gains are a compromise between 200 steps, in which codes are to become few, and many.
_EVERY = 8
_COURSE = 50
_PROPORTIONAL, _INTEGRAL = 0.5, 0.02
# Of the weight of the beginning, to the power by which weights go with sizes: less is no penalty.
_LEAST = 1e-4
# In logs: beyond it an error of the beginning would add up to what takes long to forget.
_LARGEST_ERROR = 1.0
_FEWEST = 0.01
# Settled is a weight that moves less than this, in logs, in so many epochs, with a number of codes
# that is no farther from the target, or the least weight.
_SETTLED, _EPOCHS = 0.05, 10


class TargetL0(Stateful):
    """Set the weight of the penalty so that samples have a number of codes on average.

    Parameters
    ----------
    target : float
        Mean number of codes.
    adapts : bool, default=True
        Whether the weight moves. Rows that are all alike have the same codes, of whose number no
        weight makes another mean: it would move without end.

    Attributes
    ----------
    alpha_ : float or None
        The weight to which it has come; None where the loss has no penalty, as for known codes.
    least_ : float
        A weight that is no penalty, below which it does not fall.
    """

    state = (
        "alpha_",
        "least_",
        "now_",
        "course_",
        "alphas_",
        "distance_",
        "n_codes_",
        "n_rows_",
        "n_steps_",
    )

    def __init__(self, target, adapts=True):
        self.target = target
        self.adapts = adapts

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Begin with the weight that the loss has; a net that goes on keeps to its course."""
        loss = net.criterion_
        self.alpha_ = self.now_ = getattr(loss, "alpha", None)
        if self.alpha_ is not None and not hasattr(self, "least_"):
            self.least_ = self.alpha_ * _LEAST ** (loss.degree - loss.penalty_degree)
        self.course_ = getattr(self, "course_", None)
        self.alphas_ = getattr(self, "alphas_", [])
        self.distance_ = math.inf
        # Counting goes on too, or chunks of a few steps would never come to a correction.
        for count in ("n_codes_", "n_rows_", "n_steps_"):
            setattr(self, count, getattr(self, count, 0))

    def on_batch_begin(self, net, training=False, **kwargs):  # noqa: ARG002
        """Set the weight."""
        if training and self.alpha_ is not None:
            net.criterion_.alpha = self.now_

    def on_batch_end(self, net, y_pred, training=False, **kwargs):  # noqa: ARG002
        """Count codes, and look at their number every few steps."""
        if not training or self.alpha_ is None or not self.adapts:
            return
        self._count(y_pred, net.criterion_.sample_weight, net.processes_)
        self.n_steps_ += 1
        if self.n_steps_ == _EVERY:
            self._correct(float(self.n_codes_) / float(self.n_rows_))
            self.n_codes_ = self.n_rows_ = self.n_steps_ = 0

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Say whether the weight still moves."""
        if self.alpha_ is not None:
            self.alphas_ = [*self.alphas_, self.alpha_][-_EPOCHS:]
            net.history.record("settling", not self._is_settled())

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Leave the weight to which it has come."""
        if self.alpha_ is not None:
            net.criterion_.alpha = self.alpha_

    @property
    def is_least(self):
        """Whether what is left of the penalty keeps no codes away."""
        return self.alpha_ is not None and self.alpha_ <= self.least_

    def _is_settled(self):
        if not self.adapts:
            return True
        moved = math.log(max(self.alphas_) / min(self.alphas_))
        distance = 0 if self.is_least else abs(self.distance_)
        return len(self.alphas_) == _EPOCHS and max(moved, distance) < _SETTLED

    def _count(self, codes, sample_weight, processes):
        if sample_weight is None:
            counts, n_rows = codes.firing_counts().sum(), processes.n_rows
        else:
            counts = codes.with_values(codes.values.sign()).sum(sample_weight)
            n_rows = processes.add(sample_weight.sum())
        self.n_codes_ = self.n_codes_ + processes.add(counts)
        self.n_rows_ = self.n_rows_ + n_rows

    def _correct(self, l0):
        distance = self.distance_ = math.log(max(l0 / self.target, _FEWEST))
        fall = math.exp(-_EVERY / _COURSE)
        self.course_ = distance if self.course_ is None else fall * self.course_
        error = max(-_LARGEST_ERROR, min(_LARGEST_ERROR, distance - self.course_))
        self.alpha_ = max(self.alpha_ * math.exp(_INTEGRAL * _EVERY * error), self.least_)
        self.now_ = self.alpha_ * math.exp(_PROPORTIONAL * error)
