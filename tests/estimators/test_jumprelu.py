import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from small_models import gradients, make_problem

from skamort import JumpReLUSAE
from skamort.datasets import make_sparse_coded_signal
from skamort.modules import JumpReLU
from skamort.training import InMemoryData, JumpReLULoss, LatentActivity, ResampleDead, SparseNet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0]).double()
BANDWIDTH = 0.4


@pytest.fixture(scope="module")
def signal():
    return make_sparse_coded_signal(
        500, n_components=16, n_features=8, n_nonzero_coefs=2, positive=True, random_state=0
    )


def make_model(**options):
    """A model with thresholds of several heights, close to many pre-activations."""
    module, X = make_problem(activation=JumpReLU(7, BANDWIDTH, 1.0), **options)
    with torch.no_grad():
        module.activation.log_threshold.add_(torch.linspace(-0.5, 0.5, 7))
    return module, X


# -- Gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize(("alpha", "alpha_factor"), [(0.0, 1.0), (0.3, 1.0), (0.3, 0.25)])
def test_thresholds_learn_by_the_formulas_of_the_papers(alpha, alpha_factor, weights):
    """Latent by latent and row by row."""
    module, X = make_model()
    criterion = JumpReLULoss(alpha, weights)
    criterion.alpha_factor = alpha_factor
    criterion.backward(module, X)
    with torch.no_grad():
        u = module.encoder(module.center(X))
        theta = module.activation.log_threshold.exp()
        X_hat, codes = module(X)
        gamma = torch.ones(5) if weights is None else weights
        code_grad = gamma**2 * (X_hat - X) / len(X) @ module.decoder.dictionary.T
    expected, n_inside = torch.zeros(7).double(), 0
    for i in range(len(X)):
        for j in range(7):
            assert codes[i, j] == (u[i, j] if u[i, j] > theta[j] else 0)
            if abs(u[i, j] - theta[j]) < BANDWIDTH / 2:
                n_inside += 1
                expected[j] -= theta[j] ** 2 / BANDWIDTH * code_grad[i, j]
                expected[j] -= alpha_factor * alpha / len(X) * theta[j] / BANDWIDTH
    assert n_inside >= 7
    torch.testing.assert_close(module.activation.log_threshold.grad, expected)


def stand_in(module, X, alpha, weights):
    """The loss, with steps that ramps stand in for where thresholds are concerned."""
    centered = X if module.decoder.intercept is None else X - module.decoder.intercept
    u = module.encoder(centered)
    theta = module.activation.log_threshold.exp()
    ramp = ((u.detach() - theta) / BANDWIDTH + 0.5).clamp(0, 1)
    step = (u > theta).double() + ramp - ramp.detach()  # its value is the step's
    codes = u * step.detach() + theta.detach() * (step - step.detach())
    residual = module.decoder(codes) - X
    gamma = torch.ones(5) if weights is None else weights
    return (0.5 * (gamma * residual).square().sum() + alpha * step.sum()) / len(X)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize(
    "options",
    [{}, {"hidden": (6,)}, {"trainable": False}, {"intercept": False, "bias": False}],
    ids=str,
)
def test_all_gradients_are_those_of_autograd_with_ramps_for_steps(options, alpha, weights):
    module, X = make_model(**options)
    loss = stand_in(module, X, alpha, weights)
    loss.backward()
    expected = gradients(module)
    module.zero_grad()
    criterion = JumpReLULoss(alpha, weights)
    outcome = criterion.backward(module, X)
    torch.testing.assert_close(outcome.loss, loss.detach())
    torch.testing.assert_close(criterion.evaluate(module, X).loss, loss.detach())
    torch.testing.assert_close(outcome.codes.to_dense(), module.encode(X).detach())
    actual = gradients(module)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.any(), name
        torch.testing.assert_close(actual[name], gradient, msg=name)


def test_a_step_adds_to_gradients_that_are_there():
    module, X = make_model()
    JumpReLULoss(0.3).backward(module, X)
    once = {name: gradient.clone() for name, gradient in gradients(module).items()}
    JumpReLULoss(0.3).backward(module, X)
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, 2 * once[name], msg=name)


