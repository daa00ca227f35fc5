"""How much of what a model predicts hangs on one latent at one position.

A latent that is active at a position is taken out there, z_j d_j less in the layer's output, and
Delta is what changes in the log-probabilities of all tokens, there and at the T - 1 positions that
follow, less its median over tokens at each position. With V tokens,

    density = (||Delta||_1 / ||Delta||_2)^2 / (V T)

is about the share of predictions that change: from 1 / (V T), one alone, to 1, all alike (Gao et
al., 2024, section 4.5, where sparse effects stand for latents that are specific).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_random_state
from torch import Tensor, nn

from .._fitted import check_estimator_given
from .._validation import check_integer
from ._layer import call, evaluated, inputs_of, read_layer, replaced
from ._loss_recovered import logits_of
from ._positions import kept_positions
from ._splice import encode
from ._steer import atom_of


@dataclass(frozen=True, repr=False)
class AblationEffect:
    """Effects of single latents at single positions, one a row.

    Parameters
    ----------
    text, position, latent : ndarray of shape (n_effects,)
        What was taken out, and where.
    code : ndarray of shape (n_effects,)
        The code that was taken out.
    density : ndarray of shape (n_effects,)
        About the share of predictions that change, from 0 to 1; NaN where none does.
    size : ndarray of shape (n_effects,)
        Norm of the change of the log-probabilities, in nats.

    Attributes
    ----------
    mean_density : float
        Mean density of the effects that are there.

    See Also
    --------
    ablation_effect : What measures them, with an example.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.hooks import AblationEffect
    >>> place = np.zeros(2, dtype=int)
    >>> AblationEffect(place, place, place, np.ones(2), np.array([0.1, 0.3]), np.ones(2))
    <AblationEffect: 2 effects, mean density 0.2, mean size 1>
    """

    text: np.ndarray
    position: np.ndarray
    latent: np.ndarray
    code: np.ndarray
    density: np.ndarray
    size: np.ndarray

    @property
    def mean_density(self) -> float:
        """Mean density of the effects that are there."""
        return float(np.nanmean(self.density))

    def __repr__(self) -> str:
        return (
            f"<AblationEffect: {len(self.latent)} effects, mean density {self.mean_density:.3g}, "
            f"mean size {self.size.mean():.3g}>"
        )


def ablation_effect(
    model: nn.Module,
    layer: str,
    estimator: Any,
    batch: Any,
    *,
    n_effects: int = 64,
    n_positions: int = 8,
    skip: int = 1,
    random_state: int | np.random.RandomState | None = None,
) -> AblationEffect:
    """Measure what single latents do to a language model's predictions.

    Parameters
    ----------
    model : torch.nn.Module
        Its output is logits or has ``logits``. Runs in eval mode, without gradients; left as it
        was.
    layer : str
        The name of a submodule, as in :func:`collect_activations`.
    estimator : object with ``transform`` and ``components_``
        Any fitted estimator with atoms in its rows.
    batch : tensor, dict or tuple
        Texts of one length, as the model is called with them.
    n_effects : int, default=64
        How many pairs of a position and a latent active there are drawn. Each costs the model's
        pass over one text.
    n_positions : int, default=8
        At how many positions predictions are compared, the ablated one first.
    skip : int, default=1
        First positions of each text that are not drawn.
    random_state : int, RandomState instance or None, default=None
        What draws.

    Returns
    -------
    effects : AblationEffect
        One for each pair; fewer where fewer latents are active.

    Raises
    ------
    ValueError
        If there is no such layer, or no latent is active where enough positions follow.
    TypeError
        If the output has no logits.

    Examples
    --------
    >>> import torch
    >>> from sklearn.decomposition import PCA
    >>> from skamort.hooks import ablation_effect, collect_activations
    >>> generator = torch.Generator().manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Embedding(20, 8), torch.nn.Linear(8, 20))
    >>> texts = torch.randint(20, (4, 10), generator=generator)
    >>> pca = PCA().fit(collect_activations(model, "0", [texts], dtype="float32").rows)
    >>> effects = ablation_effect(model, "0", pca, texts, n_positions=1, random_state=0)
    >>> bool(1 / 20 <= effects.mean_density <= 1)
    True
    """
    check_estimator_given(estimator, "ablation_effect", ("transform", "components_"))
    check_integer(n_effects, "n_effects", 1)
    check_integer(n_positions, "n_positions", 1)
    with evaluated(model), torch.no_grad():
        values = read_layer(model, layer, batch)
        drawn = _drawn(estimator, values, batch, n_positions, skip, n_effects, random_state)
        effect = partial(_effect, model, layer, batch, n_positions)
        pairs = [effect(text, at, code * atom_of(estimator, j)) for text, at, j, code in drawn]
    density, size = np.array(pairs).T
    text, position, latent, code = map(np.array, zip(*drawn, strict=True))
    return AblationEffect(text, position, latent, code, density, size)


def _drawn(
    estimator: Any,
    values: Tensor,
    batch: Any,
    n_positions: int,
    skip: int,
    n_effects: int,
    random_state: Any,
) -> list[tuple[int, int, int, float]]:
    """Return a text, a position, a latent and its code for each effect."""
    kept = kept_positions(values.shape[:-1], batch, None, skip)
    if n_positions > 1:  # as many have to follow
        kept[:, : 1 - n_positions] &= kept[:, n_positions - 1 :]
        kept[:, 1 - n_positions :] = False
    places = kept.nonzero().numpy()
    codes = encode(estimator, values[kept.to(values.device)]) if len(places) else np.zeros((0, 1))
    codes = sparse.coo_array(codes)
    if not codes.nnz:
        raise ValueError(
            f"no latent is active at a position with {n_positions - 1} more after it; give longer "
            "texts, or fewer n_positions."
        )
    rng = check_random_state(random_state)
    chosen = rng.choice(codes.nnz, min(n_effects, codes.nnz), replace=False)
    row, latent = codes.row[chosen], codes.col[chosen]
    return [
        (int(text), int(at), int(j), float(code))
        for (text, at), j, code in zip(places[row], latent, codes.data[chosen], strict=True)
    ]


def _effect(
    model: nn.Module, layer: str, batch: Any, n_positions: int, text: int, at: int, taken: Tensor
) -> tuple[float, float]:
    """Return density and size of the change where `taken` is out of one position of a text."""
    one = _text_of(batch, text)
    seen = slice(at, at + n_positions)

    def without(values: Tensor) -> Tensor:
        changed = values.clone()
        changed[:, at] -= taken.to(values)
        return changed

    clean = _log_probabilities(model, one, seen)
    with replaced(model, layer, without):
        delta = _log_probabilities(model, one, seen) - clean
    delta = delta - delta.median(-1, keepdim=True).values
    size = float(delta.norm())
    return (float(delta.norm(p=1)) / size) ** 2 / delta.numel() if size else np.nan, size


def _log_probabilities(model: nn.Module, batch: Any, positions: slice) -> Tensor:
    return logits_of(call(model, batch))[0, positions].double().log_softmax(-1)


def _text_of(batch: Any, text: int) -> Any:
    """Return a batch of one text; what has no entry for each text stays whole."""
    n_texts = len(inputs_of(batch))

    def one(value: Any) -> Any:
        return (
            value[text : text + 1] if hasattr(value, "__len__") and len(value) == n_texts else value
        )

    if hasattr(batch, "items"):
        return {name: one(value) for name, value in batch.items()}
    return tuple(map(one, batch)) if isinstance(batch, tuple) else one(batch)
