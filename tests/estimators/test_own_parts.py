"""Estimators with an activation, a loss or an encoder of the user's own."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from skamort import SAEEncoder, TopKSAE
from skamort.estimators import fit_many
from skamort.modules import Activation, Encoder, add_gradient
from skamort.training import Checkpoint, Loss, ReconstructionLoss, Schedule, SparseCodingLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).standard_normal((60, 6))
QUICK = {"n_components": 12, "max_iter": 4, "batch_size": 16, "tol": 0, "random_state": 0}
N_STEPS = 4 * 4

seen = []  # whether the activation was in training, call by call


class Jittery(Activation):
    """A ReLU that lets pass only half of the codes in training."""

    def forward(self, preactivations):
        seen.append(self.training)
        codes = preactivations.relu()
        return codes * (torch.arange(codes.shape[1]) % 2) if self.training else codes


class JitterySAE(SAEEncoder):
    """Has that activation."""

    def _make_activation(self, unit):
        return Jittery()


class Note(Callback):
    """Forgets what was seen before training."""

    def on_train_begin(self, net, **kwargs):
        seen.clear()


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


def assert_in_use(sae):
    """No code is left out where the model is used, batch or not."""
    seen.clear()
    module = sae.net_.module_
    rows = torch.as_tensor(X)
    with torch.no_grad():
        expected = module.encoder(module.center(rows)).relu().numpy()
    assert expected[:, ::2].any()
    assert_allclose(sae.transform(X), expected)
    assert_allclose(sae.set_params(sparse_output=True).transform(X).toarray(), expected)
    sae.set_params(sparse_output=False).score(X)
    assert seen
    assert not any(seen)


def test_training_has_an_activation_of_its_own_kind():
    sae = JitterySAE(callbacks=[Note()], **QUICK).fit(X)
    # the last to see whether training diverged, and whether it was of use
    assert seen == [*N_STEPS * [True], False, False]
    assert not sae.latent_frequency_[::2].any()
    assert_in_use(sae)
    assert_in_use(pickle.loads(pickle.dumps(sae)))
    sae.partial_fit(X)
    assert_in_use(sae)


def test_held_out_rows_are_encoded_as_in_use():
    sae = JitterySAE(early_stopping=True, callbacks=[Note()], **QUICK).fit(X)
    epoch = 4 * [True] + [False]
    assert seen == [*4 * epoch, False, False]
    assert_in_use(sae)
    assert len(sae.validation_loss_curve_) == 4


class Interrupt(Callback):
    """The user's patience ends in the second epoch."""

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == 2:
            raise KeyboardInterrupt


class Fail(Callback):
    """The power fails after a number of steps."""

    def __init__(self, n_steps):
        self.left = n_steps

    def on_batch_end(self, net, training, **kwargs):
        self.left -= training
        if self.left < 0:
            raise TimeoutError


def test_a_fit_that_was_interrupted_leaves_a_model_in_use():
    sae = JitterySAE(callbacks=[Interrupt()], **QUICK)
    with pytest.warns(UserWarning, match="interrupted in epoch 2"):
        sae.fit(X)
    assert_in_use(sae)
    sae.set_params(callbacks=[Fail(5)])
    with pytest.raises(TimeoutError):
        sae.fit(X)
    assert_in_use(sae)


def test_codes_of_known_scale_are_matched_as_in_use():
    codes = np.random.default_rng(1).random((60, 12))
    sae = JitterySAE(callbacks=[Note()], **QUICK).fit(X, codes=codes)
    assert seen == [*N_STEPS * [True], False, False, False]
    assert_in_use(sae)


def test_many_at_once_are_alone():
    one, other = fit_many(JitterySAE(**QUICK), X, {"alpha": [0.01, 0.1]})
    for model in (one, other):
        assert_array_equal(model.components_, clone(model).fit(X).components_)
        assert_in_use(model)


# -- A loss with terms -----------------------------------------------------------------------------


class SquaredCodes(ReconstructionLoss):
    """Squared error and, as penalty, the squares of the codes."""

    def equation(self, module, X):
        X_hat, codes = module(X)
        penalty = self.alpha * codes.square().sum() / len(X)
        return {"error": self.error(X_hat - X), "penalty": penalty}, codes


