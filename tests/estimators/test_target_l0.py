"""target_l0: as many codes as are asked for, by a penalty that training adapts."""

import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from skorch.history import History

from skamort import GatedSAE, JumpReLUSAE, LISTAEncoder, MLPEncoder, SAEEncoder, WeightedSAE
from skamort.datasets import load_image_patches, make_sparse_coded_signal
from skamort.metrics import mean_l0
from skamort.training import BestWeights, StopOnPlateau, TargetL0, _target_l0

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ENCODERS = [SAEEncoder, GatedSAE, JumpReLUSAE, MLPEncoder, WeightedSAE, LISTAEncoder]
QUICK = {"batch_size": 100, "max_iter": 4, "tol": 0, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    asked = {"n_components": 60, "n_features": 20, "n_nonzero_coefs": 4, "random_state": 0}
    return make_sparse_coded_signal(8000, **asked)[0].astype(np.float32)


@pytest.mark.parametrize("precision", ["full", "bfloat16"])
@pytest.mark.parametrize("Encoder", [GatedSAE, JumpReLUSAE, SAEEncoder])
def test_new_rows_have_as_many_after_200_steps(X, Encoder, precision):
    sae = Encoder(40, target_l0=5, precision=precision, **QUICK).fit(X[:5000])
    assert mean_l0(sae.transform(X[:5000])) == pytest.approx(5, rel=0.01)
    assert mean_l0(sae.transform(X[5000:])) == pytest.approx(5, rel=0.05)
    assert sae.score(X[5000:]) > 0.3


class FirstCodes(Callback):
    """Keeps how many codes the first batches have, and on how many of their rows latents fire."""

    def __init__(self):
        self.firing_ = []

    def on_batch_end(self, net, y_pred, training=False, **kwargs):
        self.firing_.append(y_pred.firing_counts().numpy() / 500)


@pytest.mark.parametrize("share", [0.5, 0.6])
def test_half_of_the_latents_is_no_hard_target(share):
    X = load_image_patches(1000, patch_size=6, random_state=0)
    asked = {"target_l0": share * 72, "tol": 0.02, "max_iter": 200, "random_state": 0}
    sae = JumpReLUSAE(72, **asked).fit(X)
    assert mean_l0(sae.transform(X)) == pytest.approx(share * 72, rel=0.1)
    assert sae.score(X) > 0.95


def test_rows_that_need_fewer_are_not_spoiled():
    """Iris has four features: more than five or so codes leave less of nothing."""
    X = load_iris().data
    sae = MLPEncoder(32, target_l0=8, max_iter=200, random_state=0)
    with pytest.warns(ConvergenceWarning, match="worse: lower target_l0"):
        sae.fit(X)
    assert mean_l0(sae.transform(X)) < 6
    assert sae.score(X) > 0.98


@pytest.mark.parametrize("Encoder", [E for E in ENCODERS if E is not LISTAEncoder])
@pytest.mark.parametrize("target", [3, 15])
def test_training_begins_with_as_many_codes_and_each_latent_with_its_share(X, Encoder, target):
    seen = FirstCodes()
    asked = {"target_l0": target, "batch_size": 500, "max_iter": 1, "learning_rate": 1e-7}
    Encoder(60, callbacks=[seen], random_state=0, **asked).fit(X)
    firing = np.mean(seen.firing_, axis=0)
    assert firing.sum() == pytest.approx(target, rel=0.15)
    assert firing.min() > 0.2 * target / 60
    assert firing.max() < 3 * target / 60


@pytest.mark.parametrize("Encoder", ENCODERS)
def test_the_penalty_follows_the_number_asked_for(X, Encoder):
    few, many = (Encoder(40, target_l0=n, **QUICK).fit(X) for n in (2.5, 12))
    assert few.alpha_ > 1.5 * many.alpha_
    assert mean_l0(few.transform(X)) == pytest.approx(
        2.5, rel=0.3 if Encoder is LISTAEncoder else 0.01
    )
    assert few.alpha == "auto"
    again = pickle.loads(pickle.dumps(few))
    np.testing.assert_array_equal(again.transform(X[:9]), few.transform(X[:9]))


@pytest.mark.parametrize("Encoder", [GatedSAE, JumpReLUSAE, SAEEncoder])
def test_training_in_parts_keeps_to_it(X, Encoder):
    sae = Encoder(40, target_l0=5, batch_size=100, random_state=0)
    for _ in range(6):
        sae.partial_fit(X)
    assert mean_l0(sae.transform(X)) == pytest.approx(5, rel=0.15)
    before = sae.alpha_
    sae.set_params(target_l0=10)
    for _ in range(4):
        sae.partial_fit(X)
    assert mean_l0(sae.transform(X)) == pytest.approx(10, rel=0.25)
    assert sae.alpha_ < before


def test_chunks_of_a_few_steps_keep_to_it(X):
    sae = SAEEncoder(40, target_l0=3, batch_size=100, random_state=0)
    chunks = np.array_split(X, len(X) // 100)
    for _ in range(8):
        for chunk in chunks:
            sae.partial_fit(chunk)
    assert mean_l0(sae.transform(X)) == pytest.approx(3, rel=0.25)


def test_missing_it_is_told(X):
    told = "LISTAEncoder: rows have .* codes on average, not target_l0=3; raise max_iter"
    with pytest.warns(ConvergenceWarning, match=told):
        LISTAEncoder(40, target_l0=3, max_iter=1, random_state=0).fit(X[:500])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "SAEEncoder: rows have")
        SAEEncoder(40, target_l0=3, max_iter=1, random_state=0).fit(X[:500])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_known_codes_leave_nothing_to_ask_for(X, method):
    codes = np.ones((20, 8))
    with pytest.raises(ValueError, match=r"GatedSAE: target_l0=3 .* known codes say it too"):
        getattr(GatedSAE(8, target_l0=3), method)(X[:20], codes=codes)


def test_weights_stand_for_equal_rows(X):
    rows, weights = X[:60], np.arange(60) % 3
    asked = {"target_l0": 3, "batch_size": 200, "max_iter": 30, "dict_init": None}
    sae = SAEEncoder(12, tol=0, random_state=0, schedule=None, **asked)
    weighted = clone(sae).fit(rows, sample_weight=weights)
    repeated = clone(sae).fit(np.repeat(rows, weights, axis=0))
    assert weighted.alpha_ == pytest.approx(repeated.alpha_, rel=1e-3)
    found, expected = (model.transform(rows) for model in (weighted, repeated))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_resumed_run_has_the_same_bits(X, tmp_path):
    sae = SAEEncoder(12, target_l0=3, checkpoint=str(tmp_path), schedule=None)
    sae.set_params(**QUICK).set_params(max_iter=2).fit(X[:1050])
    resumed = sae.set_params(max_iter=4).fit(X[:1050], resume=True)
    whole = clone(sae).set_params(checkpoint=None).fit(X[:1050])
    assert resumed.alpha_ == whole.alpha_
    np.testing.assert_array_equal(resumed.transform(X), whole.transform(X))


@pytest.mark.parametrize("Encoder", ENCODERS)
def test_what_contradicts_it_is_refused(X, Encoder):
    name = Encoder.__name__
    with pytest.raises(ValueError, match=rf"{name}: alpha=0.1 and target_l0=5 both .*; leave out"):
        Encoder(40, alpha=0.1, target_l0=5).fit(X)
    with pytest.raises(ValueError, match=rf"{name}: target_l0=50 exceeds n_components=40; choose"):
        Encoder(40, target_l0=50).fit(X)
    with pytest.raises(ValueError, match=f"The 'target_l0' parameter of {name}"):
        Encoder(40, target_l0=0).fit(X)


@pytest.mark.parametrize("lag", [0.02, 0.2])
@pytest.mark.parametrize("sensitivity", [0.5, 1.5])
def test_the_controller_settles(lag, sensitivity):
    """Where the number of codes falls with a power of the weight, and comes after it."""
    control = TargetL0(8)
    control.alpha_ = control.now_ = 1e-3
    control.course_, control.least_, l0 = None, 0.0, 500.0
    for _ in range(400):
        for _ in range(8):
            wanted = 8 * (control.now_ / 0.1) ** -sensitivity
            l0 *= (wanted / l0) ** lag
        control._correct(l0)
    assert l0 == pytest.approx(8, rel=0.05)


@pytest.mark.parametrize("Encoder", [SAEEncoder, GatedSAE])
def test_training_does_not_end_while_the_weight_moves(Encoder):
    """The loss rises with the weight; what is learned meanwhile must not be cut off."""
    X = load_digits().data[:400] / 16
    settings = {"n_components": 32, "target_l0": 4, "max_iter": 300, "random_state": 0}
    by_itself = Encoder(**settings).fit(X)
    to_the_end = Encoder(**settings, n_iter_no_change=1000).fit(X)
    assert by_itself.score(X) > to_the_end.score(X) - 0.05


def test_settling_epochs_neither_stop_nor_are_the_best():
    net = SimpleNamespace(history=History())
    best, stop = BestWeights(), StopOnPlateau(tol=1e-3, n_iter_no_change=2)
    best.on_train_begin(net)
    stop.on_train_begin(net)
    net.module_ = torch.nn.Linear(1, 1)
    for loss, settling in [(1.0, True), (1.1, True), (1.2, True), (2.0, False), (2.0, False)]:
        net.history.new_epoch()
        net.history.record("train_loss", loss)
        net.history.record("valid_loss", loss)
        net.history.record("settling", settling)
        best.on_epoch_end(net)
        assert not stop.has_converged(net.history[-1])
    assert best.lowest_ == 2.0
    net.history.new_epoch()
    net.history.record("train_loss", 2.0)
    assert stop.has_converged(net.history[-1])


@pytest.mark.parametrize("Encoder", ENCODERS)
def test_all_latents_active_are_more_than_a_threshold_gives(X, Encoder):
    sae = Encoder(6, target_l0=6, batch_size=50, max_iter=2, random_state=0).fit(X[:200])
    assert np.isfinite(sae.transform(X)).all()
    assert sae.score(X) > -1


@pytest.mark.parametrize("Encoder", ENCODERS)
def test_rows_that_are_all_alike_end_a_fit_early(Encoder):
    X = np.tile([0.2, -0.7, 0.4, 1.1], (60, 1))
    sae = Encoder(6, target_l0=2, max_iter=400, random_state=0)
    with pytest.warns(ConvergenceWarning, match="they are all alike"):
        sae.fit(X)
    assert sae.n_iter_ < 150
    np.testing.assert_allclose(sae.inverse_transform(sae.transform(X)), X, atol=1e-12)


@pytest.mark.parametrize("Encoder", [JumpReLUSAE, GatedSAE])
def test_more_codes_than_rows_have_without_a_penalty_are_advised_against(Encoder, monkeypatch):
    monkeypatch.setattr(_target_l0, "_LEAST", 0.5)  # which is soon reached
    X = load_digits().data[:200] / 16
    asked = {"batch_size": 25, "max_iter": 30, "schedule": None, "random_state": 0}
    sae = Encoder(32, target_l0=32, **asked)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae.fit(X)
    told = [str(warning.message) for warning in caught]
    missed = [text for text in told if "hardly any penalty they have no more: lower target" in text]
    assert len(missed) == 1
    assert not [text for text in told if "raise target_l0" in text]
    most = mean_l0(sae.transform(X))
    fewer = clone(sae).set_params(target_l0=round(0.95 * most, 1)).fit(X)
    assert mean_l0(fewer.transform(X)) == pytest.approx(fewer.target_l0, rel=0.1)


@pytest.mark.parametrize("Encoder", [SAEEncoder, WeightedSAE, MLPEncoder, GatedSAE])
def test_without_a_bias_there_is_no_threshold_to_move(X, Encoder):
    told = rf"{Encoder.__name__}: target_l0=3 .* encoder_bias=False leaves none; set encoder_bias="
    with pytest.raises(ValueError, match=told):
        Encoder(12, target_l0=3, encoder_bias=False).fit(X[:50])
    sae = Encoder(12, encoder_bias=False, max_iter=1, warm_start=True).fit(X[:50])
    with pytest.raises(ValueError, match=told):
        sae.set_params(target_l0=3).fit(X[:50])
    JumpReLUSAE(12, target_l0=3, encoder_bias=False, max_iter=1).fit(X[:50])


def test_a_target_that_is_set_later_is_checked_too(X):
    sae = SAEEncoder(12, target_l0=3, max_iter=1, warm_start=True).fit(X[:50])
    with pytest.raises(ValueError, match="target_l0=13 exceeds n_components=12"):
        sae.set_params(target_l0=13).fit(X[:50])


@pytest.mark.parametrize("Encoder", ENCODERS)
@pytest.mark.parametrize("row", [[0.0] * 5, [0.3, -0.1, 0.7, 0.2, 0.0]])
def test_no_epoch_is_advised_where_rows_are_all_alike(Encoder, row):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Encoder(5, target_l0=3, max_iter=3, random_state=0).fit(np.tile(row, (40, 1)))
    told = [str(warning.message) for warning in caught]
    assert not [text for text in told if "max_iter" in text]
    missed = [text for text in told if "not target_l0=3, for they are all alike" in text]
    assert missed or any(row)
