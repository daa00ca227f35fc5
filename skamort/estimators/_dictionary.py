"""The dictionary before training: how many atoms, and which."""

import torch
from torch import nn

from ..solvers import update_dictionary
from ..solvers._validation import check_dictionary


def resolve_n_components(estimator):
    """Return the number of atoms that an estimator's parameters ask for.

    Raises
    ------
    ValueError
        If `n_components`, `dictionary` and `dict_init` disagree.
    """
    counts = {"n_components": estimator.n_components}
    for name in ("dictionary", "dict_init"):
        atoms = getattr(estimator, name)
        counts[name] = None if atoms is None else len(atoms)
    given = {name: count for name, count in counts.items() if count is not None}
    if len(set(given.values())) > 1:
        stated = " but ".join(f"{name} asks for {count}" for name, count in given.items())
        raise ValueError(
            f"{type(estimator).__name__}: the numbers of atoms disagree, {stated}; leave "
            "n_components=None to take it from the array."
        )
    return next(iter(given.values()), estimator.n_features_in_)


def initial_dictionary(estimator, X, generator):
    """Return unit-norm atoms: the known ones, the given start, or random directions.

    Random ones are drawn on the CPU, so that a seed gives the same atoms on every device.
    """
    n_components = resolve_n_components(estimator)
    given = estimator.dictionary if estimator.dictionary is not None else estimator.dict_init
    if given is None:
        atoms = torch.randn(n_components, X.shape[1], generator=generator, dtype=X.dtype)
    else:
        atoms = check_dictionary(given, X)
    return nn.functional.normalize(atoms, dim=1).to(X)


def dictionary_from_codes(X, codes, dictionary, max_iter=100, tol=1e-6):
    """Return the unit-norm atoms that best reconstruct X from known codes.

    Block-coordinate descent on ||X - Z D||^2 from `dictionary`, until no atom moves by more than
    `tol`. Atoms whose codes are all zero stay as they are.
    """
    gram, cross = codes.T @ codes, codes.T @ X
    dictionary = dictionary.clone()
    for _ in range(max_iter):
        before = dictionary.clone()
        update_dictionary(dictionary, gram, cross)
        if torch.linalg.vector_norm(dictionary - before, dim=1).max() <= tol:
            break
    return dictionary
