"""Many small models at once: a grid of parameters, or many seeds, as one computation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import ParameterGrid

from .._fitted import check_estimator_given
from .._given import check_given
from .._pipeline import seed_name
from ..training import Job
from ..training.batched import train
from ._base_trained import BaseTrainedEncoder
from ._shared_rows import SharedRows
from ._usefulness import note_divergence, reader, warn_of_fits


@torch.inference_mode(False)
def fit_many(
    estimator: BaseEstimator,
    X: Any,
    param_grid: Mapping[str, Sequence] | Sequence[Mapping[str, Sequence]],
    random_states: Iterable[int] | None = None,
    *,
    y: Any = None,
    sample_weight: Any = None,
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
    nothing else happens around a step: no `sample_weight`, `callbacks`, `dead_latents`, `schedule`,
    `multi_topk` or half precision. All else, and models too large to gain from it, are fitted one
    after the other, with the same result.

    On a GPU small models start on the host, and come back there: each moves to the GPU when it is
    first asked for codes.

    Parameters
    ----------
    estimator : estimator
        What to fit; it is cloned and stays as it is. Seeds of a Pipeline are those of its last
        step.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data.
    param_grid : dict of str to sequence, or sequence of such
        Parameters and the values to try, as `GridSearchCV` takes them; ``{}`` for none.
    random_states : iterable of int, default=None
        Seeds with which to fit each combination. None: the estimator's own `random_state` alone.
    y : array-like of shape (n_samples,), default=None
        Passed to `fit`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, as in `fit`.
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
        If the training of some diverged. They are returned not fitted.

    Examples
    --------
    Twelve models, and the best of three seeds for each `alpha`:

    >>> from sklearn.datasets import load_digits
    >>> from skamort import SAEEncoder
    >>> from skamort.estimators import fit_many
    >>> X = load_digits().data / 16
    >>> sae = SAEEncoder(n_components=32, tol=0.01)
    >>> alphas = [0.1, 0.2, 0.4, 0.8]
    >>> models = fit_many(sae, X, {"alpha": alphas}, random_states=range(3))
    >>> best = [min(models[i : i + 3], key=lambda m: m.loss_curve_[-1]) for i in range(0, 12, 3)]
    >>> [model.alpha for model in best]
    [0.1, 0.2, 0.4, 0.8]
    """
    check_estimator_given(estimator, "fit_many", ("fit", "set_params"), fitted=False)
    models = _make_models(estimator, param_grid, random_states)
    if any(getattr(model, "checkpoint", None) is not None for model in models):
        raise ValueError(
            "fit_many: models that are trained together save no checkpoints; set checkpoint=None."
        )
    if getattr(type(estimator), "fit", None) is not BaseTrainedEncoder.fit:
        given = {"codes": codes, "sample_weight": sample_weight}
        given = {name: value for name, value in given.items() if value is not None}
        return [model.fit(X, y, **given) for model in models]
    jobs = _prepare(models, X, y, sample_weight, codes, code_loss)
    train(jobs, verbose=bool(estimator.verbose))
    read = reader()
    note_divergence(jobs, read)
    for model, job in zip(models, jobs, strict=True):
        _finish(model, job)
    _warn_not_converged(jobs)
    warn_of_fits(jobs, "fit_many", read)
    return models


def _make_models(
    estimator: BaseEstimator,
    param_grid: Mapping[str, Sequence] | Sequence[Mapping[str, Sequence]],
    random_states: Iterable[int] | None,
) -> list[Any]:
    """Clone an estimator for every combination of parameters and every seed."""
    name = seed_name(estimator)
    seeds: list[dict[str, Any]] = [{}]
    if random_states is not None:
        is_some = isinstance(random_states, Iterable)
        check_given(is_some, random_states, "fit_many: random_states", "seeds, such as range(3)")
        seeds = [{name: seed} for seed in random_states]
    if not seeds:
        raise ValueError("fit_many: random_states is empty; pass at least one seed, or None.")
    return [
        clone(estimator).set_params(**parameters, **seed)
        for parameters in ParameterGrid(param_grid)
        for seed in seeds
    ]


def _prepare(models: list[Any], *fit_arguments: Any) -> list[Job]:
    """Do what a fit does before training; rows on the same device are checked, held and looked at
    once."""
    shared = SharedRows() if len(models) > 1 else None
    jobs = []
    for model in models:
        model._validate_params()
        jobs.append(model._prepare_fit(*fit_arguments, shared=shared))
    return jobs


def _finish(model: Any, job: Job) -> None:
    """Do what a fit does after training, or warn that it failed."""
    try:
        model._finish_fit(job)
    except ValueError as error:
        warnings.warn(
            f"fit_many: {model} could not be fitted. {error}", FitFailedWarning, stacklevel=3
        )


def _warn_not_converged(jobs: list[Job]) -> None:
    late = sum(job.error is None and not job.net.converged_ for job in jobs)
    if late:
        warnings.warn(
            f"fit_many: the training loss of {late} of {len(jobs)} models was still falling "
            "after max_iter epochs; raise max_iter or learning_rate, or raise tol if this is good "
            "enough.",
            ConvergenceWarning,
            stacklevel=3,
        )