class SquaredCodesSAE(SAEEncoder):
    """Has that loss."""

    def _make_loss(self, feature_weights):
        return SquaredCodes(self.alpha_, feature_weights)


def terms(sae, prefix="train"):
    return {name: sae.net_.history[:, f"{prefix}_{name}"] for name in ("error", "penalty")}


def test_the_history_tells_the_terms():
    sae = SquaredCodesSAE(alpha=0.7, fit_intercept=True, early_stopping=True, **QUICK)
    sae.set_params(learning_rate=1e-12).fit(X)
    for prefix, curve in [("train", sae.loss_curve_), ("valid", sae.validation_loss_curve_)]:
        assert_allclose(np.add(*terms(sae, prefix).values()), curve)
    whole = clone(sae).set_params(early_stopping=False).fit(X)
    codes = whole.transform(X)
    residual = whole.inverse_transform(codes) - X
    assert_allclose(terms(whole)["error"], 0.5 * np.square(residual).sum(axis=1).mean())
    assert_allclose(terms(whole)["penalty"], 0.7 * np.square(codes).sum(axis=1).mean())
    assert "train_error" not in SAEEncoder(**QUICK).fit(X).net_.history[-1]


def test_the_penalty_warms_up():
    """What is told is all of it; the weights have felt less."""
    sae = SquaredCodesSAE(alpha=3.0, learning_rate=0.01, **QUICK)
    slow = clone(sae).set_params(schedule=Schedule(alpha_warmup=1.0)).fit(X)
    sae.fit(X)
    assert terms(slow)["penalty"][-1] > 1.02 * terms(sae)["penalty"][-1]
    assert terms(slow)["error"][-1] < terms(sae)["error"][-1]
    free = clone(sae).set_params(alpha=0.0).fit(X)
    assert_array_equal(free.loss_curve_, terms(free)["error"])


@pytest.mark.parametrize("every", [{"every_seconds": 0}, {"every_epochs": 1}], ids=str)
def test_a_resumed_run_keeps_the_terms(every, tmp_path):
    sae = SquaredCodesSAE(alpha=0.7, early_stopping=True, dead_latents="resample", **QUICK)
    undisturbed = clone(sae).fit(X)
    sae.set_params(checkpoint=Checkpoint(tmp_path, **every))
    for n_steps in (2, 6, 5):
        with pytest.raises(TimeoutError):
            clone(sae).set_params(callbacks=[Fail(n_steps)]).fit(X, resume=True)
    assert ("batch" in max(tmp_path.iterdir()).name) == ("every_seconds" in every)
    sae.fit(X, resume=True)
    for prefix in ("train", "valid"):
        assert terms(sae, prefix) == terms(undisturbed, prefix)
    assert sae.loss_curve_ == undisturbed.loss_curve_
    for name, value in undisturbed.net_.module_.state_dict().items():
        assert_array_equal(sae.net_.module_.state_dict()[name], value)


# -- An encoder that autograd differentiates -------------------------------------------------------


class Gated(Encoder):
    """A = s * tanh(X W^T), with a gain s for each latent; it starts at the dictionary."""

    def __init__(self, dictionary):
        super().__init__()
        self.weight = nn.Parameter(dictionary.clone())
        self.gain = nn.Parameter(dictionary.new_ones(len(dictionary)))

    def forward(self, X):
        return self.gain * torch.tanh(X @ self.weight.T)

    @torch.no_grad()
    def rescale(self, scale):
        self.gain.mul_(scale)


class GatedSAE(SAEEncoder):
    """Has that encoder."""

    def _make_encoder(self, centered, dictionary, generator, sample_weight):
        return Gated(dictionary)


def test_an_encoder_with_forward_and_rescale_is_enough():
    sae = GatedSAE(fit_intercept=True, learning_rate=0.01, **QUICK)
    sae.set_params(max_iter=40).fit(X)
    assert sae.loss_curve_[-1] < 0.8 * sae.loss_curve_[0]
    assert sae.net_.module_.encoder.gain.std() > 0
    codes = np.random.default_rng(1).random((60, 12))
    sae.fit(X, codes=5 * codes)
    found = sae.transform(X)
    assert_allclose((found * (found - 5 * codes)).sum(axis=0), 0, atol=1e-8 * (found**2).sum())
    with pytest.raises(ValueError, match="ResampleDead requires latent_rows of the model"):
        sae.set_params(dead_latents="resample").fit(X)


