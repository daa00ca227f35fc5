import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skamort.estimators._center import geometric_median

MATRICES = hnp.arrays(float, (9, 3), elements=st.floats(-10, 10, width=16))


def distances(X, y):
    return torch.linalg.vector_norm(X - y, dim=1).sum().item()


@settings(deadline=None)
@given(X=MATRICES, seed=st.integers(0, 99))
def test_no_other_point_is_nearer_to_all(X, seed):
    X = torch.from_numpy(X)
    median = geometric_median(X, max_iter=2000, tol=1e-9)
    directions = torch.randn(20, 3, dtype=X.dtype, generator=torch.Generator().manual_seed(seed))
    reached = distances(X, median)
    for other in [*X, *(median + 0.1 * directions), X.mean(0)]:
        assert reached <= distances(X, other) + 1e-3


@settings(deadline=None)
@given(X=MATRICES, scale=st.floats(0.1, 10), shift=st.floats(-10, 10))
def test_moves_with_the_data(X, scale, shift):
    X = torch.from_numpy(X)
    moved = geometric_median(scale * X + shift, max_iter=2000, tol=1e-9)
    expected = scale * geometric_median(X, max_iter=2000, tol=1e-9) + shift
    # Where several points are as near, any of them will do.
    assert distances(scale * X + shift, moved) == pytest.approx(
        distances(scale * X + shift, expected), rel=1e-3, abs=1e-3
    )


def test_on_a_line_it_is_the_median_and_an_outlier_does_not_move_it():
    X = torch.tensor([[0.0], [1.0], [2.0], [3.0], [1e6]])
    assert geometric_median(X, max_iter=1000).item() == pytest.approx(2, abs=1e-2)


def test_equal_rows_are_their_own_median():
    X = torch.full((5, 2), 0.3)
    torch.testing.assert_close(geometric_median(X), X[0])
