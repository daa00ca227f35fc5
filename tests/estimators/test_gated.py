"""GatedSAE: gates decide which codes are active; gradients are those of the paper's loss."""

import copy
from unittest.mock import patch

import numpy as np
import pytest
import torch
from small_models import gradients, make_problem

from skamort import GatedSAE, SAEEncoder
from skamort.datasets import make_sparse_coded_signal
from skamort.modules import DenseCodes, Gated, RaggedCodes, _ragged_codes
from skamort.training import GatedLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_model(intercept=True):
    module, X = make_problem(activation=Gated(7), intercept=intercept)
    with torch.no_grad():
        module.activation.log_scale.add_(torch.linspace(-0.5, 0.5, 7))
        module.activation.shift.add_(torch.linspace(0.3, -0.3, 7))
    return module, X


def equation(module, X, alpha, gamma, rows):
    centered, decoder = module.center(X), module.decoder
    gates, activation = module.encoder(centered), module.activation
    size = (activation.log_scale.exp() * gates + activation.shift).relu()
    codes, open_gates = (gates > 0) * size, gates.relu()
    residuals = [
        codes @ decoder.dictionary - centered,
        open_gates @ decoder.dictionary.detach() - frozen(module, X),
    ]
    errors = sum((rows[:, None] * (gamma * r).square()).sum() / 2 for r in residuals)
    return (errors + alpha * (rows @ open_gates).sum()) / len(X)


def frozen(module, X):
    return X if module.decoder.intercept is None else X - module.decoder.intercept.detach()


@pytest.mark.parametrize("layout", [DenseCodes, RaggedCodes])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_gradients_are_those_of_the_equation(layout, weighted, intercept):
    module, X = make_model(intercept)
    gamma = torch.linspace(0.5, 2, 5).double() if weighted else torch.ones(5).double()
    rows = torch.linspace(0, 2, len(X)).double() if weighted else torch.ones(len(X)).double()
    loss, other = GatedLoss(0.3, gamma if weighted else None), copy.deepcopy(module)
    loss.sample_weight = rows if weighted else None
    with patch.object(_ragged_codes, "sparse_pays", lambda *_: layout is RaggedCodes):
        outcome = loss.backward(module, X)
        evaluated = loss.evaluate(module, X)
    assert type(outcome.codes) is layout
    expected = equation(other, X, 0.3, gamma, rows)
    expected.backward()
    for found in (outcome, evaluated):
        torch.testing.assert_close(found.loss, expected.detach())
        torch.testing.assert_close(found.codes.to_dense(), module.encode(X).detach())
    torch.testing.assert_close(gradients(module), gradients(other))


def test_the_penalty_warms_up_in_gradients_alone():
    module, X = make_model()
    loss, other = GatedLoss(0.3), copy.deepcopy(module)
    loss.alpha_factor = 0.5
    ones = torch.ones(5).double(), torch.ones(len(X)).double()
    equation(other, X, 0.15, *ones).backward()
    value = loss.backward(module, X).loss
    torch.testing.assert_close(value, equation(other, X, 0.3, *ones).detach())
    torch.testing.assert_close(gradients(module), gradients(other))


def test_the_derivative_is_that_of_the_codes():
    activation = Gated(5).double()
    with torch.no_grad():
        activation.log_scale.add_(0.3)
        activation.shift.add_(torch.linspace(-0.5, 0.5, 5))
    A = torch.linspace(-2, 2, 40).double().reshape(8, 5).requires_grad_()
    codes, code_grad = activation(A), torch.arange(40.0).double().reshape(8, 5)
    expected = torch.autograd.grad(codes, [A, *activation.parameters()], code_grad)
    found = activation.backward(A.detach(), codes.detach(), code_grad)
    torch.testing.assert_close([found, *(p.grad for p in activation.parameters())], [*expected])


def test_codes_follow_their_gates_when_these_are_rescaled():
    module, X = make_model()
    codes = module.encode(X)
    factor = torch.linspace(0.5, 2, 7).double()
    module.rescale(factor)
    torch.testing.assert_close(module.encode(X), factor * codes)
    module.activation.restart(torch.tensor([1, 4]))
    gates = module.encoder(module.center(X)).relu()
    torch.testing.assert_close(module.encode(X)[:, [1, 4]], gates[:, [1, 4]])


def test_codes_are_not_shrunk():
    """At fewer codes a smaller error than ReLU, and reconstructions closer to size."""
    asked = {"n_components": 48, "n_features": 24, "n_nonzero_coefs": 4, "random_state": 0}
    X = make_sparse_coded_signal(3000, **asked, positive=True)[0].astype(np.float32)
    quick = {"max_iter": 25, "tol": 0, "random_state": 0}
    found = []
    for sae in (GatedSAE(48, alpha=0.5, **quick), SAEEncoder(48, alpha=0.25, **quick)):
        codes = sae.fit(X).transform(X)
        X_hat, center = sae.inverse_transform(codes) - sae.intercept_, X - sae.intercept_
        slope = (X_hat * center).sum() / (X_hat**2).sum()
        found.append(((codes > 0).sum(1).mean(), sae.score(X), abs(slope - 1)))
    gated, plain = found
    assert gated[0] < plain[0]
    assert gated[1] > plain[1]
    assert gated[2] < plain[2]
