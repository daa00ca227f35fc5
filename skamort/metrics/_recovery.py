"""How well learned latents and atoms agree with true ones: mean correlation coefficient (MCC).

C_jk = |Pearson(column j of the truth, column k of what was learned)|
MCC  = mean of C over the best one-to-one matching of columns
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils.extmath import safe_sparse_dot

from .._explained_variance import row_blocks
from .._given import described, is_estimator
from .._matrices import Codes, as_dense, check_dense_or_csr, check_same_length
from .._pipeline import atoms_of

_CONSTANT = 1e-12  # a variance below this correlates with nothing
_LARGE = 1e100  # from which on the sum of many squares may be infinite


def latent_mcc(codes_true: Any, codes: Any, *, matched: bool = False) -> float:
    """Mean correlation coefficient between true and learned latents.

    Every true latent is matched with one learned latent so that the mean absolute Pearson
    correlation over samples is largest, and this mean is returned. Where the numbers of latents
    differ, pairs are first chosen greedily, from the highest correlation downwards, until the
    smaller side is used up; what they chose of the larger side is then matched as above. So did the
    reference.

    Parameters
    ----------
    codes_true : {array-like, sparse matrix} of shape (n_samples, n_components_true)
        True codes.
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Learned codes.
    matched : bool, default=False
        Whether column j belongs to column j already, as where an encoder was trained on known
        codes. Nothing is matched then, and signs count: the mean of the Pearson correlations.

    Returns
    -------
    mcc : float
        From 0 to 1, or from -1 to 1 if `matched`. A latent whose variance is below 1e-12
        correlates with nothing: 0. Codes of which none reaches 1/2 are first brought up to it by a
        power of two.

    Raises
    ------
    ValueError
        NaN or infinity, different numbers of samples, or different widths if `matched`.

    See Also
    --------
    dictionary_mcc : The same between atoms.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders.

    Examples
    --------
    >>> from skamort.metrics import latent_mcc
    >>> truth = [[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]
    >>> swapped = [[0.0, -1.0], [4.0, 0.0], [2.0, -3.0]]
    >>> latent_mcc(truth, swapped)
    1.0
    >>> latent_mcc(truth, [[2.0, 0.0], [0.0, 4.0], [6.0, 2.0]], matched=True)
    1.0
    """
    codes_true, codes = (
        check_dense_or_csr(codes_true, "codes_true"),
        check_dense_or_csr(codes, "codes"),
    )
    check_same_length(codes_true, codes, "codes_true and codes")
    codes_true, codes = _brought_up(codes_true), _brought_up(codes)
    if not matched:
        return _mean_of_best_matching(_absolute_correlations(codes_true, codes))
    if codes_true.shape[1] != codes.shape[1]:
        raise ValueError(
            f"latent_mcc: codes_true has {codes_true.shape[1]} columns and codes has "
            f"{codes.shape[1]}; matched=True needs as many, pass matched=False."
        )
    return float(_correlations_of_pairs(codes_true, codes).mean())


def dictionary_mcc(dictionary_true: Any, dictionary: Any) -> float:
    """Mean correlation coefficient between true and learned atoms.

    As `latent_mcc`, with the Pearson correlation of two atoms taken across their coordinates.

    Parameters
    ----------
    dictionary_true : array-like of shape (n_components_true, n_features) or fitted estimator
        True atoms, one a row; of an estimator its `components_` count.
    dictionary : array-like of shape (n_components, n_features) or fitted estimator
        Learned atoms, one a row.

    Returns
    -------
    mcc : float
        From 0 to 1, blind to the order, the signs and the norms of the atoms.

    Raises
    ------
    ValueError
        NaN or infinity, or different numbers of features.

    See Also
    --------
    latent_mcc : The same between latents.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders.

    Examples
    --------
    >>> from skamort.metrics import dictionary_mcc
    >>> dictionary_mcc([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    1.0
    """
    true_atoms = atoms_of(dictionary_true, "dictionary_true").T
    atoms = atoms_of(dictionary, "dictionary").T
    if len(true_atoms) != len(atoms):
        raise ValueError(
            f"dictionary_mcc: the atoms of dictionary_true have {len(true_atoms)} features, those "
            f"of dictionary {len(atoms)}; atoms are rows, of the same width."
        )
    correlations = _absolute_correlations(*(a * _to_one(a) for a in (true_atoms, atoms)))
    return _mean_of_best_matching(correlations)


def _brought_up(codes: Codes) -> Codes:
    """Codes of which one is 1/2 or more, as by their size it is told which are constant."""
    most = max(codes.max(), -codes.min())
    return codes if most >= 0.5 else codes.astype(np.float64) * _power(most)


def _to_one(columns: np.ndarray) -> np.ndarray:
    """Powers of two that bring columns near one."""
    return _power(np.abs(columns).max(axis=0))


def _power(sizes: Any) -> Any:
    """Powers of two that bring sizes to between 1/2 and 1, 1 for 0."""
    return np.ldexp(1.0, (-np.frexp(np.float64(sizes))[1]).clip(-1000, 1000))


def _absolute_correlations(first: Codes, second: Codes) -> np.ndarray:
    """Absolute Pearson correlation of each column of `first` with each of `second`."""
    first, mean_first, std_first = _moments(first)
    second, mean_second, std_second = _moments(second)
    values = safe_sparse_dot(first.T, second, dense_output=True)
    for rows in row_blocks(*values.shape):  # in place: of many latents one matrix is large enough
        block = values[rows]
        block /= first.shape[0]
        block -= np.outer(mean_first[rows], mean_second)
        block /= np.outer(std_first[rows], std_second)
    return np.abs(values, out=values).clip(max=1, out=values)


def _correlations_of_pairs(first: Codes, second: Codes) -> np.ndarray:
    """Pearson correlation of each column of `first` with that of the same place in `second`."""
    first, second = (v if isinstance(v, np.ndarray) else v.tocsc() for v in (first, second))
    found = []
    for columns in row_blocks(*first.shape[::-1]):
        moments = [_moments(as_dense(values[:, columns])) for values in (first, second)]
        (x, _, std_x), (y, _, std_y) = moments
        found.append(np.einsum("ij,ij->j", x, y) / len(x) / (std_x * std_y))
    return np.concatenate(found).clip(-1, 1)


def _moments(values: Codes) -> tuple[Codes, np.ndarray, np.ndarray]:
    """Values in float64, mean and standard deviation of the columns, infinite where constant.

    Dense values are centered and their mean is 0; sparse ones stay as they are, to stay sparse.
    """
    values = _with_squares(values.astype(np.float64))
    if isinstance(values, np.ndarray):
        values = values - values.mean(axis=0)
        mean = np.zeros(values.shape[1])
        variance = np.square(values).mean(axis=0)
    else:
        mean = np.asarray(values.mean(axis=0)).ravel()
        variance = np.asarray(values.power(2).mean(axis=0)).ravel() - mean**2
    std = np.sqrt(np.where(variance < _CONSTANT, np.inf, variance))
    return values, mean, std


def _with_squares(values: Codes) -> Codes:
    """Values whose columns are divided by a power of two where their squares are no floats."""
    peaks = abs(values).max(axis=0)
    peaks = peaks if isinstance(peaks, np.ndarray) else peaks.toarray().ravel()
    if peaks.max(initial=0) < _LARGE:
        return values
    factors = np.where(peaks < _LARGE, 1.0, _power(peaks))
    return values * factors if isinstance(values, np.ndarray) else values.multiply(factors).tocsr()


def stability(dictionaries: Any) -> float:
    """Mean correlation of the atoms of several dictionaries, all pairs of them.

    Of fits with several seeds, or on several folds, it says how much of what one learned another
    learns again.

    Parameters
    ----------
    dictionaries : sequence, or dict by name, of estimator or of array-like of shape \
            (n_components, n_features)
        Two or more; of an estimator its `components_` counts.

    Returns
    -------
    stability : float
        Mean of :func:`dictionary_mcc` over pairs, from 0 to 1. Atoms drawn at random are above 0 as
        well, the more so the more there are for the width: compare like with like.

    Raises
    ------
    ValueError
        Fewer than two dictionaries, or as for :func:`dictionary_mcc`.

    References
    ----------
    Paulo and Belrose (2025), Sparse Autoencoders Trained on the Same Data Learn Different Features.

    Examples
    --------
    Across folds:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_validate
    >>> from skamort import TopKSAE
    >>> from skamort.metrics import stability
    >>> sae = TopKSAE(16, k=4, tol=0.01, random_state=0)
    >>> folds = cross_validate(sae, load_digits().data, cv=3, return_estimator=True)
    >>> 0.3 < stability(folds["estimator"]) < 1
    True
    """
    if is_estimator(dictionaries) or not isinstance(dictionaries, Iterable):
        raise TypeError(
            f"stability needs two dictionaries or estimators, got {described(dictionaries)}; pass "
            "a list of them."
        )
    if isinstance(dictionaries, Mapping):
        dictionaries = dictionaries.values()
    atoms = [atoms_of(each, "dictionary") for each in dictionaries]
    if len(atoms) < 2:
        raise ValueError(f"stability: needs two dictionaries at least, got {len(atoms)}.")
    return float(np.mean([dictionary_mcc(*pair) for pair in combinations(atoms, 2)]))


def _mean_of_best_matching(similarity: np.ndarray) -> float:
    if similarity.shape[0] != similarity.shape[1]:
        rows, columns = _greedy_pairs(similarity)
        similarity = similarity[np.ix_(rows, columns)]
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return float(similarity[rows, columns].mean())


def _greedy_pairs(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pairs taken from the highest similarity downwards, each once.

    All pairs that are the best of both their row and their column are taken at once: nothing that
    comes before them in the order could take either away. Where no similarity is left any will do.
    """
    rows, columns = (np.arange(size) for size in similarity.shape)
    taken: list[np.ndarray] = []
    while rows.size and columns.size:
        left = similarity[np.ix_(rows, columns)]
        best_column, best_row = left.argmax(axis=1), left.argmax(axis=0)
        if left.max() > 0:
            chosen = np.flatnonzero(best_row[best_column] == np.arange(len(rows)))
            partners = best_column[chosen]
        else:
            chosen = partners = np.arange(min(left.shape))
        taken.append(np.stack([rows[chosen], columns[partners]]))
        rows, columns = np.delete(rows, chosen), np.delete(columns, partners)
    pairs = np.concatenate(taken, axis=1)
    return pairs[0], pairs[1]
