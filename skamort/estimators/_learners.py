"""The algorithm that learns a dictionary, as the parameters of an estimator ask for it."""

from __future__ import annotations

from .._sample_weight import count_of
from ._dictionary_learning import DictionaryLearner, update_online
from ._ksparse_learning import KSparseLearner
from ._published_descent import PublishedDescent
from ._solver_parameters import K_SPARSE, learning_algorithm
from ._statistics import Statistics

# The algorithms, and the iterations of each where `max_iter` is None.
MAX_ITER = dict.fromkeys(["cd", "fista", *K_SPARSE], 300) | {"adam": 40_000}
# Mini-batches of "auto": smaller ones win little, and with as many samples as atoms the update of
# the dictionary costs no more than the codes. With fewer than 8 of them, full batches are as fast;
# with k-sparse codes, which do not start from the last ones, with fewer than 4.
_BATCH_SIZE = 256
_FEWEST_BATCHES, _FEWEST_K_SPARSE_BATCHES = 8, 4


def make_learner(owner, X, sample_weight, n_components, generator):
    """Return the algorithm with its settings, for data in the unit of `owner`."""
    batch_size = _resolve_batch_size(owner, len(X), n_components)
    algorithm = learning_algorithm(owner, X)
    max_iter = owner.max_iter or MAX_ITER[algorithm]
    shared = {
        "algorithm": algorithm,
        "max_iter": max_iter,
        "positive": owner.positive_code,
        "positive_dict": owner.positive_dict,
        "batch_size": batch_size,
        "begins_online": _begins_online(owner, len(X), batch_size),
        "tol": owner.tol,
        "generator": generator,
        "sample_weight": sample_weight,
    }
    if owner.n_nonzero_coefs is not None:
        return KSparseLearner(n_nonzero_coefs=owner.n_nonzero_coefs, **shared)
    alpha = owner.alpha_ / owner._unit
    if algorithm == "adam":
        return PublishedDescent(alpha, owner.learning_rate, max_iter, sample_weight)
    return DictionaryLearner(alpha=alpha, **shared)


def pass_online(owner, X, codes, sample_weight, learned, generator):
    """Pass over one chunk of a larger whole, with its codes where they are known: update the atoms
    and the statistics of `learned`, which go on."""
    atoms = learned.atoms
    if codes is None:
        return make_learner(owner, X, sample_weight, len(atoms), generator).online(X, learned)
    learned.statistics = Statistics.of(learned.statistics, atoms)
    blocks, n_samples = blocks_of(X, codes, sample_weight), count_of(X, sample_weight)
    update_online(blocks, n_samples, atoms, learned.statistics, owner.positive_dict)


def blocks_of(X, codes, sample_weight):
    """Return the blocks of rows of X, with those of the codes, and of weights where there are
    any."""
    parts = [part for part in (X, codes, sample_weight) if part is not None]
    return (tuple(part[rows] for part in parts) for rows in X.blocks(codes.shape[1]))


def _resolve_batch_size(owner, n_samples, n_components):
    """Return the samples of a mini-batch."""
    if owner.batch_size == "auto":
        return max(_BATCH_SIZE, n_components)
    return owner.batch_size or n_samples


def _begins_online(owner, n_samples, batch_size):
    """Whether `fit` begins with an online pass."""
    fewest = _FEWEST_BATCHES if owner.n_nonzero_coefs is None else _FEWEST_K_SPARSE_BATCHES
    least = fewest if owner.batch_size == "auto" else 1
    return owner.batch_size is not None and n_samples >= least * batch_size
