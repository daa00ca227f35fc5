"""Floating point operations of a sparse autoencoder, a sample.

Counted are the products of matrices, a multiplication and an addition as two operations. With M
features, N atoms and E the numbers in the encoder's weight matrices (MN where it is linear):

    encode:                  2 E
    train for one step:      2 E + 2 E + 2 (E - E_1)       encoder, its gradients, and through it
                             + 2 MN + 2 MN (+ 2 MN)        decode, gradient of codes (and atoms)

E_1 belongs to the first layer, which needs no gradient of its input. Where at most k codes are
active and the products are sparse, they have k M in place of M N, but for the encoder's own.
"""

from __future__ import annotations

from itertools import pairwise

from ._autoencoder import SparseAutoencoder
from ._codes import sparse_pays


def encoding_flops(module: SparseAutoencoder, formula: str) -> float:
    """Return the operations that encode a sample.

    Parameters
    ----------
    module : SparseAutoencoder
        The model.
    formula : {"products", "published"}
        "products" counts products of matrices; "published" takes the formulas of the
        amortization-gap paper, for linear encoders and those with one hidden layer.

    Raises
    ------
    TypeError
        If there is no published formula for the encoder.
    """
    if formula == "published":
        m, n, h = _widths(module)
        return 2 * m * h + h + 2 * h * n + n + 2 * n * m if h else 4 * m * n + n
    return 2 * sum(_weights(module))


def training_flops(module: SparseAutoencoder, formula: str, decodes: bool = True) -> float:
    """Return the operations of a training step for a sample.

    Parameters
    ----------
    module : SparseAutoencoder
        The model.
    formula : {"products", "published"}
        As in `encoding_flops`.
    decodes : bool, default=True
        Whether the decoder takes part.
    """
    if formula == "published":
        return encoding_flops(module, formula) + _published_backward(module)
    weights, decoder = _weights(module), module.decoder
    # The gradient passes through every layer but the first, and that too on its way to a center.
    through = sum(weights) - (0 if decoder.intercept is not None else weights[0])
    if not decodes:
        return 4 * sum(weights) + 2 * through
    active = _active(module)
    n_decoder_products = 3 if decoder.dictionary.requires_grad else 2
    decoding = 2 * n_decoder_products * active
    if "partial_gradients" in module.encoder.offers:  # by hand, and sparse where the codes are
        return 2 * weights[0] + 2 * active + decoding
    return 4 * sum(weights) + 2 * through + decoding


def _weights(module: SparseAutoencoder) -> list[int]:
    """Sizes of the encoder's matrices; each takes part in one product a sample."""
    return [p.numel() for p in module.encoder.parameters() if p.ndim == 2]


def _active(module: SparseAutoencoder) -> int:
    """Numbers of the atoms that a product with the codes of a sample touches."""
    n_atoms, n_features = module.decoder.dictionary.shape
    k = module.activation.n_active
    return (k if k is not None and sparse_pays(k, n_atoms) else n_atoms) * n_features


def _widths(module: SparseAutoencoder) -> tuple[int, int, int]:
    """Features, latents and hidden units of a model with published formulas."""
    weights = [p.shape for p in module.encoder.parameters() if p.ndim == 2]
    chained = all(a[0] == b[1] for a, b in pairwise(weights))
    if len(weights) > 2 or not chained:
        raise TypeError(
            "flops: the published formulas are for encoders that are linear or have one hidden "
            "layer; choose formula='products'."
        )
    hidden = weights[0][0] if len(weights) == 2 else 0
    return weights[0][1], weights[-1][0], hidden


def _published_backward(module: SparseAutoencoder) -> float:
    m, n, h = _widths(module)
    backward = 2 * n + 4 * m * n + 2 * (m * n + n)
    if h:
        backward = n + (2 * n * h + n) + h + (2 * m * h + h) + 2 * n * m
        backward += 2 * (m * h + h + h * n + n)
    return backward + (3 * m * n if module.decoder.dictionary.requires_grad else 0)
