import numpy as np
import pytest
import torch
from device import emulated_cuda

from skamort._rows import few_rows
from skamort.estimators._host_rows import HostRows, starts_on_host
from skamort.training import Sample


@pytest.fixture
def counts():
    with emulated_cuda() as counts:
        yield counts


@pytest.fixture
def X():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((50, 3)))


@pytest.mark.parametrize("few", [7, 50])
@pytest.mark.parametrize("asked", [slice(0, 1), slice(None, None, 9), torch.tensor([4, 0, 49])])
def test_rows_are_those_of_the_gpu(counts, X, few, asked, monkeypatch):
    monkeypatch.setattr("skamort._rows._FEW", few)
    rows = HostRows(X.cuda())
    assert (len(rows), rows.shape, rows.dtype) == (50, X.shape, X.dtype)
    assert rows.device == rows[asked].device == torch.device("cpu")
    torch.testing.assert_close(rows[asked], X[asked], rtol=0, atol=0)
    assert few_rows(rows) == few_rows(X)


def test_slices_come_once_and_single_rows_only_of_many(counts, X, monkeypatch):
    rows, numbers = HostRows(X.cuda()), torch.tensor([3, 1])
    for _ in range(3):
        assert len(rows[few_rows(X)]) == len(rows[:50]) == 50
        assert len(rows[numbers]) == 2
    assert counts.waits.total() == 1
    monkeypatch.setattr("skamort._rows._FEW", 49)
    assert len(rows[numbers]) == 2
    assert counts.waits.total() == 2


def test_few_rows_of_a_wide_matrix_are_those_of_a_tensor(counts):
    X = torch.zeros(600, 40_000)
    assert few_rows(HostRows(X.cuda())) == few_rows(X)


@pytest.mark.parametrize("largest", [1 << 15, 1 + (1 << 15)])
def test_small_models_of_plain_rows_start_on_the_host(counts, X, largest):
    there, some = X.cuda(), np.arange(50)
    assert starts_on_host(Sample(None, there), largest) == (largest == 1 << 15)
    for sample in (
        Sample(None, X),
        Sample(some, there),
        Sample(None, there, codes=there),
        Sample(None, there, weights=there[:, 0]),
    ):
        assert not starts_on_host(sample, largest)
