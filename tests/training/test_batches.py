import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.training import TensorBatches


@settings(deadline=None)
@given(n=st.integers(1, 40), batch_size=st.integers(1, 50), shuffle=st.booleans())
def test_a_pass_visits_every_row_once_and_keeps_rows_together(n, batch_size, shuffle):
    rows = torch.arange(n)
    generator = torch.Generator().manual_seed(0) if shuffle else None
    batches = TensorBatches([rows, 2 * rows], batch_size, generator)
    seen = list(batches)
    assert len(seen) == len(batches) == -(-n // batch_size)
    assert all(len(x) <= batch_size for x, _ in seen)
    assert all(torch.equal(2 * x, y) for x, y in seen)
    visited = torch.cat([x for x, _ in seen])
    assert torch.equal(visited.sort().values, rows)
    if not shuffle:
        assert torch.equal(visited, rows)


@pytest.mark.parametrize("batch_size", [30, 99])
def test_order_changes_with_every_pass_and_follows_the_seed(batch_size):
    rows = torch.arange(100)

    def passes(seed):
        batches = TensorBatches([rows], batch_size, torch.Generator().manual_seed(seed))
        return [torch.cat([x for (x,) in batches]) for _ in range(2)]

    first, second = passes(0)
    assert not torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(passes(0), (first, second), strict=True))