# -- Parts that meet -------------------------------------------------------------------------------


class Shift(Activation):
    """Z = A + t where A > 0, with a learned t > 0 for each latent and a backward of its own."""

    is_masked = False

    def __init__(self, n_components):
        super().__init__()
        self.shift = nn.Parameter(torch.full((n_components,), 0.1))

    def forward(self, preactivations):
        return (preactivations + self.shift) * (preactivations > 0)

    def backward(self, preactivations, codes, code_grad):
        passed = code_grad * (preactivations > 0)
        add_gradient(self.shift, passed.sum(0))
        return passed


class Plain(ReconstructionLoss):
    """1/2 ||r||^2 and nothing else, by autograd."""

    def equation(self, module, X):
        codes = module.encode(X)
        return {"error": self.error(module.decoder(codes) - X)}, codes


class ShiftSAE(SAEEncoder):
    """Has that activation, and that loss or the one by hand."""

    plain = True

    def _make_activation(self, unit):
        return Shift(12)

    def _make_loss(self, feature_weights):
        loss = Plain if self.plain else SparseCodingLoss
        return loss(feature_weights=feature_weights)


class ShiftByHandSAE(ShiftSAE):
    """Has the loss by hand."""

    plain = False


def test_an_activations_own_gradient_counts_in_every_loss():
    by_autograd, by_hand = (cls(**QUICK).fit(X) for cls in (ShiftSAE, ShiftByHandSAE))
    assert_allclose(by_autograd.loss_curve_, by_hand.loss_curve_, rtol=1e-6)
    shifts = [sae.net_.module_.activation.shift.detach() for sae in (by_autograd, by_hand)]
    assert shifts[0].std() > 1e-4
    assert_allclose(*shifts, rtol=1e-4)
    codes = np.abs(X @ np.random.default_rng(2).standard_normal((6, 12)))
    taught = ShiftSAE(**QUICK).fit(X, codes=codes, code_loss="squared_error")
    assert taught.net_.module_.activation.shift.std() > 1e-4


class Bare(Loss):
    """A loss that is an equation and no more, blind to the scale of the data."""

    degree = 0

    def equation(self, module, X):
        codes = module.encode(X)
        error = (module.decoder(codes) - X).square().sum()
        return {"error": error / module.center(X).square().sum()}, codes


class BareSAE(SAEEncoder):
    """Has that loss."""

    def _make_loss(self, feature_weights):
        return Bare()


def test_an_equation_is_enough_for_a_loss():
    sae = BareSAE(learning_rate=0.01, **QUICK).fit(X)
    assert sae.loss_curve_[-1] < sae.loss_curve_[0]
    bigger = clone(sae).fit(1000 * X)
    assert_allclose(bigger.loss_curve_, sae.loss_curve_, rtol=1e-3)


def test_a_term_cannot_take_the_name_of_the_sum(monkeypatch):
    def equation(self, module, X):
        codes = module.encode(X)
        return {"loss": codes.sum(), "penalty": codes.sum()}, codes

    monkeypatch.setattr(Bare, "equation", equation)
    with pytest.raises(ValueError, match="cannot be called 'loss'"):
        BareSAE(**QUICK).fit(X)


class BareTopKSAE(TopKSAE):
    """Has a loss that knows nothing of dead latents."""

    def _make_loss(self, feature_weights):
        return Bare()


def test_dead_latents_are_taught_only_by_a_loss_that_can():
    with pytest.raises(ValueError, match="TeachDead requires dead of the model and its loss"):
        BareTopKSAE(k=2, dead_latents="auxk", **QUICK).fit(X)


@pytest.mark.parametrize("callback", [Checkpoint("x"), Schedule(decay=0.1)], ids=str)
def test_what_belongs_to_a_whole_fit_is_refused_among_the_callbacks(callback):
    with pytest.raises(TypeError, match=rf"pass it as {type(callback).__name__.lower()}="):
        SAEEncoder(callbacks=[callback], **QUICK).fit(X)
