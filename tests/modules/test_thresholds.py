"""A threshold for each latent."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from skamort.modules import thresholds_of_latents

ROWS = st.integers(2, 40)


def drawn(seed, n_rows):
    return torch.randn(n_rows, 5, generator=torch.Generator().manual_seed(seed)) + torch.arange(5)


@given(seed=st.integers(0, 99), n_rows=ROWS, share=st.floats(0.01, 1))
def test_each_latent_is_active_on_its_share_of_the_rows_and_on_one_at_least(seed, n_rows, share):
    A = drawn(seed, n_rows)
    counts = (thresholds_of_latents(A, share) < A).sum(0)
    expected = min(n_rows - 1, max(1, int(share * n_rows * (1 + 1e-6))))
    np.testing.assert_array_equal(counts, np.full(5, expected))


@given(seed=st.integers(0, 99), n_rows=ROWS, share=st.floats(0.01, 1))
def test_weights_stand_for_equal_rows(seed, n_rows, share):
    A, weights = drawn(seed, n_rows), torch.arange(n_rows) % 3
    repeated = thresholds_of_latents(A.repeat_interleave(weights, 0), share)
    assert torch.equal(thresholds_of_latents(A, share, weights.float()), repeated)


def test_rows_all_alike_leave_no_latent_active():
    A = torch.ones(7, 3)
    assert not (thresholds_of_latents(A, 0.5) < A).any()
