"""How far to step, and how much to penalize, at each step of a run.

With t the step, from 0, of a run of n, and shares w and d of the run, the factor of the step size
is

    min(1, (t + 1) / (w n), (n - t) / (d n)):

it climbs in a line to 1, stays there, and falls in a line to almost 0. That of the penalty only
climbs. Both depend on the number of the step alone, so that a run taken up again goes on as it
would have.
"""

from __future__ import annotations

import math

from .._validation import check_real
from ._callback import Setting


def ramp(step: int, n_steps: int, warmup: float = 0.0, decay: float = 0.0) -> float:
    """Return the factor of a step, above 0 and at most 1.

    Parameters
    ----------
    step : int
        Steps before this one.
    n_steps : int
        Steps of the run.
    warmup, decay : float, default=0.0
        Shares of the run in which the factor climbs and falls.
    """
    factor = 1.0
    if warmup:
        factor = min(factor, (step + 1) / (warmup * n_steps))
    if decay:
        factor = min(factor, (n_steps - step) / (decay * n_steps))
    return factor


class Schedule(Setting):
    """Let the step size climb at the beginning and fall at the end, and the penalty climb.

    All is counted in steps of one `fit` of `max_iter` epochs. Where the loss ceases to fall before,
    the fall of the step size begins there, as long as its share of the steps until its end, and
    then training has converged. While the step size or the penalty climbs, it does not converge,
    and the history says so by ``warming_up`` at the end of an epoch. Losses are always told with
    all of the penalty.

    Parameters
    ----------
    warmup : float, default=0.0
        Share of the steps in which the step size climbs, in a line, to `learning_rate`.
    decay : float, default=0.0
        Share of the steps, the last ones, in which the step size falls to 0.
    alpha_warmup : float, default=0.0
        Share of the steps in which the penalty climbs, in a line, to `alpha`.

    References
    ----------
    Defazio, Cutkosky, Mehta and Mishchenko (2023), Optimal linear decay learning rate schedules and
    further refinements.

    Examples
    --------
    >>> from skamort import SAEEncoder
    >>> from skamort.training import Schedule
    >>> sae = SAEEncoder(schedule=Schedule(warmup=0.05, decay=0.2))
    >>> sae.set_params(schedule__decay=0.5).schedule
    Schedule(warmup=0.05, decay=0.5, alpha_warmup=0.0)
    """

    state = ("n_steps_", "epoch_steps_", "step_", "rates_", "ends_early_")
    batched = ()
    capturable = ()

    def __init__(self, warmup: float = 0.0, decay: float = 0.0, alpha_warmup: float = 0.0):
        self.warmup = warmup
        self.decay = decay
        self.alpha_warmup = alpha_warmup

    def check(self) -> Schedule:
        """Return the schedule itself.

        Raises
        ------
        TypeError or ValueError
            If a share is not one, or the step size would still climb when it begins to fall.
        """
        for name, share in self.get_params().items():
            if check_real(share, f"Schedule: {name}") > 1:
                raise ValueError(f"Schedule: {name} is a share, at most 1, got {share!r}.")
        if self.warmup + self.decay > 1:
            raise ValueError(
                f"Schedule: warmup={self.warmup:g} and decay={self.decay:g} are shares of one fit; "
                "choose them to add up to 1 or less."
            )
        return self

    def on_train_begin(self, net, X, **kwargs):  # noqa: ARG002
        """Find out how long the run is, and from where the step sizes come."""
        self.begin(net.max_epochs, len(net.get_iterator(X, training=True)))
        self.rates_ = [group["lr"] for group in net.optimizer_.param_groups]

    def begin(self, n_epochs, epoch_steps):
        """Start counting the steps of a run of `n_epochs` of `epoch_steps` each."""
        self.n_steps_, self.epoch_steps_ = n_epochs * epoch_steps, epoch_steps
        self.step_, self.ends_early_ = 0, False

    def on_batch_begin(self, net, training=False, **kwargs):  # noqa: ARG002
        """Set the step's factors."""
        if not training:
            return
        alpha_factor = ramp(self.step_, self.n_steps_, self.alpha_warmup)
        self._set(net, self.next_factor(), alpha_factor)

    def next_factor(self):
        """Return the factor of the step size of the next step, and count it."""
        factor = ramp(self.step_, self.n_steps_, self.warmup, self.decay)
        self.step_ += 1
        return factor

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Tell whether the warm-up is over."""
        net.history.record("warming_up", self.warming_up)

    @property
    def warming_up(self):
        """Whether the step size or the penalty still climbs."""
        return self.step_ < max(self.warmup, self.alpha_warmup) * self.n_steps_

    @property
    def is_falling(self):
        """Whether the step size has begun to fall."""
        return self.step_ > (1 - self.decay) * self.n_steps_

    @property
    def has_ended(self):
        """Whether the fall that began early is over."""
        return self.ends_early_ and self.step_ >= self.n_steps_

    def end_early(self):
        """Begin the fall of the step size now; tell whether there is one."""
        if not self.decay:
            return False
        share = self.step_ / self.epoch_steps_ / (1 - self.decay)
        n_epochs = math.ceil(round(share, 6))  # 2 / (1 - 0.9) is a little more than 20
        self.n_steps_ = min(self.n_steps_, n_epochs * self.epoch_steps_)
        self.ends_early_ = True
        return True

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Leave the full step size for what comes after."""
        self._set(net, 1.0, 1.0)

    def _set(self, net, rate_factor, alpha_factor):
        for group, rate in zip(net.optimizer_.param_groups, self.rates_, strict=True):
            group["lr"] = rate_factor * rate
        if self.alpha_warmup:
            net.criterion_.alpha_factor = alpha_factor