# -- The activation --------------------------------------------------------------------------------


def test_codes_are_what_lies_above_the_threshold_as_it_is():
    activation = JumpReLU(3, 0.5, 1.0)
    A = torch.tensor([[0.4, 0.6, -3.0], [0.5, 7.0, 0.0]])
    assert activation(A).tolist() == [[0, pytest.approx(0.6), 0], [0, 7, 0]]


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, torch.tensor([0.5, 1.0, 4.0])])
def test_thresholds_follow_pre_activations(scale):
    activation = JumpReLU(3, 0.5, 1.0)
    A = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    before = activation(A)
    activation.rescale(scale)
    torch.testing.assert_close(activation(A * scale), before * scale)
    assert activation.start.item() == pytest.approx(0.5 * float(torch.as_tensor(scale).mean()))


@pytest.mark.parametrize("bandwidth", [0.5, 2.0])
def test_the_window_is_as_wide_as_the_bandwidth_says(bandwidth):
    activation = JumpReLU(1, 0.1, bandwidth)
    near = 0.1 + 0.1 * bandwidth * torch.tensor([[-0.51], [-0.49], [0.49], [0.51]])
    activation.charge(near, price=3.0)
    expected = -2 * 3.0 * 0.1 / (0.1 * bandwidth)
    assert activation.log_threshold.grad.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("target_l0", [None, 3, 15])  # no threshold >= 0 leaves 15 of 16
def test_thresholds_start_where_a_code_pays_for_itself_and_codes_reconstruct_best(
    signal, target_l0
):
    X = 5 * signal[0] + 100
    wanted = {"alpha": 0.5} if target_l0 is None else {"target_l0": target_l0}
    sae = JumpReLUSAE(16, fit_intercept=True, max_iter=1, learning_rate=1e-12, **wanted)
    activation = sae.fit(X).net_.module_.activation
    if target_l0 is None:
        assert_allclose(activation.log_threshold.exp().detach(), 1.0, rtol=1e-5)
    codes = sae.transform(X)
    assert (codes > 0).any(axis=0).sum() > 8
    decoded, centered = codes @ sae.components_, X - sae.intercept_
    assert (decoded * centered).sum() / (decoded**2).sum() == pytest.approx(1, abs=0.1)


# -- The estimator ---------------------------------------------------------------------------------


def test_fewer_codes_are_active_as_they_cost_more(signal):
    X = signal[0]
    active = []
    for alpha in (1e-4, 0.003, 0.03, 0.3):
        sae = JumpReLUSAE(16, alpha=alpha, learning_rate=3e-3, batch_size=64, random_state=0)
        sae.set_params(max_iter=100, n_iter_no_change=100)
        active.append((sae.fit_transform(X) > 0).sum(axis=1).mean())
    assert all(more > 1.2 * fewer for more, fewer in pairwise(active))


def test_thresholds_move_apart(signal):
    sae = JumpReLUSAE(16, learning_rate=3e-3, max_iter=100, random_state=0).fit(signal[0])
    activation = sae.net_.module_.activation
    thresholds = activation.log_threshold.exp().detach()
    assert thresholds.max() > 1.2 * thresholds.min()
    codes = sae.transform(signal[0])
    smallest = np.where(codes > 0, codes, np.inf).min(axis=0)
    assert (smallest >= thresholds.numpy()).all()


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_unit_of_the_data_is_that_of_the_codes(signal, unit):
    X = signal[0] + 0.5
    sae = JumpReLUSAE(16, fit_intercept=True, learning_rate=3e-3, max_iter=20, random_state=0)
    scaled = clone(sae.set_params(alpha=0.01)).set_params(alpha=unit**2 * 0.01).fit(unit * X)
    codes = sae.fit(X).transform(X)
    assert_allclose(scaled.transform(unit * X), unit * codes, atol=1e-4 * unit * codes.max())
    assert_allclose(scaled.loss_curve_, unit**2 * np.array(sae.loss_curve_), rtol=1e-5)
    ours, theirs = (e.net_.module_.activation.log_threshold.detach().exp() for e in (sae, scaled))
    assert_allclose(theirs, unit * ours, rtol=1e-4)


