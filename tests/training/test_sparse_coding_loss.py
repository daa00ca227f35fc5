"""The gradients written by hand are those of autograd."""

import copy

import pytest
import torch
from device import emulated_cuda
from small_models import autograd_loss, gradients, make_problem
from torch import nn

from skamort.modules import Activation, BatchTopK, Gated, JumpReLU, TopK, add_gradient
from skamort.solvers import GOMP
from skamort.training import (
    GatedLoss,
    JumpReLULoss,
    MatryoshkaLoss,
    PursuitLoss,
    SparseCodingLoss,
)
from skamort.training._data_parallel import OneProcess


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0])])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": TopK(3)},
        {"hidden": (6,)},
        {"hidden": (6, 4), "intercept": False},
        {"intercept": False},
        {"bias": False},
        {"bias": False, "intercept": False},
        {"trainable": False},
        {"activation": TopK(2), "n_components": 40},
        {"activation": TopK(2), "n_components": 40, "trainable": False, "bias": False},
        {"activation": TopK(2), "n_components": 40, "hidden": (6,), "intercept": False},
    ],
    ids=str,
)
def test_gradients_by_hand_equal_autograd(options, alpha, weights):
    module, X = make_problem(**options)
    expected_loss = autograd_loss(module, X, alpha, weights)
    expected_loss.backward()
    expected = gradients(module)
    module.zero_grad()

    weights = None if weights is None else weights.double()
    loss, codes, _ = SparseCodingLoss(alpha, weights).backward(module, X)

    torch.testing.assert_close(loss, expected_loss.detach())
    torch.testing.assert_close(codes.to_dense(), module.encode(X).detach())
    actual = gradients(module)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, msg=name)


class Softplus(Activation):
    """log(1 + exp(a + s)) with a learned shift s for each latent: no code is ever 0."""

    is_masked = False

    def __init__(self, n_components):
        super().__init__()
        self.shift = nn.Parameter(torch.linspace(-1, 1, n_components))

    def forward(self, preactivations):
        return nn.functional.softplus(preactivations + self.shift)

    def backward(self, preactivations, codes, code_grad):
        assert codes.equal(self(preactivations))
        gradient = code_grad * torch.sigmoid(preactivations + self.shift)
        add_gradient(self.shift, gradient.sum(0))
        return gradient


class ProLU(Activation):
    """a where both a and a + m are positive, m learned through a stand-in: dz/dm = a there."""

    is_masked = False

    def __init__(self, n_components):
        super().__init__()
        self.shift = nn.Parameter(torch.linspace(-0.5, 0.5, n_components))

    def forward(self, preactivations):
        active = (preactivations > 0) & (preactivations + self.shift > 0)
        return preactivations * active * (1 + self.shift - self.shift.detach())

    def backward(self, preactivations, codes, code_grad):
        add_gradient(self.shift, (code_grad * codes).sum(0))
        return code_grad * (codes > 0)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0])])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("activation", [Softplus, ProLU])
@pytest.mark.parametrize(
    "options",
    [{}, {"hidden": (6,)}, {"trainable": False}, {"intercept": False, "bias": False}],
    ids=str,
)
def test_an_activation_with_a_backward_of_its_own(activation, options, alpha, weights):
    module, X = make_problem(activation=activation(7), **options)
    expected_loss = autograd_loss(module, X, alpha, weights)
    expected_loss.backward()
    expected = gradients(module)
    module.zero_grad()
    weights = None if weights is None else weights.double()
    outcome = SparseCodingLoss(alpha, weights).backward(module, X)
    torch.testing.assert_close(outcome.loss, expected_loss.detach())
    actual = gradients(module)
    assert actual.keys() == expected.keys()
    assert actual["activation.shift"].count_nonzero() >= 5
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, msg=name)


def test_forward_is_the_value_that_backward_returns():
    module, X = make_problem()
    criterion = SparseCodingLoss(0.2, torch.linspace(0.5, 1.5, 5, dtype=torch.float64))
    X_hat, codes = module(X)
    loss = criterion.backward(module, X).loss
    torch.testing.assert_close(criterion(X_hat - X, codes).detach(), loss)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0])])
