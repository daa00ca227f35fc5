"""What is proved about sparse autoencoders, as properties of the modules and losses here.

[A] O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
Sparse Autoencoders. [W] On the Limits of Sparse Autoencoders: A Theoretical Framework and
Reweighted Remedy. There, sources x (n,) are seen as W_p x through W_p (n_p, n), and the transposed
W_p, (n, n_p), is an encoder; its rows are the atoms that decode.
"""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skamort.datasets import make_superposition
from skamort.modules import Decoder, LinearEncoder, ReLU, SparseAutoencoder, TopK
from skamort.training import SparseCodingLoss

EXAMPLES = settings(max_examples=200, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def autoencoder(weights, atoms, activation=None):
    """relu(weights x) decoded by the atoms; both of shape (n_components, n_features)."""
    encoder = LinearEncoder(*weights.shape[::-1], bias=False, dtype=torch.float64)
    encoder.weight.data = torch.tensor(weights)
    return SparseAutoencoder(encoder, activation or ReLU(), Decoder(torch.tensor(atoms)))


def encode(weights, X, bias=None):
    model = autoencoder(weights, weights)
    if bias is not None:
        model.encoder.bias = torch.nn.Parameter(torch.tensor(bias))
    return model.encode(torch.tensor(X)).detach().numpy()


def error(weights, X, gamma=None, activation=None):
    """Mean of ||gamma * (x - x_hat)||^2 with the weights transposed as decoder."""
    loss = SparseCodingLoss(0.0, None if gamma is None else torch.tensor(gamma))
    model = autoencoder(weights, weights, activation)
    return 2 * loss.evaluate(model, torch.tensor(X)).loss.item()


def polygon(n):
    """Corners of a regular polygon on the unit circle, of shape (2, n); n = 2 is a digon."""
    angles = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)])


def simplex(p):
    """Corners of a regular simplex as columns of unit norm, (p - 1, p)."""
    sizes = {"n_components": p, "n_features": p - 1}
    return make_superposition(1, mixing="simplices", **sizes)[1].T


def sources(rng, n_samples, n, sparsity):
    """Zero with a probability of `sparsity`, else uniform between 0 and 1."""
    return rng.random((n_samples, n)) * (rng.random((n_samples, n)) >= sparsity)


# -- Theorem 3.1 of [A] ----------------------------------------------------------------------------


def pairs_of_sources(n):
    """All codes of two active sources of sizes (1, 1), (2, 1) and (1, 2)."""
    sizes = [(1, 1), (2, 1), (1, 2)]
    pairs = itertools.combinations(range(n), 2)
    return np.array([a * np.eye(n)[i] + b * np.eye(n)[j] for i, j in pairs for a, b in sizes])


@EXAMPLES
@given(SEEDS, st.integers(2, 8), st.data())
def test_no_linear_nonlinear_encoder_recovers_sparse_codes(seed, n, data):
    """If the largest error is e < 1, the differences of these codes force |D W - I| <= 2 e in every
    entry; the rank of D W is at most n_p, so that |D W - I|_F^2 >= n - n_p."""
    n_p = data.draw(st.integers(1, n - 1))
    rng = np.random.default_rng(seed)
    dictionary = rng.standard_normal((n, n_p))
    candidates = {
        "random": rng.standard_normal((n, n_p)),
        "transposed": dictionary,
        "pseudo-inverse": np.linalg.pinv(dictionary).T,
    }
    codes = pairs_of_sources(n)
    X = codes @ dictionary
    assert np.linalg.matrix_rank(X) <= n_p
    for weights in candidates.values():
        assert np.linalg.matrix_rank(X @ weights.T) <= n_p
        for bias in (None, rng.standard_normal(n)):  # which the differences do not see
            largest = np.abs(encode(weights, X, bias) - codes).max()
            assert largest >= min(1, np.sqrt(n - n_p) / (2 * n)) - 1e-12


@EXAMPLES
@given(SEEDS, st.integers(2, 8))
def test_as_many_measurements_as_sources_are_enough(seed, n):
    rng = np.random.default_rng(seed)
    dictionary = np.linalg.qr(rng.standard_normal((n, n))).Q * rng.uniform(0.5, 2, (n, 1))
    codes = pairs_of_sources(n)
    assert_allclose(encode(np.linalg.inv(dictionary).T, codes @ dictionary), codes, atol=1e-9)


# -- Theorem 1 of [W] ------------------------------------------------------------------------------


