"""The loss of known codes."""

import pytest
import torch
from small_models import make_problem

from skamort.training import CodeRegressionLoss


def test_cosine_regression_ignores_each_latents_scale():
    generator = torch.Generator().manual_seed(0)
    codes, target = torch.rand(2, 9, 4, generator=generator)
    loss = CodeRegressionLoss("cosine")
    scale = torch.tensor([0.1, 1.0, 5.0, 20.0])
    torch.testing.assert_close(loss(codes * scale, target), loss(codes, target))
    torch.testing.assert_close(loss(target * scale, target), torch.tensor(-1.0))


def test_squared_error_regression():
    codes, target = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [2.0, 1.0]])
    assert CodeRegressionLoss("squared_error")(codes, target) == pytest.approx((2 + 2) / 2)


def test_code_regression_leaves_the_encoders_gradients():
    module, X = make_problem(trainable=False, intercept=False)
    target = torch.rand(len(X), 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss, codes, _ = CodeRegressionLoss("squared_error").backward(module, X, target)
    residual = (codes.to_dense() - target) / len(X)
    torch.testing.assert_close(
        module.encoder.weight.grad, (residual * (codes.to_dense() > 0)).T @ X
    )
    torch.testing.assert_close(loss, (codes.to_dense() - target).square().sum() / (2 * len(X)))
