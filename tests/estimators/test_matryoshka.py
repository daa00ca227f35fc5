"""MatryoshkaSAE: every prefix of the latents reconstructs, and the gradients are those of that."""

import copy

import numpy as np
import pytest
import torch
from small_models import gradients, make_problem

from skamort import BatchTopKSAE, MatryoshkaSAE
from skamort.datasets import make_sparse_coded_signal
from skamort.metrics import fraction_variance_unexplained, mean_l0
from skamort.modules import BatchTopK
from skamort.training import MatryoshkaLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def errors_of(module, X, sizes, gamma, row_weights):
    """The equation, for autograd."""
    codes, atoms = module.encode(X), module.decoder.dictionary
    for size in sizes:
        residual = (codes[:, :size] @ atoms[:size] - module.center(X)) * gamma
        yield (row_weights.unsqueeze(1) * residual.square()).sum() / (2 * len(X))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_gradients_are_those_of_the_equation(weighted, intercept):
    sizes = [1, 4, 7]
    module, X = make_problem(activation=BatchTopK(3), intercept=intercept)
    gamma = torch.linspace(0.5, 2, 5).double() if weighted else torch.ones(5).double()
    rows = torch.linspace(0, 2, len(X)).double() if weighted else torch.ones(len(X)).double()
    loss, other = MatryoshkaLoss(sizes, gamma if weighted else None), copy.deepcopy(module)
    if weighted:
        loss.sample_weight = module.activation.sample_weight = rows
        other.activation.sample_weight = rows
    outcome = loss.backward(module, X)
    errors = torch.stack([*errors_of(other, X, sizes, gamma, rows)])
    errors.mean().backward()
    torch.testing.assert_close(outcome.loss, errors.mean().detach())
    torch.testing.assert_close(torch.stack([*outcome.terms.values()]), errors.detach())
    torch.testing.assert_close(gradients(module), gradients(other))
    module.eval()
    other.eval()
    errors = torch.stack([*errors_of(other, X, sizes, gamma, rows)])
    torch.testing.assert_close(loss.evaluate(module, X).loss, errors.mean().detach())


def test_first_latents_do_without_the_others():
    """Better than those of a model that does not ask for it; k codes in use as there."""
    asked = {"n_components": 64, "n_features": 24, "n_nonzero_coefs": 4, "random_state": 0}
    X = make_sparse_coded_signal(4000, **asked)[0].astype(np.float32)
    quick = {"k": 4, "max_iter": 12, "random_state": 0}
    nested = MatryoshkaSAE(64, prefix_sizes=(8, 64), **quick).fit(X)
    plain = BatchTopKSAE(64, **quick).fit(X)
    left = []
    for sae in (nested, plain):
        codes = sae.transform(X)
        assert mean_l0(codes) == pytest.approx(4, rel=0.05)
        codes[:, 8:] = 0
        left.append(fraction_variance_unexplained(X, sae.inverse_transform(codes)))
    assert left[0] < 0.9 * left[1]
    last = nested.net_.history[-1]
    assert last["train_error_64"] < last["train_error_8"]


@pytest.mark.parametrize(
    ("n_components", "expected"), [(64, [4, 8, 16, 32, 64]), (3, [1, 3]), (1, [1])]
)
def test_by_default_prefixes_are_halves(n_components, expected):
    X = np.random.RandomState(0).randn(20, 9)
    assert MatryoshkaSAE(n_components, k=1, max_iter=1).fit(X).prefix_sizes_ == expected


@pytest.mark.parametrize("sizes", [[4, 8], [8, 4, 12], [4, 4, 12], [0, 12], [4.5, 12], [], [[12]]])
def test_prefixes_that_do_not_rise_to_the_width_are_refused(sizes):
    X = np.random.RandomState(0).randn(20, 9)
    with pytest.raises(ValueError, match=r"MatryoshkaSAE: prefix_sizes must .* n_components=12, g"):
        MatryoshkaSAE(12, prefix_sizes=sizes).fit(X)