@EXAMPLES
@given(SEEDS, st.integers(1, 5), st.floats(0, 1), st.floats(0.1, 10))
def test_digons_reconstruct_all_that_is_seen(seed, n_p, sparsity, scale):
    """So W_p transposed is a minimum, at any sparsity."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((n_p, n_p))).Q
    digons = np.hstack([basis, -basis])
    X = scale * sources(rng, 20, 2 * n_p, sparsity) @ digons.T
    loss = error(digons.T, X)
    assert loss == pytest.approx(0, abs=1e-20 * scale**2)
    assert loss <= error(digons.T + 0.1 * rng.standard_normal(digons.T.shape), X) + 1e-20 * scale**2


@EXAMPLES
@given(SEEDS, st.integers(2, 3))
def test_one_active_source_is_recovered_from_digons_and_triangles(seed, n):
    """No corner is at less than a right angle from another, so that no second latent fires."""
    rng = np.random.default_rng(seed)
    X = np.diag(rng.random(n))
    assert_allclose(encode(polygon(n).T, X @ polygon(n).T), X, atol=1e-12)
    assert error(polygon(n).T, X @ polygon(n).T) == pytest.approx(0, abs=1e-20)


@EXAMPLES
@given(SEEDS, st.integers(2, 20))
def test_polygons_reconstruct_one_active_source_up_to_scale(seed, n):
    corners = polygon(n)
    X = np.diag(np.random.default_rng(seed).random(n)) @ corners.T
    scale = np.square(np.clip(corners[:, 0] @ corners, 0, None)).sum() ** -0.5
    assert error(scale * corners.T, X) == pytest.approx(0, abs=1e-20)
    assert (scale == pytest.approx(1)) == (n <= 4)
    assert error(corners.T, X) == pytest.approx((scale**-2 - 1) ** 2 * np.square(X).sum() / n)


@EXAMPLES
@given(SEEDS, st.integers(1, 10), st.floats(0, 0.99))
def test_polygons_of_opposite_corners_reconstruct_everything_up_to_scale(seed, half, sparsity):
    """And so do any other two digons: the loss does not tell sources from mixtures of them."""
    rng = np.random.default_rng(seed)
    corners = polygon(2 * half + 2)
    X = sources(rng, 20, corners.shape[1], sparsity) @ corners.T
    assert error(corners.T * np.sqrt(2 / (half + 1)), X) == pytest.approx(0, abs=1e-20)
    turn = np.linalg.qr(rng.standard_normal((2, 2))).Q
    assert error(polygon(4).T @ turn, X) == pytest.approx(0, abs=1e-20)


@EXAMPLES
@given(SEEDS, st.floats(0, 0.9))
def test_beside_other_weights_triangles_are_near_the_minimum(seed, sparsity):
    """Near, not at it: with several active sources somewhat larger weights are better."""
    rng = np.random.default_rng(seed)
    triangle = polygon(3).T
    X = sources(rng, 2000, 3, sparsity) @ triangle
    loss = error(triangle, X)
    assert error(1.002 * triangle, X) < loss < 1.1 * error(1.04 * triangle, X)
    for size in (0.1, 0.3, 1):
        assert loss < 1.1 * error(triangle + size * rng.standard_normal(triangle.shape), X)


# -- Simplices, and what of [W] they refute --------------------------------------------------------


@EXAMPLES
@given(SEEDS, st.integers(2, 8))
def test_one_active_source_is_recovered_from_a_simplex(seed, p):
    """For extremely sparse sources W_p transposed is a minimum."""
    x = np.diag(np.random.default_rng(seed).random(p))
    assert_allclose(encode(simplex(p).T, x @ simplex(p).T), x, atol=1e-12)


@EXAMPLES
@given(SEEDS, st.integers(2, 8))
def test_of_one_active_source_another_minimum_fires_for_all_others(seed, p):
    """Theorem 3 calls W_p transposed the only minimum; -sqrt(p - 1) times it is another."""
    x = np.diag(np.random.default_rng(seed).uniform(0.1, 1, p))
    X, weights = x @ simplex(p).T, -np.sqrt(p - 1) * simplex(p).T
    assert error(weights, X) == pytest.approx(0, abs=1e-20)
    others = ~np.eye(p, dtype=bool)
    assert_allclose(encode(weights, X), others * x.sum(axis=1, keepdims=True) / np.sqrt(p - 1))
    for k in range(1, p):  # the k largest codes are enough for it only if they are all of them
        assert (error(weights, X, activation=TopK(k)) < 1e-20) == (k == p - 1)


@EXAMPLES
@given(SEEDS, st.integers(3, 6), st.floats(0, 0.8))
def test_with_several_active_sources_a_simplex_is_no_minimum(seed, p, sparsity):
    """Theorem 1 holds for the digon alone: larger weights are better."""
    X = sources(np.random.default_rng(seed), 2000, p, sparsity) @ simplex(p).T
    assert error(1.002 * simplex(p).T, X) < error(simplex(p).T, X)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(3, 4), st.floats(0, 0.8))
def test_residuals_of_mean_zero_are_no_minimum(seed, p, sparsity):
    """The proof of Theorem 1 takes them as enough: here each order of the sources is seen."""
    x, W = sources(np.random.default_rng(seed), 200, p, sparsity), simplex(p).T
    orders = list(itertools.permutations(range(p)))
    X = x[:, orders].reshape(-1, p) @ W
    assert_allclose((X - encode(W, X) @ W).mean(axis=0), 0, atol=1e-12)
    assert error(1.002 * W, X) < error(W, X)


@EXAMPLES
@given(SEEDS, st.floats(0, 0.9))
def test_more_latents_than_sources_leave_less(seed, sparsity):
    """Of a triangle, nothing; and halves of a latent that are duplicates do as well as it."""
    rng = np.random.default_rng(seed)
    X = sources(rng, 200, 3, sparsity) @ simplex(3).T
    assert error(polygon(4).T, X) == pytest.approx(0, abs=1e-20)
    doubled = np.r_[simplex(3).T, simplex(3).T] / np.sqrt(2)
    assert error(doubled, X) == pytest.approx(error(simplex(3).T, X))


@EXAMPLES
@given(SEEDS, st.floats(0, 0.1))
def test_of_dense_sources_digons_are_no_minimum_for_one_code(seed, sparsity):
    """Top-k codes, appendix A.2, do not inherit Theorem 1: turned by 45 degrees they leave less."""
    digons = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    X = sources(np.random.default_rng(seed), 5000, 4, sparsity) @ digons
    assert error(digons @ turn, X, activation=TopK(1)) < error(digons, X, activation=TopK(1))


# -- Examples 1 and 2 of [W] -----------------------------------------------------------------------

EXAMPLE_1 = np.array([[1, 0, 0], [0, 1, -1]]), [0.5, 1, 0.8], [0.5, 0.2, 0]
EXAMPLE_2 = np.array([[0, 0.866, -0.866], [1, -0.5, -0.5]]), [0.7, 0.5, 0.3], [0.3, 0, 0]


@pytest.mark.parametrize(("W_p", "x", "expected"), [EXAMPLE_1, EXAMPLE_2], ids=["1", "2"])
def test_features_shrink_and_vanish(W_p, x, expected):
    X = np.array([x]) @ W_p.T
    assert_allclose(encode(W_p.T.astype(float), X), [expected], atol=3e-5)


@EXAMPLES
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_of_a_digon_the_difference_is_left(x, y, z):
    """Example 1 for any sources: the smaller one vanishes, the larger one shrinks by it."""
    W_p = EXAMPLE_1[0].astype(float)
    codes = encode(W_p.T, np.array([[x, y, z]]) @ W_p.T)
    assert_allclose(codes, [[x, max(y - z, 0), max(z - y, 0)]], atol=1e-12)


# -- Theorems 4 and 5 of [W] -----------------------------------------------------------------------


@EXAMPLES
@given(SEEDS, st.integers(1, 8), st.integers(1, 8), st.booleans())
def test_what_the_loss_on_mixtures_says_of_the_loss_on_sources(seed, n_p, n, weighted):
    """L_WSAE - L_GT = r^T (W_p^T Gamma^2 W_p - I) r for r = x - relu(W_p^T W_p x); Gamma = I makes
    it Theorem 4."""
    rng = np.random.default_rng(seed)
    W_p, x = rng.standard_normal((n_p, n)), rng.standard_normal(n)
    gamma = rng.uniform(0, 2, n_p) if weighted else None
    X = (x @ W_p.T)[None]
    r = x - encode(W_p.T, X)[0]
    squared = np.eye(n_p) if gamma is None else np.diag(gamma**2)
    expected = r @ (W_p.T @ squared @ W_p - np.eye(n)) @ r
    assert_allclose(error(W_p.T, X, gamma) - r @ r, expected, rtol=1e-9, atol=1e-9 * (1 + r @ r))


@EXAMPLES
@given(SEEDS, st.integers(1, 5), st.integers(1, 5))
def test_no_weights_bring_the_losses_closer_than_the_rank_allows(seed, n_p, more):
    """|W_p^T G W_p - I|_F^2 >= n - n_p for every G, with equality for the inverse of W_p W_p^T."""
    rng = np.random.default_rng(seed)
    n = n_p + more
    W_p, gamma = rng.standard_normal((n_p, n)), rng.standard_normal((n_p, n_p))
    best = np.linalg.inv(W_p @ W_p.T)
    for G in (gamma.T @ gamma, np.diag(gamma[0] ** 2), 0 * best, best):
        assert np.linalg.norm(W_p.T @ G @ W_p - np.eye(n)) ** 2 >= n - n_p - 1e-6
    assert np.linalg.norm(W_p.T @ best @ W_p - np.eye(n)) ** 2 == pytest.approx(n - n_p)
