"""The dictionary before training: how many atoms, and which."""

import math

import numpy as np
import torch
from sklearn.cluster import kmeans_plusplus
from sklearn.exceptions import NotFittedError
from torch import nn

from .._decoder import atoms_of_part
from .._fitted import is_fitted
from .._rows import few_rows, rows_within
from .._validation import as_tensor, check_dictionary
from ..solvers import update_dictionary
from ..training import non_negative
from ._missing import fill_in

# Draws depend on their dtype. None, the data's, is what the published figures were made with.
DRAWN_IN = torch.float64
# Rows beside one an atom from which distinct ones are drawn.
_FEW_ROWS = 100
# Rows among which k-means++ chooses, an atom: more are slower and no better.
_CANDIDATES_PER_ATOM = 10
_FIRST_ENTRIES = 3  # of a row, which mostly tell it from others
_PASSED_AT_ONCE = 1 << 14  # numbers that stay in the cache
_LEAST_LENGTH = 1e-12
_ROUNDING = 1e-3  # by how much atoms of unit norm are off


def given_dictionary(estimator):
    """Return the known or initial atoms that an estimator's parameters hold, or None.

    Raises
    ------
    NotFittedError
        If `dict_init` is an estimator that is not fitted.
    TypeError
        If it has no `components_`.
    """
    if estimator.dictionary is not None:
        return estimator.dictionary
    start = estimator.dict_init
    if start is None or isinstance(start, str):
        return None
    if not hasattr(start, "fit"):
        return start
    if not is_fitted(start):
        raise NotFittedError(
            f"{type(estimator).__name__}: dict_init={type(start).__name__} is not fitted; fit it "
            "first. Among the values of a grid search, which are cloned, wrap what is fitted in a "
            "sklearn.frozen.FrozenEstimator."
        )
    return atoms_of_part(start, type(estimator).__name__, "dict_init")


def lengths_of(atoms):
    """Return the lengths of atoms, None where they are of unit norm up to rounding."""
    lengths = np.linalg.norm(atoms.astype(np.float64), axis=1)
    return None if np.allclose(lengths, 1, rtol=_ROUNDING) else lengths


def resolve_n_components(estimator):
    """Return the number of atoms that an estimator's parameters ask for.

    Raises
    ------
    ValueError
        If `n_components`, `dictionary` and `dict_init` disagree.
    """
    atoms = given_dictionary(estimator)
    source = "dict_init" if estimator.dictionary is None else "dictionary"
    given = {"n_components": estimator.n_components}
    given[source] = None if atoms is None else len(atoms)
    given = {name: count for name, count in given.items() if count is not None}
    if len(set(given.values())) > 1:
        stated = " but ".join(f"{name} asks for {count}" for name, count in given.items())
        raise ValueError(
            f"{type(estimator).__name__}: the numbers of atoms disagree, {stated}; leave "
            "n_components=None to take it from the array."
        )
    return next(iter(given.values()), estimator.n_features_in_)


def check_non_negative(estimator):
    """Refuse a known dictionary with negative entries where there are to be none."""
    if estimator.positive_dict and estimator.dictionary is not None:
        least = np.min(estimator.dictionary)
        if least < 0:
            raise ValueError(
                f"{type(estimator).__name__}: positive_dict=True asks for atoms >= 0, but the "
                f"dictionary has negative entries, down to {least:.3g}; set positive_dict=False or "
                "change it."
            )


def initial_dictionary(estimator, X, generator, sample_weight=None, auto="auto"):
    """Return unit-norm atoms to begin with, those >= 0 that are nearest where they are to be so.

    See `_initial_directions`.
    """
    check_non_negative(estimator)
    atoms = _initial_directions(estimator, X, generator, sample_weight, auto)
    is_free = estimator.dictionary is None
    return non_negative(atoms) if estimator.positive_dict and is_free else atoms


