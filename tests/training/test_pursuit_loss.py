"""Codes that a pursuit finds teach the dictionary, with the gradients of autograd."""

import pytest
import torch
from small_models import autograd_loss, gradients, make_problem

from skamort.modules import SignedTopK, TopK
from skamort.solvers import GOMP
from skamort.training import PursuitLoss, SparseCodingLoss

OPTIONS = [
    {"activation": TopK(2)},
    {"activation": TopK(2), "n_components": 40},
    {"activation": TopK(2), "n_components": 40, "hidden": (6,), "intercept": False},
    {"activation": TopK(3), "trainable": False, "bias": False},
]


def pursuit_of(module, X, solver, gamma):
    """The codes that the solver finds on from the module's, of weighted features."""
    centered, dictionary = module.center(X) * gamma, module.decoder.dictionary * gamma
    start = module.encode(X)
    return solver.solve(centered, dictionary, positive=True, init=start).codes


def solved_again(centered, dictionary, codes):
    """Least squares on the supports of codes, row by row, differentiably."""
    rows = []
    for x, z in zip(centered, codes, strict=True):
        atoms = dictionary[z != 0]
        solution = torch.linalg.solve(atoms @ atoms.T, atoms @ x)
        rows.append(x - solution @ atoms)
    return torch.stack(rows)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0])])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients_are_those_of_both_losses_through_the_least_squares(options, weights):
    module, X = make_problem(**options)
    weights = None if weights is None else weights.double()
    gamma = torch.ones(X.shape[1]) if weights is None else weights
    solver = GOMP(n_nonzero_coefs=module.activation.n_kept, n_stages=2)
    with torch.no_grad():
        codes = pursuit_of(module, X, solver, gamma)
    own = autograd_loss(module, X, 0.0, weights)
    residual = solved_again(module.center(X) * gamma, module.decoder.dictionary * gamma, codes)
    (own + residual.square().sum() / (2 * len(X))).backward()
    expected = gradients(module)
    module.zero_grad()

    value, found, _ = PursuitLoss(solver, feature_weights=weights).backward(module, X)
    torch.testing.assert_close(value, own.detach())
    torch.testing.assert_close(found.to_dense(), module.encode(X).detach())
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def test_the_encoder_learns_from_its_own_codes():
    module, X = make_problem(activation=TopK(2))
    SparseCodingLoss().backward(module, X)
    own = gradients(module)
    module.zero_grad()
    PursuitLoss(GOMP(2, n_stages=2)).backward(module, X)
    changed = {
        name for name, gradient in gradients(module).items() if not torch.equal(gradient, own[name])
    }
    assert changed == {"decoder.dictionary", "decoder.intercept"}


def test_weights_of_samples_are_repetitions():
    module, X = make_problem(activation=TopK(2))
    loss = PursuitLoss(GOMP(2, n_stages=2))
    counts = torch.arange(len(X)) % 3
    loss.backward(module, X.repeat_interleave(counts, dim=0))
    expected = {name: g * int(counts.sum()) / len(X) for name, g in gradients(module).items()}
    module.zero_grad()
    loss.sample_weight = counts.double()
    loss.backward(module, X)
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def test_signed_codes_have_signed_pursuits():
    module, X = make_problem(activation=SignedTopK(2))
    both = []
    for positive in (False, True):
        PursuitLoss(GOMP(2, n_stages=2), positive).backward(module, X)
        both.append(gradients(module)["decoder.dictionary"])
        module.zero_grad()
    assert not torch.allclose(*both)


def test_half_precision_leaves_the_pursuit_alone():
    module, X = make_problem(activation=TopK(2), n_components=40)
    module, X = module.float(), X.float()
    seen = []

    class Solver(GOMP):
        def solve(self, X, dictionary, **options):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().solve(X, dictionary, **options)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        PursuitLoss(Solver(2, n_stages=2)).backward(module, X)
    assert seen == [False]


@pytest.mark.parametrize(("k", "n_stages"), [(3, 3), (4, 4), (4, 2)])
def test_operations_are_those_of_the_stages(k, n_stages):
    module, _ = make_problem(activation=TopK(k))
    n_atoms, n_features = module.decoder.dictionary.shape
    gram = sum(n * n for n in range(k // n_stages, k + 1, k // n_stages))  # of each support
    products = (n_stages - 1) * n_atoms + gram + 2 * k
    more = PursuitLoss(GOMP(k, n_stages=n_stages)).flops(module) - SparseCodingLoss().flops(module)
    assert more == 2 * products * n_features
