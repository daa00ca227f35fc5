"""Where the dictionary of an encoder starts."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skamort import GradSparseCoder, LISTAEncoder, MLPEncoder, SAEEncoder, TopKSAE
from skamort.datasets import make_sparse_coded_signal
from skamort.estimators import _dictionary

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SIGNAL = {"n_components": 16, "n_features": 8, "n_nonzero_coefs": 3, "positive": True}


@pytest.fixture(params=[SAEEncoder, MLPEncoder, LISTAEncoder, TopKSAE])
def encoder(request):
    """An encoder that hardly moves from its start."""
    return request.param(16, max_iter=1, learning_rate=1e-9, random_state=0)


@pytest.fixture(scope="module")
def signal():
    return make_sparse_coded_signal(500, **SIGNAL, random_state=0)


@pytest.mark.parametrize("center", [False, "mean", "geometric_median"])
@pytest.mark.parametrize("init", ["samples", "k-means++"])
def test_training_starts_from_samples_less_their_center(encoder, signal, init, center):
    X = signal[0] + 7 * np.eye(8)[0]
    start = encoder.set_params(dict_init=init, fit_intercept=center).fit(X)
    directions = X - start.intercept_
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert_allclose((start.components_ @ directions.T).max(axis=1), 1, atol=1e-5)


def test_training_starts_from_another_estimator(encoder, signal):
    X = signal[0]
    coder = GradSparseCoder(16, random_state=0).fit(X)
    start = encoder.set_params(dict_init=coder).fit(X)
    assert_allclose(start.components_, coder.components_, atol=1e-5)


def test_dict_init_is_where_training_starts(encoder, signal):
    X, D, _ = signal
    assert_allclose(encoder.set_params(dict_init=D).fit(X).components_, D, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
@example((4, 4), torch.float64, 0)
@example((3, 5), torch.float64, 0)
@example((5, 5), torch.float64, 0)
def test_numbers_that_are_not_drawn_are_passed_over(shape, dtype, seed):
    ours, plain = (torch.Generator().manual_seed(seed) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_dictionary, "_PASSED_AT_ONCE", 10)
        draw = _dictionary._normal_numbers(shape, dtype, ours)
    expected = torch.randn(shape, generator=plain, dtype=dtype)
    assert torch.equal(torch.rand(20, generator=ours), torch.rand(20, generator=plain))
    assert torch.equal(draw(), expected)


@pytest.mark.parametrize("n_rows", [3, 40])
def test_atoms_for_which_there_are_no_rows_are_drawn(n_rows):
    X = np.random.default_rng(0).standard_normal((n_rows, 5))
    made = SAEEncoder(20, dict_init="samples", fit_intercept=False, max_iter=1, learning_rate=1e-12)
    atoms = made.set_params(random_state=0).fit(X).components_
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    is_row = (np.abs(atoms @ rows.T) > 1 - 1e-9).any(axis=1)
    assert is_row.tolist() == [True] * min(n_rows, 20) + [False] * max(0, 20 - n_rows)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    drawn = torch.randn(
        20, 5, generator=torch.Generator().manual_seed(int(seed)), dtype=torch.float64
    )
    drawn = torch.nn.functional.normalize(drawn, dim=1).numpy()
    assert_allclose(atoms[~is_row], drawn[~is_row], atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(
    n=st.integers(1, 30), width=st.integers(1, 5), n_values=st.sampled_from([2, 4, 1000]),
    seed=st.integers(0, 2**16),
)  # fmt: skip
def test_distinct_rows_are_those_of_unique(n, width, n_values, seed):
    samples = np.random.default_rng(seed).integers(n_values, size=(n, width)).astype(float)
    numbers, places = _dictionary._distinct(torch.tensor(samples))
    expected, inverse = np.unique(samples, axis=0, return_inverse=True)
    assert_array_equal(samples[numbers.numpy()], expected)
    assert_array_equal(places, inverse.reshape(-1))
