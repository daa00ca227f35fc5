"""What a model loses where reconstructions stand in for a layer's output.

With C the mean loss of the clean model, S with reconstructions and A with the layer's mean instead,

    loss recovered = (A - S) / (A - C)

which is 1 where nothing is lost and 0 where reconstructions are worth no more than the mean. Its
interval takes texts as what was drawn at random: with c_i, s_i, a_i sums over text i and r the
ratio, the variance of r is n / (n - 1) sum_i (a_i - s_i - r (a_i - c_i))^2 / (sum_i a_i - c_i)^2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn import functional

from .._fitted import check_estimator_given
from ._layer import call, check_batches, evaluated, inputs_of, read_layer
from ._positions import Mask, kept_positions
from ._splice import Rewrite, Transformer, reconstruct, replaced_rows

LossFunction = Callable[[Any, Any], Tensor]
_LOSSES = ("clean", "spliced", "mean_ablated", "zero_ablated")


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval.

    Parameters
    ----------
    mean : float
        The mean.
    low, high : float
        The ends.

    Examples
    --------
    >>> from skamort.hooks import Interval
    >>> print(Interval(0.5, low=0.4, high=0.6))
    0.5 (0.4 to 0.6)
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class LossRecovered:
    """Losses of a model, as it is and with its layer replaced.

    Each has a ``mean`` and the ends of its confidence interval, ``low`` and ``high``, over texts.

    Parameters
    ----------
    clean : Interval
        Loss of the model as it is.
    spliced : Interval
        With reconstructions.
    mean_ablated, zero_ablated : Interval
        With the mean activation, or zero, at every position instead.
    recovered : Interval
        The share of what mean ablation loses that reconstructions keep; NaN where it loses nothing.
    recovered_from_zero : Interval
        The same against zero ablation; easier, so nearer to 1.
    kl : Interval or None
        Kullback-Leibler divergence of the predictions with reconstructions from the clean ones, in
        nats; None where the output has no logits.
    n_losses : int
        Predictions counted.
    by_text : dict of str to ndarray of shape (n_texts,)
        ``clean``, ``spliced``, ``mean_ablated`` and ``zero_ablated`` as means over each text, NaN
        for a text without a prediction. Two estimators compare best text by text, since all find
        the same texts hard.

    See Also
    --------
    loss_recovered : What measures them, with an example.

    Examples
    --------
    >>> from skamort.hooks import Interval, LossRecovered
    >>> same = Interval(1.0, 0.9, 1.1)
    >>> losses = LossRecovered(same, same, same, same, same, same, kl=None, n_losses=100)
    >>> losses.recovered.low
    0.9
    """

    clean: Interval
    spliced: Interval
    mean_ablated: Interval
    zero_ablated: Interval
    recovered: Interval
    recovered_from_zero: Interval
    kl: Interval | None
    n_losses: int
    by_text: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        shown = ((f.name.replace("_", " "), getattr(self, f.name)) for f in fields(self) if f.repr)
        return "\n".join(f"{name:20} {value}" for name, value in shown)


def loss_recovered(
    model: nn.Module,
    layer: str,
    estimator: Transformer,
    batches: Iterable[Any],
    loss: LossFunction | None = None,
    *,
    mask: Mask | None = None,
    skip: int = 1,
    confidence: float = 0.95,
) -> LossRecovered:
    """Measure what a model loses with reconstructions in place of a layer's output.

    Parameters
    ----------
    model : torch.nn.Module
        Runs in eval mode, without gradients; left as it was.
    layer : str
        The name of a submodule, as in :func:`collect_activations`.
    estimator : object with ``transform`` and ``inverse_transform``
        Any fitted estimator of skamort or scikit-learn.
    batches : iterable of tensor, dict or tuple
        What the model is called with. They are held in memory.
    loss : callable, default=None
        Given the model's output and the batch, returns a tensor of losses of shape (n_texts,) or
        (n_texts, n_predictions), NaN where there is nothing to predict. By default the
        cross-entropy of the next token in nats, for outputs that are logits or have ``logits``.
    mask : callable, default=None
        Returns, for a batch, which rows are replaced. All are by default, but for padding.
    skip : int, default=1
        First positions of each text that stay as they are.
    confidence : float, default=0.95
        Of the intervals, between 0 and 1.

    Returns
    -------
    losses : LossRecovered
        Each with its interval.

    Raises
    ------
    ValueError
        If there is no such layer, no row is replaced, there is one text only, or a loss is infinite
        or has no row for each text.

    See Also
    --------
    splice : The same model, to work with.

    Notes
    -----
    The loss recovered is that of Gao et al. (2024, section 4.1) and of the packages for sparse
    autoencoders, against the mean.

    Examples
    --------
    >>> import torch
    >>> from sklearn.decomposition import PCA
    >>> from skamort.hooks import collect_activations, loss_recovered
    >>> repeats = torch.nn.Embedding.from_pretrained(5 * torch.eye(8))  # expects the same token
    >>> model = torch.nn.Sequential(repeats, torch.nn.Identity())
    >>> texts = [torch.arange(8).repeat(10, 1).T]
    >>> rows = collect_activations(model, "0", texts, dtype="float32").rows
    >>> losses = loss_recovered(model, "0", PCA(n_components=7).fit(rows), texts)
    >>> round(losses.recovered.mean, 3)
    1.0
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}.")
    check_estimator_given(estimator, "loss_recovered", ("transform", "inverse_transform"))
    check_batches(batches)
    batches = list(batches)

    def kept(batch: Any, shape: torch.Size) -> Tensor:
        return kept_positions(shape, batch, mask, skip)

    with evaluated(model), torch.no_grad():
        mean = _mean_activation(model, layer, batches, kept)
        sums = partial(_losses, model, layer, estimator, mean, loss or next_token_loss, kept)
        by_text = torch.cat([sums(batch) for batch in batches]).numpy()
    return _summary(by_text, norm.ppf((1 + confidence) / 2))