@pytest.mark.parametrize(
    "options", [{}, {"n_components": 40}, {"trainable": False, "bias": False}], ids=str
)
def test_auxiliary_gradients_are_those_of_the_dead_latents_loss(options, weights):
    module, X = make_problem(activation=TopK(2), **options)
    weights = None if weights is None else weights.double()
    gamma = 1 if weights is None else weights
    dead = torch.tensor([0, 1, 2, 4, 5])  # of which more than n_features / 2 are positive at times
    loss = autograd_loss(module, X, 0, weights)
    loss.backward()
    expected = gradients(module)
    module.zero_grad()

    residual, centered = (module(X)[0] - X).detach(), module.center(X).detach()
    codes = TopK(2)(module.encoder(centered)[:, dead])  # n_features / 2 = 2
    error = (codes @ module.decoder.dictionary[dead] + residual) * gamma
    weight = (centered * gamma).square().sum() / (residual * gamma).square().sum() / 32
    (weight * 0.5 * error.square().sum() / len(X)).backward()
    for name, gradient in gradients(module).items():
        if gradient is not None:
            assert gradient[dead].any()
            expected[name] = expected[name] + gradient
    module.zero_grad()

    criterion = SparseCodingLoss(0.0, weights)
    criterion.dead = dead
    torch.testing.assert_close(criterion.backward(module, X).loss, loss.detach())
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


LOSSES = [
    (SparseCodingLoss, {"alpha": 0.3}, lambda: None),
    (GatedLoss, {"alpha": 0.3}, lambda: Gated(7)),
    (MatryoshkaLoss, {"prefix_sizes": [2, 5, 7]}, lambda: BatchTopK(2)),
    (PursuitLoss, {"solver": GOMP(2, n_stages=2)}, lambda: TopK(2)),
]


@pytest.mark.parametrize(("kind", "given", "activation"), LOSSES)
def test_every_loss_teaches_the_dead_what_the_codes_leave_over(kind, given, activation):
    module, X = make_problem(activation=activation())
    gamma, rows = torch.linspace(0.5, 2, 5).double(), torch.linspace(0, 2, len(X)).double()
    criterion, dead = kind(**given, feature_weights=gamma), torch.tensor([0, 1, 2, 4, 5])
    criterion.sample_weight = rows
    without = criterion.backward(module, X)
    expected = gradients(module)
    module.zero_grad()
    centered, dictionary = module.center(X).detach(), module.decoder.dictionary
    residual = (without.codes.to_dense() @ dictionary - centered).detach()

    def energy(values):
        return (rows * (values * gamma).square().sum(1)).sum() / len(X)

    codes = TopK(2)(module.encoder(centered)[:, dead])
    weight = energy(centered) / energy(residual) / 32
    (energy(codes @ dictionary[dead] + residual) * weight / 2).backward()
    added = gradients(module)
    module.zero_grad()
    criterion.dead = dead
    torch.testing.assert_close(criterion.backward(module, X).loss, without.loss)
    for name, gradient in gradients(module).items():
        more = 0 if added[name] is None else added[name]
        torch.testing.assert_close(gradient, expected[name] + more, msg=name)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("kind", "given", "activation"),
    [
        *LOSSES[:3],
        (SparseCodingLoss, {}, lambda: TopK(2)),
        (JumpReLULoss, {"alpha": 0.3}, lambda: JumpReLU(7, 0.1, 0.5)),
    ],
)
def test_a_gpu_has_the_values_and_gradients_of_a_cpu(kind, given, activation, weighted):
    module, X = make_problem(activation=activation())
    there, criterion = copy.deepcopy(module), kind(**given)
    rows = torch.linspace(0, 2, len(X)).double() if weighted else None
    dead = None if kind is JumpReLULoss else torch.tensor([1, 4])
    criterion.dead, criterion.sample_weight = dead, rows
    here = criterion.backward(module, X), criterion.evaluate(module, X)
    with emulated_cuda():
        there.to("cuda")
        criterion.to("cuda")
        criterion.dead = None if dead is None else dead.to("cuda")
        criterion.sample_weight = None if rows is None else rows.to("cuda")
        outcomes = [call(there, X.to("cuda")) for call in (criterion.backward, criterion.evaluate)]
        found = [(outcome.loss.cpu(), outcome.codes.to_dense().cpu()) for outcome in outcomes]
        grads = {name: gradient.cpu() for name, gradient in gradients(there).items()}
    for outcome, (loss, codes) in zip(here, found, strict=True):
        torch.testing.assert_close(loss, outcome.loss)
        torch.testing.assert_close(codes, outcome.codes.to_dense())
    torch.testing.assert_close(grads, gradients(module))


