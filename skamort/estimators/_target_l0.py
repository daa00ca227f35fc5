"""A number of codes to reach, in place of the weight of a penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..modules import SparseAutoencoder, threshold_of_rows
from ..training import TargetL0, TrainingData
from ._declared import Declared, parameter
from ._dictionary import resolve_n_components
from ._parameters import POSITIVE

# Rows by which a threshold is set: the mean of their numbers of codes is known to a percent.
_ROWS = 1 << 14


class TargetL0Parameters(Declared):
    """A number of codes to reach.

    Parameters
    ----------
    target_l0 : float or None
        Mean number of active codes a sample, at most `n_components`, that `alpha`, which is then
        "auto", is to be adapted to in training. `fit` ends by moving the threshold of activity of
        all latents at once, so that rows of X have exactly as many. None: `alpha` stays as it is.
    """

    target_l0: float | None = parameter(POSITIVE, None, default=None, may_change="warm")

    def _check_target_l0(self: Any) -> None:
        if self.target_l0 is None:
            return
        name, n_components = type(self).__name__, resolve_n_components(self)
        if self.alpha != "auto":
            raise ValueError(
                f"{name}: alpha={self.alpha} and target_l0={self.target_l0} both say how sparse "
                "codes are to be; leave out alpha to reach target_l0, or target_l0 to keep alpha."
            )
        if self.target_l0 > n_components:
            raise ValueError(
                f"{name}: target_l0={self.target_l0} exceeds n_components={n_components}; choose "
                "target_l0 <= n_components."
            )

    def _make_callbacks(self: Any, module: SparseAutoencoder, activity: Any) -> list:
        callbacks = super()._make_callbacks(module, activity)  # type: ignore[misc]
        if self.target_l0 is not None:
            callbacks.insert(0, ("target_l0", TargetL0(self.target_l0)))
        return callbacks

    def _finish_training(self: Any, job: Any) -> None:
        super()._finish_training(job)  # type: ignore[misc]
        if self.target_l0 is not None and not job.data.codes_known:
            loss = job.net.criterion_
            alpha = job.net.callback("target_l0").alpha_
            self.alpha_ = alpha * self._unit ** (loss.degree - loss.penalty_degree)

    def _settle(self: Any, data: TrainingData) -> None:
        if self.target_l0 is not None and not data.codes_known:
            self._settle_at(data, self.target_l0)


def threshold_of_data(
    module: SparseAutoencoder,
    data: TrainingData,
    n_active: float,
    level: Callable[[Tensor], Tensor] = lambda A: A,
) -> Tensor:
    """Return what a level of the pre-activations must exceed so that rows of the data have so many
    active codes on average, a scalar tensor.

    Parameters
    ----------
    module : SparseAutoencoder
        The model.
    data : TrainingData
        The data, in the module's unit.
    n_active : float
        Active codes a row.
    level : callable
        Maps pre-activations to what is compared with the threshold, numbers > 0.
    """
    _, (X, _, weights) = data.sample(torch.Generator())
    numbers = torch.arange(0, len(X), -(-len(X) // _ROWS), device=X[:1].device)
    return threshold_of_rows(
        lambda rows: level(module.encoder(module.center(rows))),
        X,
        n_active,
        len(module.decoder.dictionary),
        weights,
        numbers,
    )