def next_token_loss(output: Any, batch: Any) -> Tensor:
    """Return the cross-entropy of each next token, in nats; NaN at padding."""
    tokens = inputs_of(batch).to(logits_of(output).device)
    losses = functional.cross_entropy(
        logits_of(output)[:, :-1].transpose(1, 2).float(), tokens[:, 1:], reduction="none"
    )
    kept = batch.get("attention_mask") if hasattr(batch, "get") else None
    if kept is not None:
        kept = torch.as_tensor(kept, device=losses.device).bool()
        losses = losses.where(kept[:, 1:] & kept[:, :-1], torch.nan)
    return losses


def logits_of(output: Any) -> Tensor:
    """Return the logits of an output."""
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.ndim != 3:
        raise TypeError(
            "the model's output must be logits of shape (n_texts, n_positions, n_tokens) or have "
            f"them, got {type(output).__name__}; give `loss`, a callable of output and batch."
        )
    return logits


def _mean_activation(
    model: nn.Module, layer: str, batches: list[Any], kept: Callable[[Any, torch.Size], Tensor]
) -> Tensor:
    total, n_rows = torch.zeros(()), 0
    for batch in batches:
        values = read_layer(model, layer, batch)
        rows = values[kept(batch, values.shape[:-1]).to(values.device)]
        total = total.to(rows.device) + rows.double().sum(0)
        n_rows += len(rows)
    if not n_rows:
        raise ValueError(
            f"no row of layer {layer!r} is replaced; look at `batches`, `mask`, `skip`."
        )
    return (total / n_rows).float()


