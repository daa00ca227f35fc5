"""The threshold above which so many codes are active: the largest value that is not kept.

Of values v_1 >= v_2 >= ... > 0 with weights w the first ones are kept whose weights sum to no more
than a budget; the threshold is the next value, 0 where there is none. Values equal to it are not
kept, so that a row of weight 2 and a row that comes twice have one threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .._rows import Rows, rows_within

# Every so many values stand for all where a first bound is sought: a prime, so that no column of a
# matrix is left out.
_STRIDE = 61
_FEWEST_VALUES = 1 << 13
_ROUNDING = 1e-6


def largest_left_out(values: Tensor, budget: float, weights: Tensor | None = None) -> Tensor:
    """Return the threshold, a scalar tensor >= 0.

    Parameters
    ----------
    values : Tensor of shape (n_values,)
        The values; those that are not positive play no part.
    budget : float
        To how much the weights of those that are kept may sum.
    weights : Tensor of shape (n_values,), optional
        Their weights >= 0; all 1 when absent.
    """
    if weights is None:
        rank = int(budget) + 1
        if rank > len(values):
            return values.new_zeros(())
        return values.topk(rank, sorted=False).values.min().relu()
    values, order = values.sort(descending=True)
    kept = weights[order].double().cumsum(0) <= budget * (1 + _ROUNDING)
    return torch.where(kept, 0, values).amax().relu()


def candidates(values: Tensor, count: int) -> Tensor:
    """Return the places of some values, those of the `count` largest among them, in order."""
    if values.is_cuda:  # to look how many are above a bound would make it wait
        return values.topk(min(count, len(values)), sorted=False).indices.sort().values
    bound = next(likely_bounds(values[sample_places(len(values))], count))
    places = (values >= bound).nonzero().flatten()
    return places if len(places) >= count else torch.arange(len(values))


def sample_places(n_values: int) -> Tensor:
    """Return the places of some values that stand for all."""
    return torch.arange(0, n_values, _STRIDE)


def likely_bounds(few: Tensor, count: int) -> Iterator[Tensor | float]:
    """Yield bounds that most likely at least `count` of all values reach, and few others: each is
    lower than the one before, and the last is minus infinity.

    Parameters
    ----------
    few : Tensor of shape (n_places,)
        The values at `sample_places`.
    count : int
        How many.
    """
    expected = count / _STRIDE
    rank = round(expected + 4 * expected**0.5 + 4)
    while len(few) * _STRIDE >= _FEWEST_VALUES and rank <= len(few):
        yield few.topk(rank, sorted=False).values.min()
        rank *= 2
    yield -torch.inf


@torch.no_grad()
def threshold_of_rows(
    preactivate: Callable[[Tensor], Tensor],
    X: Tensor | Rows,
    n_active: float,
    n_components: int,
    sample_weight: Tensor | None = None,
    numbers: Tensor | None = None,
) -> Tensor:
    """Return the threshold above which rows have so many codes on average, a scalar tensor >= 0.

    Parameters
    ----------
    preactivate : callable
        Maps rows (n, n_features) to what is compared with the threshold, (n, n_components).
    X : Tensor or Rows of shape (n_samples, n_features)
        The rows.
    n_active : float
        Codes above the threshold, mean over rows.
    n_components : int
        Number of latents.
    sample_weight : Tensor of shape (n_samples,), optional
        Weights of the rows; None: all weigh 1.
    numbers : Tensor of int of shape (n_rows,), optional
        Which rows count; None: all.

    Returns
    -------
    threshold : Tensor of shape ()
        The largest value that is not active; 0 where fewer than so many are positive.

    Examples
    --------
    >>> import torch
    >>> from skamort.modules import threshold_of_rows
    >>> A = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> threshold_of_rows(lambda rows: rows, A, n_active=2, n_components=3)
    tensor(2.)
    """
    if numbers is None:
        numbers = torch.arange(len(X), device=X.device)
    counted = None if sample_weight is None else sample_weight[numbers]
    budget = n_active * (len(numbers) if counted is None else counted.sum().item())
    pool = X[:1].new_empty(0)
    weights, threshold = (None if counted is None else pool), pool.new_zeros(())
    for block in numbers.split(rows_within(max(n_components, X.shape[1]))):
        A = preactivate(X[block]).reshape(-1)
        places = (threshold < A).nonzero().flatten()
        pool = torch.cat([pool, A[places]])
        if sample_weight is not None and weights is not None:
            weights = torch.cat([weights, sample_weight[block[places // n_components]]])
        threshold = largest_left_out(pool, budget, weights)
        kept = pool >= threshold
        pool, weights = pool[kept], None if weights is None else weights[kept]
    return threshold


@torch.no_grad()
def thresholds_of_latents(A: Tensor, share: float, sample_weight: Tensor | None = None) -> Tensor:
    """Return above which threshold each latent is active on a share of the rows.

    Parameters
    ----------
    A : Tensor of shape (n_samples, n_components)
        What is compared with the thresholds.
    share : float
        Share of the rows, in (0, 1].
    sample_weight : Tensor of shape (n_samples,), optional
        Weights of the rows; None: all weigh 1.

    Returns
    -------
    thresholds : Tensor of shape (n_components,)
        Each latent's largest value that is not active. A latent is active on one row at least,
        that of its largest value, unless all its values are equal.

    Examples
    --------
    >>> import torch
    >>> from skamort.modules import thresholds_of_latents
    >>> A = torch.tensor([[1.0, 40.0], [2.0, 30.0], [3.0, 20.0], [4.0, 10.0]])
    >>> thresholds_of_latents(A, share=0.5)
    tensor([ 2., 20.])
    """
    weights = A.new_ones(len(A)) if sample_weight is None else sample_weight
    values, order = A[weights > 0].sort(dim=0, descending=True)
    weights = weights[weights > 0].double()
    kept = weights[order].cumsum(0) <= share * weights.sum() * (1 + _ROUNDING)
    left_out = torch.where(kept | (values == values[0]), -torch.inf, values).amax(0)
    return torch.where(left_out.isfinite(), left_out, values[-1])