def test_a_known_dictionary_is_kept_and_its_codes_are_found(signal):
    X, dictionary, codes = signal
    settings = {"learning_rate": 3e-3, "schedule": None, "max_iter": 300, "random_state": 0}
    sae = JumpReLUSAE(dictionary=3 * dictionary, **settings).fit(X)
    assert_allclose(sae.components_, dictionary, atol=1e-6)
    found = sae.transform(X)
    agreement = np.mean((found > 0) == (codes > 0))
    assert agreement > 0.85
    assert sae.loss_curve_[-1] < 0.8 * sae.loss_curve_[0]


def test_the_loss_counts_codes(signal):
    X = signal[0]
    sae = JumpReLUSAE(
        16, alpha=0.2, feature_weights="variance", max_iter=1, learning_rate=1e-12, random_state=0
    ).fit(X)
    codes = sae.transform(X)
    residual = sae.feature_weights_ * (X - sae.inverse_transform(codes))
    expected = 0.5 * np.square(residual).sum(axis=1) + 0.2 * (codes > 0).sum(axis=1)
    assert sae.loss_curve_[0] == pytest.approx(expected.mean(), rel=1e-5)


def test_resampled_latents_get_their_threshold_and_its_moments_back():
    module, X = make_model()
    module, X = module.float(), X.float()
    activation, dead = module.activation, [1, 4]
    with torch.no_grad():
        activation.log_threshold[dead] = 5.0
    start = activation.log_threshold.detach().clone()
    living = (module.encode(X) > 0).any(0)
    assert living.sum() >= 4
    remedy = ResampleDead(window=30)
    net = SparseNet(
        module,
        JumpReLULoss(0.1),
        learning_rate=1e-9,
        batch_size=11,
        generator=torch.Generator().manual_seed(0),
        callbacks=[("activity", LatentActivity()), remedy],
        max_epochs=3,
    ).initialize()
    net.partial_fit(InMemoryData(X))
    thresholds = activation.log_threshold.detach()
    torch.testing.assert_close(thresholds[dead], torch.full((2,), math.log(BANDWIDTH)))
    torch.testing.assert_close(thresholds[living], start[living])
    moments = net.optimizer_.state[activation.log_threshold]
    assert not moments["exp_avg"][dead].any()
    mean = moments["exp_avg_sq"][living].mean().expand(2)
    torch.testing.assert_close(moments["exp_avg_sq"][dead], mean)
    assert moments["exp_avg"][living].any()


def test_dead_latents_come_to_life(signal):
    X = np.hstack([signal[0], np.zeros((500, 8))])  # half of the first atoms are orthogonal to it
    start = np.vstack([np.eye(16)[8:], np.eye(16)[:8]])
    sae = JumpReLUSAE(dict_init=start, max_iter=30, learning_rate=3e-3, random_state=0)
    plain = clone(sae).fit(X)
    revived = sae.set_params(dead_latents="resample").fit(X)
    assert plain.dead_fraction_ > revived.dead_fraction_ + 0.2


def test_half_precision_trains_as_well(signal):
    X = signal[0].astype(np.float32)
    sae = JumpReLUSAE(16, learning_rate=3e-3, max_iter=60, random_state=0)
    half = clone(sae).set_params(precision="bfloat16").fit(X)
    sae.fit(X)
    assert half.loss_curve_ != sae.loss_curve_
    assert half.loss_curve_[-1] == pytest.approx(sae.loss_curve_[-1], rel=0.1)
    assert {p.dtype for p in half.net_.module_.parameters()} == {torch.float32}


def test_partial_fit_and_warm_start_go_on_with_the_thresholds(signal):
    X = signal[0]
    settings = {"tol": 0, "learning_rate": 3e-3, "schedule": None, "dead_latents": None}
    sae = JumpReLUSAE(16, max_iter=6, random_state=0, **settings)
    with pytest.warns(ConvergenceWarning):
        whole = clone(sae).fit(X)
    for _ in range(6):
        sae.partial_fit(X)
    for name, value in whole.net_.module_.state_dict().items():
        assert_array_equal(sae.net_.module_.state_dict()[name], value)
    assert whole.net_.module_.activation.log_threshold.std() > 0
