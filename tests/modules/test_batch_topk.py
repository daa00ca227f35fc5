"""BatchTopK keeps the largest of a batch, in either layout, and learns its threshold."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.modules import BatchTopK, Threshold, _thresholds, threshold_of_rows


def draw(n, n_components, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n_components, generator=generator, dtype=dtype)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 9), width=st.integers(1, 30), k=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_largest_of_the_batch_are_kept_in_both_layouts(n, width, k, seed):
    A = draw(n, width, seed)
    dense, sparse = BatchTopK(k).double()(A), BatchTopK(k).double().select(A)
    assert torch.equal(sparse.to_dense().relu(), dense)
    kept = A[dense > 0]
    assert len(kept) == min(k * n, int((A > 0).sum()))
    left = A[dense == 0]
    assert not len(kept) or not len(left) or kept.min() > left.max()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), k=st.integers(1, 5))
def test_weights_count_rows_and_equal_values_go_together(seed, k):
    A = draw(6, 12, seed).mul(2).round()  # many are equal
    counts = torch.tensor([1, 0, 2, 3, 1, 2])
    repeated, weighted = BatchTopK(k).double(), BatchTopK(k).double()
    weighted.sample_weight = counts / counts.double().mean()
    many = repeated(A.repeat_interleave(counts, dim=0))
    assert torch.equal(weighted(A).repeat_interleave(counts, dim=0), many)
    assert torch.equal(weighted.threshold, repeated.threshold)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 500, 200_000])
def test_a_bound_from_a_sample_loses_none_of_the_largest(dtype, count):
    values = draw(1, 1 << 18, 0, torch.float32)[0].to(dtype)
    places = _thresholds.candidates(values, count)
    assert torch.equal(values[places].topk(count).values, values.topk(count).values)
    assert (places.diff() > 0).all()
    assert count > 1e5 or len(places) < 2 * count + 2000


def test_a_misleading_sample_costs_time_alone():
    values = draw(1, 1 << 18, 0)[0]
    values[:: _thresholds._STRIDE] += 100
    places = _thresholds.candidates(values, 100_000)
    assert torch.equal(values[places].topk(100_000).values, values.topk(100_000).values)


def test_in_use_the_mean_threshold_decides():
    activation, A = BatchTopK(3), draw(50, 20, 0, torch.float32)
    thresholds = []
    for rows in A.split(10):
        activation(rows)
        thresholds.append(float(rows.flatten().topk(31).values[-1]))
    assert activation.threshold == pytest.approx(np.mean(thresholds))
    activation.eval()
    expected = torch.where(activation.threshold < A, A, 0)
    assert torch.equal(activation(A), expected)
    assert torch.equal(activation.select(A).to_dense(), expected)
    activation.rescale(2.0)
    assert activation.threshold == pytest.approx(2 * np.mean(thresholds))


@pytest.mark.parametrize("weighted", [False, True])
def test_threshold_of_rows_gives_them_so_many_codes(weighted, monkeypatch):
    """Whatever blocks they come in."""
    X = draw(300, 20, 0) * torch.linspace(0.1, 3, 300).unsqueeze(1)
    weights = torch.linspace(0, 2, 300).double() if weighted else None
    found = []
    for n_rows in (1000, 7):
        monkeypatch.setattr(_thresholds, "rows_within", lambda _, n=n_rows: n)
        found.append(threshold_of_rows(lambda rows: rows, X, 2.5, 20, weights))
    assert found[0] == found[1]
    codes = Threshold(found[0], 2)(X)
    assert np.average((codes > 0).sum(1), weights=weights) == pytest.approx(2.5, abs=0.01)
