"""The base of the autoencoders that keep the largest codes."""

from __future__ import annotations

import math

from .._compat import StrOptions
from ..training import ResampleDead, TeachDead
from ._base_sae import BaseSAE
from ._declared import parameter
from ._dictionary import resolve_n_components
from ._parameters import COUNT


class BaseTopK(BaseSAE):
    """Base of the autoencoders that keep k codes, and have no penalty.

    Parameters
    ----------
    k : int or None
        Number of codes kept a sample, at most `n_components`. None: the square root of
        ``n_features``, rounded up.
    dead_latents : {"auto", "auxk", "resample"}, TeachDead, ResampleDead or None
        What to do about latents that fire no more. "resample": start them anew at samples that are
        badly reconstructed. "auxk": teach the ``n_features / 2`` largest of them to reconstruct
        what the others leave over. A `skamort.training.TeachDead` or `ResampleDead` also says after
        how many samples without firing a latent is dead (five passes over X, at most 10 million;
        set its `window` where `partial_fit` gets X in chunks). None: nothing. "auto": "resample"
        after 1.5 passes, in `partial_fit` after no less than 30 samples an atom; None where no
        center is learned, `fit` has fewer than 1,000 rows, or codes or dictionary are known.
    """

    _penalizes_size = False  # but limits their number
    k: int | None = parameter(COUNT, None, default=None, may_change="warm")
    dead_latents: str | ResampleDead | TeachDead | None = parameter(
        StrOptions({"auto", "auxk", "resample"}),
        TeachDead,
        ResampleDead,
        None,
        default="auto",
        may_change="warm",
    )

    def _resolve_k(self):
        """Return the k that the parameters ask for, or refuse one beyond the number of atoms."""
        n_components = resolve_n_components(self)
        if self.k is None:
            return min(math.ceil(math.sqrt(self.n_features_in_)), n_components)
        self._check_k("k", self.k, n_components)
        return self.k

    def _check_k(self, name, k, n_components):
        if k is not None and k > n_components:
            raise ValueError(
                f"{type(self).__name__}: {name}={k} exceeds n_components={n_components}; "
                f"choose {name} <= n_components."
            )
