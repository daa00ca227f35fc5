"""The base of the autoencoders that keep the largest codes."""

from __future__ import annotations

import math

import torch

from .._compat import StrOptions
from .._unit import times
from .._validation import check_real
from ..modules import SparseAutoencoder, Threshold, threshold_of_rows
from ..training import ResampleDead, TeachDead
from ._base_sae import BaseSAE
from ._declared import parameter
from ._dictionary import resolve_n_components
from ._parameters import COUNT, NON_NEGATIVE


class BaseTopK(BaseSAE):
    """Base of the autoencoders that keep k codes, and have no penalty.

    Parameters
    ----------
    k : int or None
        Number of codes kept a sample, at most `n_components`. None: the square root of
        ``n_features``, rounded up.
    transform_threshold : float or None
        Threshold above which `transform` keeps codes, in the unit of the data; it can be set on a
        fitted estimator, and `threshold_for` finds one. None: codes are kept as `k` says.
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
    _max_rate_coefficient = 0.16
    k: int | None = parameter(COUNT, None, default=None, may_change="warm")
    transform_threshold: float | None = parameter(
        NON_NEGATIVE, None, default=None, may_change="always"
    )
    dead_latents: str | ResampleDead | TeachDead | None = parameter(
        StrOptions({"auto", "auxk", "resample"}),
        TeachDead,
        ResampleDead,
        None,
        default="auto",
        may_change="warm",
    )

    def threshold_for(self, X, l0):
        """Return the `transform_threshold` at which rows have so many codes on average.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, in memory.
        l0 : float
            Mean number of codes wanted, more than 0 and at most `n_components`.

        Returns
        -------
        threshold : float
            In the unit of the data; 0 where the rows have fewer positive pre-activations.

        Raises
        ------
        ValueError
            If `l0` is out of range, or codes have either sign.
        TypeError
            If `l0` is no finite number.
        """
        check_real(l0, "l0", -math.inf)
        if not getattr(self, "positive_code", True):
            raise ValueError(
                f"{type(self).__name__}: a threshold keeps codes >= 0, got positive_code=False; "
                f"set transform_k instead."
            )
        coder, n_components = self._ready(X), self._n_features_out
        if not 0 < l0 <= n_components:
            raise ValueError(
                f"{type(self).__name__}: l0={l0} is to be more than 0 and at most "
                f"n_components={n_components}; choose a number between."
            )
        dtype, device = coder._torch_dtype_and_device()
        rows = coder._check_rows(X, reset=False).to(dtype=dtype, device=device)
        module = self.net_.module_
        threshold = threshold_of_rows(
            lambda block: module.encoder(module.center(block)),
            times(rows, 1 / self._unit),
            l0,
            n_components,
        )
        return times(threshold, self._unit).item()

    def _transforming_module(self):
        module = self.net_.module_
        if self.transform_threshold is None:
            return module
        self._validate_params()  # it may have been set since
        threshold = times(torch.as_tensor(self.transform_threshold), 1 / self._unit)
        kept = Threshold(threshold, self._resolve_k()).to(self._dictionary)
        return SparseAutoencoder(module.encoder, kept, module.decoder)

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
