"""What latents do over all rows, in one pass: how often, how strongly, on which rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ._coded_rows import CodedRows, entries_of
from ._strongest import Strongest, random_keys, rank_within

# Non-zero codes of a latent, drawn at random, that its histogram and quantiles are taken from; and
# rows, drawn at random, in which latents are seen together.
N_SAMPLED, N_ROWS_TOGETHER = 256, 10_000


@dataclass(frozen=True)
class Activity:
    """Entries are of `ENTRY`, with the number of the latent among those looked at as group.

    Parameters
    ----------
    n_rows : int
        Rows that went by.
    n_active : ndarray of shape (n_latents,)
        In how many of them the latent is not zero.
    top : ndarray
        The entries of largest absolute code of each latent.
    sample : ndarray
        Entries of each latent drawn at random, all where there are few; in an order that is random.
    together : csr_array of shape (n_sampled_rows, n_latents)
        True where a latent is active, for rows drawn at random.
    """

    n_rows: int
    n_active: np.ndarray
    top: np.ndarray
    sample: np.ndarray
    together: sparse.csr_array


def find_activity(
    coded: CodedRows, latents: np.ndarray, n_top: int, n_sample: int, seed: int
) -> Activity:
    """Pass once over all rows."""
    n_rows, n_latents = coded.shape[0], len(latents)
    top, sample = Strongest(n_latents, n_top), Strongest(n_latents, n_sample)
    n_active, together = np.zeros(n_latents, dtype=np.int64), []
    drawn = _draw_rows(n_rows, seed)
    for start, codes in coded.blocks():
        codes = codes[:, latents]
        row, latent, code = entries_of(codes)
        n_active += np.bincount(latent, minlength=n_latents)
        top.add(latent, start + row, code, np.abs(code))
        sample.add(latent, start + row, code, random_keys(seed, start + row, latents[latent]))
        together.append(codes[drawn[start : start + codes.shape[0]]] != 0)
    is_active = sparse.csr_array(sparse.vstack(together, format="csr"))
    return Activity(n_rows, n_active, top.entries(), sample.entries(), is_active)


def quantile_bins(activity: Activity, n_bins: int, n_per_bin: int) -> tuple[np.ndarray, np.ndarray]:
    """Return entries of the sample, and from which bin of the absolute code each is, 1 for the
    weakest. The bins hold equally many; those among the strongest rows are left out."""
    by_size = _sorted(activity.sample, np.abs(activity.sample["code"]))
    sizes = np.bincount(by_size["group"], minlength=len(activity.n_active))
    bins = 1 + rank_within(by_size["group"]) * n_bins // sizes[by_size["group"]]
    is_rest = ~np.isin(_places(by_size, activity), _places(activity.top, activity))
    entries, bins = by_size[is_rest], bins[is_rest]
    order = np.lexsort((-entries["score"], bins, entries["group"]))
    entries, bins = entries[order], bins[order]
    kept = rank_within(entries["group"] * (n_bins + 1) + bins) < (n_per_bin if n_bins else 0)
    return entries[kept], bins[kept]


def _sorted(entries: np.ndarray, score: np.ndarray) -> np.ndarray:
    return entries[np.lexsort((entries["row"], score, entries["group"]))]


def _places(entries: np.ndarray, activity: Activity) -> np.ndarray:
    """Return one number for each pair of a latent and a row."""
    return entries["group"] * activity.n_rows + entries["row"]


def _draw_rows(n_rows: int, seed: int) -> np.ndarray:
    is_drawn = np.zeros(n_rows, dtype=bool)
    drawn = np.random.default_rng(seed).permutation(n_rows)[:N_ROWS_TOGETHER]
    is_drawn[drawn] = True
    return is_drawn