def _initial_directions(estimator, X, generator, sample_weight, auto):
    """Return unit-norm atoms: the known ones, the given start, or what `dict_init` names.

    Random choices are made on the CPU and in float64, so that a seed gives the same atoms on every
    device and in every dtype.

    Parameters
    ----------
    estimator : object
        Has `n_components`, `dictionary` and `dict_init`.
    X : Tensor or Rows of shape (n_samples, n_features)
        Data.
    generator : torch.Generator
        Source of randomness.
    sample_weight : Tensor of shape (n_samples,), default=None
        Weights of the rows, in whose proportion they are drawn; None: all weigh 1.
    auto : {"auto", "samples", "k-means++"} or None, default="auto"
        What ``dict_init="auto"`` stands for.
    """
    n_components, like = resolve_n_components(estimator), X[:1]
    given = given_dictionary(estimator)
    if given is not None:
        return nn.functional.normalize(check_dictionary(given, like), dim=1)
    dtype = DRAWN_IN or like.dtype
    draw = _normal_numbers((n_components, X.shape[1]), dtype, generator)
    start = auto if estimator.dict_init == "auto" else estimator.dict_init
    chosen = torch.empty(0, X.shape[1], dtype=torch.float64)
    if start is not None:
        chosen = _directions(start, X, n_components, generator, sample_weight)[:n_components]
    if dtype != torch.float64 or len(chosen) < n_components:  # what the data lack is random
        atoms = draw()
        atoms[: len(chosen)] = chosen
    else:
        atoms = chosen
    atoms = atoms.div_(_lengths(atoms).clamp_min_(_LEAST_LENGTH)).to(like)
    if start is None and not _faces_any(atoms, X):
        atoms = -atoms  # else no encoder that begins along them would ever fire
    return atoms


def _normal_numbers(shape, dtype, generator):
    """Return what draws normal numbers now, and has the generator be where that leaves it.

    Mostly all atoms are samples, and then none is drawn: to pass over a number takes a sixth of the
    time. One of float64 is made of 64 random bits, and the last 16 are drawn again where their
    number is no multiple of it, as `tests/estimators/test_dictionary.py` finds of each torch.
    """
    size, now = math.prod(shape), torch.Generator()
    now.set_state(generator.get_state())
    if dtype == torch.float64 and size >= 16:
        _pass_over(size + 16 * (size % 16 > 0), generator)
    else:
        torch.randn(shape, generator=generator, dtype=dtype)
    return lambda: torch.randn(shape, generator=now, dtype=dtype)


def _pass_over(n_numbers, generator):
    """Move a generator by so many numbers of 64 bits."""
    space = torch.empty(min(n_numbers, _PASSED_AT_ONCE), dtype=torch.int64)
    for start in range(0, n_numbers, _PASSED_AT_ONCE):
        space[: n_numbers - start].random_(generator=generator)


def _faces_any(atoms, X):
    """Tell whether an atom has a positive product with a row, of the first or of some others."""
    return any((X[rows] @ atoms.T > 0).any() for rows in (slice(0, 1), few_rows(X)))


def _directions(start, X, n_chosen, generator, sample_weight):
    """Return the directions, on the CPU and in float64, of rows that `dict_init` asks for."""
    if start == "auto":
        return _distinct_directions(X, n_chosen + _FEW_ROWS, generator, sample_weight)
    directions = _sampled_directions(X, _CANDIDATES_PER_ATOM * n_chosen, generator, sample_weight)
    return _spread_out(directions, n_chosen, generator) if start == "k-means++" else directions


def _sampled_directions(X, n_drawn, generator, sample_weight):
    """Return random rows other than 0, scaled to unit norm."""
    if sample_weight is None:
        rows = torch.randperm(len(X), generator=generator)[:n_drawn]
    else:
        rows = drawn_rows(sample_weight, n_drawn, generator)
    return _normalized(fill_in(X[rows].cpu(), 0.0))


def _distinct_directions(X, n_drawn, generator, sample_weight):
    """Return random rows other than 0, scaled to unit norm, of which no two are equal.

    They are drawn in proportion to the weights of all that are equal: among few rows it makes no
    difference then how often one stands there beside its weight, nor in which order they come.
    """
    weights = torch.ones(len(X)) if sample_weight is None else sample_weight.cpu()
    rows = weights.nonzero().flatten()
    if len(X) > n_drawn:
        rows = drawn_rows(weights, n_drawn, generator)
        weights = torch.ones_like(weights)
    # Sorted before they are scaled: rounding must not change their order.
    samples = fill_in(X[rows].cpu(), 0.0)
    numbers, places = _distinct(samples)
    totals = torch.zeros(len(numbers), dtype=torch.float64)
    totals.index_add_(0, places, weights[rows].double())
    return _normalized(samples[numbers[drawn_rows(totals, len(totals), generator)]])


