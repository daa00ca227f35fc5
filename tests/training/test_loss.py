"""What all losses promise."""

import pytest
import torch
from small_models import gradients, make_problem

from skamort.training import CodeRegressionLoss, ReconstructionLoss, SparseCodingLoss


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
    assert CodeRegressionLoss().best_scale(module, X) == 1.0


class SmoothLoss(ReconstructionLoss):
    """Squared error and the squares of the codes, which autograd differentiates."""

    def equation(self, module, X):
        X_hat, codes = module(X)
        penalty = self.alpha * codes.square().sum() / len(X)
        return {"error": self.error(X_hat - X), "penalty": penalty}, codes


WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0]).double()


@pytest.mark.parametrize("alpha_factor", [1.0, 0.25])
@pytest.mark.parametrize("options", [{}, {"hidden": (6,)}, {"trainable": False}], ids=str)
def test_a_loss_by_its_equation_has_the_gradients_of_autograd(options, alpha_factor):
    """While the penalty warms up the gradients have a part of it, the value all."""
    module, X = make_problem(**options)
    X_hat, codes = module(X)
    error = 0.5 * ((X_hat - X) * WEIGHTS).square().sum() / 11
    penalty = 0.3 * codes.square().sum() / 11
    (error + alpha_factor * penalty).backward()
    expected = gradients(module)
    module.zero_grad()

    criterion = SmoothLoss(0.3, WEIGHTS)
    criterion.alpha_factor = alpha_factor
    with torch.no_grad():  # as in a step of the net
        outcome = criterion.backward(module, X)
    torch.testing.assert_close(outcome.loss, (error + penalty).detach())
    torch.testing.assert_close(outcome.codes.to_dense(), codes.detach())
    parts = {"error": error.detach(), "penalty": penalty.detach()}
    torch.testing.assert_close(outcome.terms, parts)
    assert not any(value.requires_grad for value in outcome.terms.values())
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)
    module.zero_grad()
    assert criterion.evaluate(module, X).loss == outcome.loss
    assert all(p.grad is None for p in module.parameters())


def test_a_single_term_is_not_told_beside_the_value():
    module, X = make_problem()
    outcome = CodeRegressionLoss().evaluate(module, X, torch.rand(11, 7).double())
    assert outcome.terms == {}
