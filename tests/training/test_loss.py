"""What all losses promise."""

import pytest
import torch
from small_models import make_problem

from skamort.training import CodeRegressionLoss, SparseCodingLoss


@pytest.mark.parametrize("criterion", [SparseCodingLoss(0.2), CodeRegressionLoss()], ids=str)
def test_evaluate_is_backward_without_gradients(criterion):
    module, X = make_problem()
    batch = (X,) if isinstance(criterion, SparseCodingLoss) else (X, torch.rand(11, 7).double())
    value, codes, _ = criterion.evaluate(module, *batch)
    assert all(p.grad is None for p in module.parameters())
    expected, expected_codes, _ = criterion.backward(module, *batch)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(codes.to_dense(), expected_codes.to_dense())


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0]).double()])
def test_best_scale_of_the_codes_minimizes_the_squared_error(weights):
    module, X = make_problem(bias=False)
    criterion = SparseCodingLoss(0.0, weights)
    scale = SparseCodingLoss(0.05, weights).best_scale(module, X)

    def loss(factor):
        codes = factor * module.encode(X)
        return criterion(module.decoder(codes) - X, codes).item()

    assert scale != 1.0
    assert loss(scale) < min(loss(0.99 * scale), loss(1.01 * scale))
    module, X = make_problem(intercept=False)
    assert criterion.best_scale(module, torch.zeros_like(X)) == 1.0  # nothing to reconstruct