def test_where_nothing_is_left_over_the_dead_learn_nothing():
    """Of rows that are zero, weigh nothing, or are reconstructed."""
    module, X = make_problem(intercept=False, bias=False, n_components=5)
    module.decoder.dictionary.data = torch.eye(5).double()
    module.encoder.weight.data = torch.eye(5).double()
    criterion = SparseCodingLoss()
    criterion.dead = torch.tensor([1, 4])
    for rows, weights in ((0 * X, None), (X, 0 * X[:, 0]), (X.abs(), None)):
        criterion.sample_weight = weights
        criterion.backward(module, rows)
        assert not any(gradient.any() for gradient in gradients(module).values())


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0])])
@pytest.mark.parametrize(
    "options",
    [{}, {"n_components": 200}, {"n_components": 40}, {"trainable": False, "bias": False}],
    ids=str,
)
def test_multi_topk_adds_an_eighth_of_the_loss_of_four_k(options, weights):
    module, X = make_problem(activation=TopK(2), **options)
    weights = None if weights is None else weights.double()
    loss = autograd_loss(module, X, 0, weights)
    module.activation = TopK(min(8, len(module.decoder.dictionary)))
    (loss + autograd_loss(module, X, 0, weights) / 8).backward()
    expected = gradients(module)
    module.zero_grad()

    module.activation = TopK(2)
    value, codes, _ = SparseCodingLoss(0.0, weights, multi_topk=True).backward(module, X)
    torch.testing.assert_close(value, loss.detach())
    torch.testing.assert_close(codes.to_dense(), module.encode(X).detach())
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def test_backward_changes_no_weight():
    module, X = make_problem()
    before = [p.clone() for p in module.parameters()]
    SparseCodingLoss(0.2).backward(module, X)
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))


def test_half_precision_products_leave_gradients_of_the_weights_dtype():
    """Close to the exact gradients, as close as eight bits allow."""
    for options in ({}, {"activation": TopK(2), "n_components": 40}, {"hidden": (6,)}):
        module, X = make_problem(**options)
        module, X = module.float(), X.float()
        SparseCodingLoss(0.1).backward(module, X)
        exact = {name: gradient.clone() for name, gradient in gradients(module).items()}
        module.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            SparseCodingLoss(0.1).backward(module, X)
        for name, gradient in gradients(module).items():
            assert gradient.dtype == torch.float32
            assert (gradient - exact[name]).norm() <= 0.1 * exact[name].norm(), name


@pytest.mark.parametrize("dead", [None, torch.tensor([0, 3])])
@pytest.mark.parametrize("multi_topk", [False, True])
def test_a_gradient_that_is_exchanged_early_is_the_last_word(dead, multi_topk):
    begun = []

    class Watched(OneProcess):
        def begin(self, parameter):
            begun.append((parameter, parameter.grad.clone()))

    module, X = make_problem(activation=TopK(2))
    loss = SparseCodingLoss(multi_topk=multi_topk)
    loss.dead, loss.processes = dead, Watched()
    loss.backward(module, X)
    assert len(begun) == (dead is None and not multi_topk)
    for parameter, gradient in begun:
        assert torch.equal(parameter.grad, gradient)
