"""Whether groups of scores differ, and which: Kruskal and Wallis, then Dunn."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import kruskal, norm, rankdata

from .._given import check_given
from ._table import make_table


def dunn_test(scores: Mapping[str, Any]) -> Any:
    """Compare groups of scores by ranks, all pairs of them.

    Kruskal and Wallis's test says whether any group differs; Dunn's, which group from which: with
    the mean ranks R of n_i and n_j scores, and t_k scores that tie at each value,

        z = (R_i - R_j) / sqrt((N (N + 1) / 12 - sum_k (t_k^3 - t_k) / (12 (N - 1))) (1/n_i +
        1/n_j))

    Parameters
    ----------
    scores : dict of str to array-like of shape (n_scores,)
        Scores by group, such as the F1 of the latents of each encoder. NaN and infinity are left
        out.

    Returns
    -------
    table : DataFrame
        One row a pair, named ``"one - other"``: ``z``, above 0 where the first is better, ``p``,
        two-sided, times the number of pairs (Bonferroni), and ``H`` and ``p_kruskal`` of the test
        of all groups.

    Raises
    ------
    ValueError
        If there are fewer than two groups, one is empty, or all scores are equal.

    References
    ----------
    Dunn (1964), Multiple comparisons using rank sums.

    Examples
    --------
    >>> from skamort.inspection import dunn_test
    >>> table = dunn_test({"SAE": [0.5, 0.6, 0.55, 0.4], "MLP": [0.8, 0.9, 0.7, 0.75]})
    >>> round(float(table["z"]["SAE - MLP"]), 3)
    -2.309
    """
    check_given(isinstance(scores, Mapping), scores, "dunn_test: scores", "scores by group, a dict")
    groups = {name: _known(values) for name, values in scores.items()}
    if len(groups) < 2 or not all(map(len, groups.values())):
        raise ValueError("dunn_test: scores must hold two groups or more, each with a number.")
    every = np.concatenate(list(groups.values()))
    if np.ptp(every) == 0:
        raise ValueError("dunn_test: all scores are equal, there is nothing to compare.")
    statistic, p_kruskal = kruskal(*groups.values())
    ranks = np.split(rankdata(every), np.cumsum([len(each) for each in groups.values()])[:-1])
    ranked = dict(zip(groups, ranks, strict=True))
    pairs = list(combinations(groups, 2))
    rows = {}
    for one, other in pairs:
        z = _dunn(ranked[one], ranked[other], _variance(every))
        p = min(1.0, 2 * norm.sf(abs(z)) * len(pairs))
        name = f"{one} - {other}"
        if name in rows:
            raise ValueError(f"dunn_test: two pairs of groups would be named {name!r}; rename one.")
        rows[name] = {"z": z, "p": p, "H": statistic, "p_kruskal": p_kruskal}
    return make_table(rows)


def _known(values: Any) -> np.ndarray:
    values = np.asarray(values, dtype=float).ravel()
    return values[np.isfinite(values)]


def _variance(every: np.ndarray) -> float:
    """Return the variance of a rank, with the correction for ties."""
    n = len(every)
    _, ties = np.unique(every, return_counts=True)
    return n * (n + 1) / 12 - float((ties.astype(float) ** 3 - ties).sum()) / (12 * (n - 1))


def _dunn(one: np.ndarray, other: np.ndarray, variance: float) -> float:
    return float((one.mean() - other.mean()) / np.sqrt(variance * (1 / len(one) + 1 / len(other))))