def _losses(
    model: nn.Module,
    layer: str,
    estimator: Transformer,
    mean: Tensor,
    loss: LossFunction,
    kept: Callable[[Any, torch.Size], Tensor],
    batch: Any,
) -> Tensor:
    """Return sums for each text: count, four losses, divergence."""

    def run(new: Rewrite) -> Any:
        with replaced_rows(model, layer, new, partial(kept, batch)):
            return call(model, batch)

    clean, spliced = call(model, batch), run(partial(reconstruct, estimator))
    outputs = clean, spliced, run(lambda rows: mean.expand_as(rows)), run(torch.zeros_like)
    losses = [_by_text(loss(output, batch), batch) for output in outputs]
    counted = losses[0].isfinite()
    if any((each.isfinite() != counted).any() for each in losses):
        raise ValueError(f"`loss` is NaN with layer {layer!r} replaced where it was not before.")
    sums = [counted.sum(1), *(each.nansum(1) for each in losses)]
    sums.append(_divergence(clean, spliced, counted))
    return torch.stack([each.double().cpu() for each in sums], 1)


def _by_text(losses: Any, batch: Any) -> Tensor:
    losses, n_texts = torch.as_tensor(losses), len(inputs_of(batch))
    if losses.ndim == 0 or len(losses) != n_texts or losses.isinf().any():
        raise ValueError(
            f"`loss` must return finite losses, or NaN, in a row for each of {n_texts} texts, got "
            f"shape {tuple(losses.shape)}" + (" with infinity." if losses.isinf().any() else ".")
        )
    return losses.reshape(n_texts, -1)


def _divergence(clean: Any, output: Any, counted: Tensor) -> Tensor:
    """Return the divergence of the predictions that are counted, summed for each text; NaN where
    the losses are not those of a prediction at each position."""
    logits = getattr(clean, "logits", clean)
    n_predictions = counted.shape[1]
    if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[1] < n_predictions:
        return torch.full((len(counted),), torch.nan)
    log_clean, log_new = (
        logits_of(each)[:, :n_predictions].float().log_softmax(-1) for each in (clean, output)
    )
    each = (log_clean.exp() * (log_clean - log_new)).sum(-1)
    return each.where(counted, 0).sum(1)


def _summary(sums: np.ndarray, z: float) -> LossRecovered:
    if len(sums) < 2:
        raise ValueError("an interval needs two texts at least, got 1.")
    count, clean, spliced, ablated, zeroed, divergence = sums.T
    means = sums.T[1:5] / np.where(count, count, np.nan)
    per_prediction = partial(_ratio, below=count, z=z)
    return LossRecovered(
        clean=per_prediction(clean),
        spliced=per_prediction(spliced),
        mean_ablated=per_prediction(ablated),
        zero_ablated=per_prediction(zeroed),
        recovered=_recovered(clean, spliced, ablated, "mean", z),
        recovered_from_zero=_recovered(clean, spliced, zeroed, "zero", z),
        kl=None if np.isnan(divergence).any() else per_prediction(divergence),
        n_losses=int(count.sum()),
        by_text=dict(zip(_LOSSES, means, strict=True)),
    )


def _recovered(
    clean: np.ndarray, spliced: np.ndarray, ablated: np.ndarray, by: str, z: float
) -> Interval:
    """Return the share of what an ablation loses that is kept; NaN where it loses nothing."""
    if ablated.sum() <= clean.sum():
        warnings.warn(
            f"loss_recovered: the model does not lose by {by} ablation of this layer, so there is "
            "nothing to recover: NaN.",
            UserWarning,
            stacklevel=4,
        )
        return Interval(np.nan, np.nan, np.nan)
    return _ratio(ablated - spliced, ablated - clean, z)


def _ratio(above: np.ndarray, below: np.ndarray, z: float) -> Interval:
    """Return the ratio of two sums over texts with its interval."""
    n, ratio = len(above), above.sum() / below.sum()
    spread = np.sqrt(n / (n - 1) * ((above - ratio * below) ** 2).sum()) / abs(below.sum())
    return Interval(float(ratio), float(ratio - z * spread), float(ratio + z * spread))
