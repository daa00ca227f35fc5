"""Activations of a torch model collected, reconstructions put back, and what it loses by them."""

from ._ablation import AblationEffect, ablation_effect
from ._activations import Activations
from ._collect import collect_activations, open_activations
from ._last_code import last_code
from ._loss_recovered import Interval, LossRecovered, loss_recovered
from ._splice import splice
from ._steer import steer

__all__ = [
    "AblationEffect",
    "Activations",
    "Interval",
    "LossRecovered",
    "ablation_effect",
    "collect_activations",
    "last_code",
    "loss_recovered",
    "open_activations",
    "splice",
    "steer",
]
