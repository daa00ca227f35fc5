"""A number of codes to reach, in place of the weight of a penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._rows import few_rows
from .._sample_weight import mean_of_rows
from ..modules import SparseAutoencoder, threshold_of_rows, thresholds_of_latents
from ..training import Sample, TargetL0, TrainingData
from ._declared import Declared, parameter
from ._dictionary import resolve_n_components
from ._parameters import POSITIVE
from ._parts import warn
from ._usefulness import are_alike

# Rows by which a threshold is set: the mean of their numbers of codes is known to a percent.
_ROWS = 1 << 14
# Rows of which the codes are counted, and the share by which they may be off without a word.
_LOOKED_AT = 2048
_TOLERANCE = 0.2
# By how much more codes may raise the error: training found those that it needed.
_WORSE = 1.1


class TargetL0Parameters(Declared):
    """A number of codes to reach.

    Parameters
    ----------
    target_l0 : float or None
        Mean number of active codes a sample, at most `n_components`, that `alpha`, which is then
        "auto", is to be adapted to in training. It begins with biases, or thresholds, that let each
        latent fire on its share of the rows, and `fit` ends by moving the threshold of activity of
        all latents at once, so that rows of X have as many. Where there is no bias to move, or rows
        need fewer and more would make their reconstruction worse, it leaves them, and warns of a
        number that is off by more than a fifth. ``partial_fit`` adapts `alpha` alone. Refused with
        known codes, which have a number of their own, and with ``encoder_bias=False``, which leaves
        no threshold but those of `JumpReLUSAE`. None: `alpha` stays as it is.
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

    def _check_training_data(self: Any, X: Any, codes: Any, *args: Any, **kwargs: Any) -> Any:
        if codes is not None and self.target_l0 is not None:
            raise ValueError(
                f"{type(self).__name__}: target_l0={self.target_l0} says how many codes are to be "
                "active, and known codes say it too; set target_l0=None to fit them."
            )
        return super()._check_training_data(X, codes, *args, **kwargs)  # type: ignore[misc]

    def _make_callbacks(self: Any, module: SparseAutoencoder, activity: Any) -> list:
        callbacks = super()._make_callbacks(module, activity)  # type: ignore[misc]
        if self.target_l0 is not None:
            self._check_target_l0()  # which may be another one than that of the first fit
            adapts = not getattr(self, "_rows_are_alike", False)
            callbacks.insert(0, ("target_l0", TargetL0(self.target_l0, adapts)))
        return callbacks

    def _look_for_variety(self: Any, sample: Sample) -> None:
        """Find out whether there are rows of several kinds, or nothing to adapt to."""
        self._rows_are_alike = sample.once("are alike", lambda: _are_alike(sample))

    def _starting_thresholds(
        self: Any,
        module: SparseAutoencoder,
        rows: Tensor,
        sample_weight: Tensor | None,
        most: float = 1.0,
    ) -> Tensor:
        """Return above which pre-activations each latent is active on its share of a few rows, with
        as many codes a row as are wanted, or on a share of `most`.

        One threshold for all would let latents of frequent directions fire on most rows and others
        on none, the more so the more there are.
        """
        A = module.encoder(module.center(rows))
        return thresholds_of_latents(A, min(self.target_l0 / A.shape[1], most), sample_weight)

    def _finish_training(self: Any, job: Any) -> None:
        super()._finish_training(job)  # type: ignore[misc]
        if self.target_l0 is not None:
            loss = job.net.criterion_
            alpha = job.net.callback("target_l0").alpha_
            self.alpha_ = alpha * self._unit ** (loss.degree - loss.penalty_degree)

    @torch.no_grad()
    def _settle(self: Any, data: TrainingData) -> None:
        if self.target_l0 is None:
            return
        sample = data.sample(torch.Generator())
        rows, alike = _few_of(sample), _are_alike(sample)
        if alike:
            l0, _ = _number_and_error(self.net_.module_, *rows)
            told = ", for they are all alike, with the same codes; pass rows that differ"
        else:
            l0, remedy = self._settle_unless_worse(data, rows)
            told = f"; {remedy}"
        self._warn_if_missed(l0, told)
        self.net_.converged_ |= alike  # which no epoch more would change

    def _settle_unless_worse(self: Any, data: TrainingData, rows: tuple) -> tuple[float, str]:
        """Move the threshold, but back where more codes make the error of rows larger; return the
        number of codes, and what to do where it is not that asked for."""
        module = self.net_.module_
        learned = {name: value.clone() for name, value in module.state_dict().items()}
        before, error = _number_and_error(module, *rows)
        self._settle_at(data, self.target_l0)
        l0, new_error = _number_and_error(module, *rows)
        if l0 > before and new_error > _WORSE * error:
            module.load_state_dict(learned)
            return before, "more would make their reconstruction worse: lower target_l0"
        if l0 < self.target_l0 and self.net_.callback("target_l0").is_least:
            return l0, "with hardly any penalty they have no more: lower target_l0"
        wait = "raise max_iter, as the penalty takes some 200 steps to adapt, or "
        return l0, f"{wait * (not self.net_.converged_)}set alpha instead"

    def _warn_if_missed(self: Any, l0: float, told: str) -> None:
        if abs(l0 - self.target_l0) > _TOLERANCE * self.target_l0:
            warn(
                f"{type(self).__name__}: rows have {l0:.3g} codes on average, not target_l0="
                f"{self.target_l0}{told}.",
                ConvergenceWarning,
                stacklevel=5,
            )


def _few_of(sample: Sample) -> tuple[Tensor, Tensor | None]:
    """Return some of the rows of a sample, and their weights."""
    few = few_rows(sample.X, _LOOKED_AT)
    return sample.X[few], None if sample.weights is None else sample.weights[few]


def _are_alike(sample: Sample) -> bool:
    X, weights = _few_of(sample)
    return are_alike(X, X - mean_of_rows(X, weights))


def _number_and_error(
    module: SparseAutoencoder, X: Tensor, weights: Tensor | None
) -> tuple[float, float]:
    """Return the mean number of codes of rows, and their mean squared error."""
    codes = module.encode(X)
    of_rows = (codes != 0).sum(1).to(X), (X - module.decoder(codes)).square().sum(1)
    number, error = (mean_of_rows(values, weights).item() for values in of_rows)
    return number, error


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
    sample = data.sample(torch.Generator())
    X = sample.X
    numbers = torch.arange(0, len(X), -(-len(X) // _ROWS), device=X[:1].device)
    return threshold_of_rows(
        lambda rows: level(module.encoder(module.center(rows))),
        X,
        n_active,
        len(module.decoder.dictionary),
        sample.weights,
        numbers,
    )
