"""The entries of largest score in each of many groups, kept while a stream of entries goes by.

What is kept does not depend on how the stream is cut into blocks: of entries with equal scores
those of the first rows stay.
"""

from __future__ import annotations

import numpy as np

ENTRY = np.dtype([("group", np.int64), ("row", np.int64), ("code", np.float64), ("score", float)])
# Entries that wait until those kept are sorted again, at least.
_WAITING = 1 << 18


class Strongest:
    """The n entries of largest score in each group.

    Parameters
    ----------
    n_groups : int
        Groups, such as latents, are numbered from 0.
    n : int
        How many entries a group keeps.
    """

    def __init__(self, n_groups: int, n: int):
        self._n = n
        self._least = np.full(n_groups, -np.inf if n else np.inf)  # what a new entry has to exceed
        self._kept, self._n_waiting = np.empty(0, ENTRY), 0
        self._waiting: list[np.ndarray] = []

    def add(self, group: np.ndarray, row: np.ndarray, code: np.ndarray, score: np.ndarray) -> None:
        """Take note of entries, whose rows come after all before."""
        is_new = score > self._least[group]
        new = np.empty(np.count_nonzero(is_new), ENTRY)
        for name, values in zip(ENTRY.names or (), (group, row, code, score), strict=True):
            new[name] = values[is_new]
        self._waiting.append(new)
        self._n_waiting += len(new)
        if self._n_waiting > max(_WAITING, len(self._kept)):
            self._sort()

    def entries(self) -> np.ndarray:
        """Return what is kept, of dtype `ENTRY`: by group, and the largest score first."""
        self._sort()
        return self._kept

    def _sort(self) -> None:
        entries = np.concatenate([self._kept, *self._waiting])
        entries = entries[np.lexsort((entries["row"], -entries["score"], entries["group"]))]
        rank = rank_within(entries["group"])
        last = entries[rank == self._n - 1]
        self._least[last["group"]] = last["score"]
        self._kept = entries[rank < self._n]
        self._waiting, self._n_waiting = [], 0


def rank_within(groups: np.ndarray) -> np.ndarray:
    """Return the place of each entry among those of its group, which stand together."""
    starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    sizes = np.diff(starts, append=len(groups))
    return np.arange(len(groups)) - np.repeat(starts, sizes)


def random_keys(seed: int, row: np.ndarray, latent: np.ndarray) -> np.ndarray:
    """Return a number from 0 to 1 for each entry, as good as random, that depends on nothing else.

    The finalizer of splitmix64 (Steele, Lea and Flood, 2014), once for the row, once for the
    latent.
    """
    return (_mixed(_mixed(row, np.array([seed])), latent) >> np.uint64(11)) * 2.0**-53


def _mixed(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    golden = np.uint64(0x9E3779B97F4A7C15)
    x = values.astype(np.uint64) + (others.astype(np.uint64) + np.uint64(1)) * golden
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