def _distinct(samples):
    """Return the numbers of rows of which no two are equal, in the order of their entries, and for
    each of all rows the place of its equal among them."""
    firsts = samples[:, :_FIRST_ENTRIES]
    numbers = torch.from_numpy(np.lexsort(firsts.T.flip(0).numpy()))
    ordered = firsts[numbers]
    if (ordered[1:] != ordered[:-1]).any(dim=1).all():  # as mostly; the others need no look then
        return numbers, numbers.argsort()
    distinct, places = torch.unique(samples, dim=0, return_inverse=True)
    numbers = places.new_empty(len(distinct)).scatter_(0, places, torch.arange(len(samples)))
    return numbers, places


def _normalized(samples):
    """Return rows other than 0, scaled to unit norm, in float64; it may scale them in place."""
    samples = samples.double()
    lengths = _lengths(samples)
    is_there = lengths[:, 0] > 0
    if not is_there.all():
        samples, lengths = samples[is_there], lengths[is_there]
    return samples.div_(lengths)


def _lengths(samples):
    return torch.linalg.vector_norm(samples, dim=1, keepdim=True)


def _spread_out(directions, n_chosen, generator):
    """Return directions far from each other, chosen by k-means++."""
    if len(directions) <= n_chosen:
        return directions
    seed = int(torch.randint(np.iinfo(np.int32).max, (), generator=generator))
    centers, _ = kmeans_plusplus(directions.numpy(), n_chosen, random_state=seed)
    return as_tensor(centers, "centers", check=False)


def drawn_rows(sample_weight, n_drawn, generator):
    """Return numbers of rows drawn in proportion to weights without replacement, first ones
    first; fewer where fewer weigh anything."""
    # The smallest of exponential variables with these rates.
    waits = torch.empty(len(sample_weight), dtype=torch.float64)
    waits.exponential_(generator=generator)
    waits /= sample_weight.double().cpu()
    rows = waits.topk(min(n_drawn, len(waits)), largest=False).indices
    return rows[waits[rows].isfinite()]


def drawn_distinct_rows(X, shares, n_drawn, generator, sample_weight=None):
    """Return numbers of rows drawn in proportion to shares without replacement, of equal ones at
    most one; where X is too large to compare its rows, of all.

    Which are drawn depends on neither the order of rows, nor whether one stands there repeatedly or
    with as great a share, where some are repeated or weigh more than others.
    """
    if len(X) > rows_within(X.shape[1]):
        return drawn_rows(shares, n_drawn, generator)
    weights = torch.ones(len(X)) if sample_weight is None else sample_weight.cpu()
    rows = weights.nonzero().flatten()
    numbers, places = _distinct(fill_in(X[rows].cpu(), torch.inf))
    if len(numbers) == len(rows) and (weights[rows] == weights[rows[0]]).all():
        numbers = places = torch.arange(len(rows))  # the data's order costs no repeatability
    totals = torch.zeros(len(numbers), dtype=torch.float64)
    totals.index_add_(0, places, shares.cpu()[rows].double())
    return rows[numbers[drawn_rows(totals, n_drawn, generator)]]


def dictionary_from_codes(blocks, dictionary, max_iter=100, tol=1e-6, positive=False):
    """Return the unit-norm atoms that best reconstruct data from known codes, given in blocks of
    both, and of the samples' weights where they have some.

    Block-coordinate descent on ||X - Z D||^2 from `dictionary`, until no atom moves by more than
    `tol`, where `positive` among atoms >= 0. Atoms whose codes are all zero stay as they are.
    """
    gram = cross = 0
    for X, codes, *weights in blocks:
        weighted = codes * weights[0].unsqueeze(1) if weights else codes
        gram, cross = gram + weighted.T @ codes, cross + weighted.T @ X
    dictionary = dictionary.clone()
    for _ in range(max_iter):
        before = dictionary.clone()
        update_dictionary(dictionary, gram, cross, positive=positive)
        if torch.linalg.vector_norm(dictionary - before, dim=1).max() <= tol:
            break
    return dictionary
