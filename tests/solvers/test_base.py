"""Products of samples and atoms, whichever library multiplies them."""

import pytest
import torch

from skamort.solvers._base import Problem


def products(X, dictionary):
    return Problem(dictionary, torch.ones(()), None, dictionary, None, False).correlations(X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_samples", [0, 1, 37])
def test_correlations_are_the_product_to_rounding(dtype, n_samples):
    generator = torch.Generator().manual_seed(0)
    X, dictionary = (torch.randn(n, 50, generator=generator).to(dtype) for n in (n_samples, 90))
    found = products(X, dictionary)
    exact = X.double() @ dictionary.double().T
    assert found.dtype == dtype
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=200 * torch.finfo(dtype).eps)


def test_torch_multiplies_where_there_is_no_onednn(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.Tensor, "to_mkldnn", None)
    X, dictionary = torch.eye(3), torch.arange(12.0).reshape(4, 3)
    assert torch.equal(products(X, dictionary), dictionary.T)
