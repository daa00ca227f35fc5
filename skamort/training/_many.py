"""Many small models at once: a grid of parameters, or many seeds, as one computation."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import ParameterGrid

from .._progress import progress_bar
from ..modules import MLP, LinearEncoder, ReLU, TopK
from ._callbacks import (
    BestWeights,
    ClearDenormals,
    ClipGradient,
    Progress,
    StopOnPlateau,
    UnitNormAtoms,
)
from ._code_regression_loss import CodeRegressionLoss
from ._data import InMemoryData, TrainingData
from ._dead_latents import LatentActivity
from ._net import SparseNet
from ._sparse_coding_loss import SparseCodingLoss
from ._stack_training import StackTraining

Run = tuple[SparseNet, TrainingData, TrainingData | None]

# Numbers that the widest layer yields in a step beyond which the step is so long that sharing it
# with other models gains nothing...
_MOST_ALONE = 1 << 20
# ...and numbers that a whole stack may hold.
_MOST_ELEMENTS = 1 << 24
# What a stack does around a step.
_KNOWN_CALLBACKS = {
    *(BestWeights, ClearDenormals, ClipGradient, LatentActivity),
    *(Progress, StopOnPlateau, UnitNormAtoms),
}


def fit_many(
    estimator: BaseEstimator,
    X: Any,
    param_grid: Mapping[str, Sequence] | Sequence[Mapping[str, Sequence]],
    random_states: Iterable[int] | None = None,
    *,
    y: Any = None,
    codes: Any = None,
    code_loss: str = "cosine",
) -> list[BaseEstimator]:
    """Fit an estimator with every combination of parameters and every seed, all at once.

    Models whose weights have the same shapes are trained as one: their weights are stacked, every
    product is a batched one, and each has its own `alpha`, `k`, `learning_rate`, `max_grad_norm`,
    `tol` or seed. A small model's training is mostly overhead, which they then share; on the CPU,
    where numba is installed, the steps of linear encoders are compiled. Each model ends as the one
    that is fitted alone, up to the rounding of sums taken in another order: the first weights, the
    order of the batches and the end of training are the same.

    Stacked are `SAEEncoder`, `TopKSAE`, `WeightedSAE` and `MLPEncoder` on data in memory, where
    nothing else happens around a step: no `callbacks`, `dead_latents`, `schedule`, `multi_topk` or
    half precision. All else, and models too large to gain from it, are fitted one after the other,
    with the same result.

    Parameters
    ----------
    estimator : estimator
        What to fit; it is cloned and stays as it is.
    X : array-like of shape (n_samples, n_features)
        Data.
    param_grid : dict of str to sequence, or sequence of such
        Parameters and the values to try, as `GridSearchCV` takes them; ``{}`` for none.
    random_states : iterable of int, default=None
        Seeds with which to fit each combination. None: the estimator's own `random_state` alone.
    y : array-like of shape (n_samples,), default=None
        Passed to `fit`.
    codes : array-like of shape (n_samples, n_components), default=None
        Known codes, as in the `fit` of trained encoders.
    code_loss : {"cosine", "squared_error"}, default="cosine"
        What to minimize where codes are known, as in `fit`.

    Returns
    -------
    list of estimators
        The fitted estimators: the combinations in the order of scikit-learn's `ParameterGrid`, and
        for each of them the seeds in their order.

    Raises
    ------
    ValueError
        If the data or the parameters break a rule, or `checkpoint` is set.

    Warns
    -----
    ConvergenceWarning
        If the loss of some was still falling after `max_iter` epochs.
    FitFailedWarning
        If the loss of some became infinite or NaN. They are returned not fitted.

    Examples
    --------
    Twelve models, and the best of three seeds for each `alpha`:

    >>> from sklearn.datasets import load_digits
    >>> from skamort import SAEEncoder
    >>> from skamort.training import fit_many
    >>> X = load_digits().data / 16
    >>> sae = SAEEncoder(n_components=32, tol=0.01)
    >>> alphas = [0.01, 0.03, 0.1, 0.3]
    >>> models = fit_many(sae, X, {"alpha": alphas}, random_states=range(3))
    >>> best = [min(models[i : i + 3], key=lambda m: m.loss_curve_[-1]) for i in range(0, 12, 3)]
    >>> [model.alpha for model in best]
    [0.01, 0.03, 0.1, 0.3]
    """
    seeds = [{}] if random_states is None else [{"random_state": seed} for seed in random_states]
    models = [
        clone(estimator).set_params(**parameters, **seed)
        for parameters in ParameterGrid(param_grid)
        for seed in seeds
    ]
    if any(getattr(model, "checkpoint", None) is not None for model in models):
        raise ValueError(
            "fit_many: models that are trained together save no checkpoints; set checkpoint=None."
        )
    if not hasattr(estimator, "_fit_in_halves"):
        known = {} if codes is None else {"codes": codes, "code_loss": code_loss}
        return [model.fit(X, y, **known) for model in models]
    shared: dict = {}
    halves = [model._fit_in_halves(X, y, codes, code_loss, shared) for model in models]
    runs = [next(half) for half in halves]
    errors = _train(runs, verbose=bool(getattr(estimator, "verbose", False)))
    for model, half, error in zip(models, halves, errors, strict=True):
        _finish(model, half, error)
    late = sum(
        error is None and not net.converged_ for (net, *_), error in zip(runs, errors, strict=True)
    )
    if late:
        warnings.warn(
            f"fit_many: the training loss of {late} of {len(models)} models was still falling "
            "after max_iter epochs; raise max_iter or learning_rate, or raise tol if this is good "
            "enough.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return models


def _finish(model: BaseEstimator, half: Iterator, error: ValueError | None) -> None:
    """Let a fit finish, or fail with a warning."""
    if error is None:
        next(half, None)
        return
    with suppress(ValueError):
        half.throw(error)
    warnings.warn(f"fit_many: {model} could not be fitted. {error}", FitFailedWarning, stacklevel=3)


def _train(runs: list[Run], verbose: bool) -> list[ValueError | None]:
    """Train nets on their data, together where they can be; return the error of each, or None."""
    errors: list[ValueError | None] = [None] * len(runs)
    for places in _stacks(runs):
        nets, *data = map(list, zip(*(runs[place] for place in places), strict=True))
        if len(places) == 1:
            errors[places[0]] = _train_alone(*runs[places[0]])
            continue
        stacked = StackTraining(nets, *data)
        n_epochs = max(net.max_epochs for net in nets)
        with progress_bar(n_epochs, f"{len(nets)} models", disable=not verbose) as bar:
            stacked.run(bar)
        for place, error in zip(places, stacked.errors, strict=True):
            errors[place] = error
    return errors


def _train_alone(net: SparseNet, *data: TrainingData | None) -> ValueError | None:
    try:
        net.partial_fit(*data)
    except ValueError as error:
        return error
    return None


def _stacks(runs: list[Run]) -> list[list[int]]:
    """Group the places of runs that are trained together, the largest k first."""
    groups = defaultdict(list)
    for place, run in enumerate(runs):
        groups[_kind(*run) or place].append(place)
    stacks = []
    for places in groups.values():
        places.sort(key=lambda place: -(runs[place][0].module_.activation.n_kept or 0))
        size = max(1, _MOST_ELEMENTS // _elements(*runs[places[0]]))
        stacks += [places[i : i + size] for i in range(0, len(places), size)]
    return stacks


def _kind(net: SparseNet, training: TrainingData, held_out: TrainingData | None) -> tuple | None:
    """Return what nets must have in common to be stacked; None where one cannot be at all."""
    module, loss = net.module_, net.criterion_
    if not (
        isinstance(training, InMemoryData)
        and type(module.activation) in {ReLU, TopK}
        and type(module.encoder) in {LinearEncoder, MLP}
        and type(loss) in {SparseCodingLoss, CodeRegressionLoss}
        and not getattr(loss, "multi_topk", False)
        and {type(callback) for _, callback in net.callbacks_} <= _KNOWN_CALLBACKS
        and net.product_dtype is None
        and _step_elements(net, training) <= _MOST_ALONE
    ):
        return None
    return (
        *(type(module.activation), type(loss), getattr(loss, "kind", None), net.batch_size),
        *((name, value.shape) for name, value in loss.named_buffers()),
        *((name, p.shape, p.requires_grad) for name, p in module.named_parameters()),
        *((tensor.shape, tensor.dtype, tensor.device) for tensor in training.tensors),
        None if held_out is None else len(held_out),
    )


def _step_elements(net: SparseNet, training: TrainingData) -> int:
    """Return the numbers that the widest layer yields for a batch."""
    widest = max(max(p.shape) for p in net.module_.parameters())
    return widest * min(net.batch_size, len(training))


def _elements(net: SparseNet, training: TrainingData, held_out: TrainingData | None) -> int:
    """Return how many numbers a net adds to a stack: those of a step, and rows of its own."""
    own_rows = 0 if held_out is None else training.n_elements
    return _step_elements(net, training) + own_rows
