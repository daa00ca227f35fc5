"""What the encoders with a net have in common."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import StepLR

from skamort import (
    JumpReLUSAE,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
)
from skamort.datasets import make_sparse_coded_signal
from skamort.metrics import latent_mcc
from skamort.training import Schedule

ENCODERS = [
    JumpReLUSAE(max_iter=60, tol=0.0),
    SAEEncoder(max_iter=60, tol=0.0),
    LISTAEncoder(max_iter=60, n_layers=2, tol=0.0),
    MLPEncoder(max_iter=60, hidden_layer_sizes=(24,), tol=0.0),
    TopKSAE(k=3, max_iter=60, tol=0.0),
    WeightedSAE(max_iter=60, tol=0.0),
]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(params=ENCODERS, ids=lambda e: type(e).__name__)
def encoder(request):
    plain = {"fit_intercept": False, "dict_init": None, "schedule": None}
    return clone(request.param).set_params(
        n_components=16, random_state=0, learning_rate=6e-3, batch_size=125, **plain
    )


@pytest.fixture(scope="module")
def signal():
    return make_sparse_coded_signal(
        n_samples=500,
        n_components=16,
        n_features=8,
        n_nonzero_coefs=3,
        positive=True,
        random_state=0,
    )


def test_training_lowers_the_loss_and_records_it(encoder, signal):
    encoder.fit(signal[0])
    assert len(encoder.loss_curve_) == encoder.n_iter_ == 60
    assert encoder.loss_curve_[-1] < 0.8 * encoder.loss_curve_[0]
    assert encoder.net_.module_ is not None


@pytest.mark.parametrize("Estimator", [SAEEncoder, MLPEncoder, LISTAEncoder, TopKSAE])
def test_the_loss_is_the_objective(Estimator, signal):
    X = signal[0]
    encoder = Estimator(n_components=16, max_iter=1, learning_rate=1e-12, random_state=0).fit(X)
    codes = encoder.transform(X)
    error = 0.5 * ((X - encoder.inverse_transform(codes)) ** 2).sum(axis=1)
    penalty = getattr(encoder, "alpha_", 0) * codes.sum(axis=1)
    assert encoder.loss_curve_[0] == pytest.approx((error + penalty).mean(), rel=1e-5)


def test_latent_frequency_and_dead_fraction_are_those_of_the_codes(encoder, signal):
    X = signal[0]
    encoder.set_params(max_iter=1, learning_rate=1e-12, n_components=64).fit(X)
    active = encoder.transform(X) > 0
    assert_allclose(encoder.latent_frequency_, active.mean(axis=0), atol=1e-6)
    assert encoder.dead_fraction_ == np.mean(~active.any(axis=0))


SCHEDULE = {"schedule": Schedule(warmup=0.2, decay=0.5), "max_grad_norm": 0.5}


@pytest.mark.parametrize("unit", [1e-4, 1e4])
@pytest.mark.parametrize("options", [{}, SCHEDULE], ids=["plain", "scheduled"])
def test_the_unit_of_the_data_changes_nothing_but_the_unit_of_the_codes(
    encoder, signal, unit, options
):
    X = signal[0] + 0.5
    encoder.set_params(fit_intercept=True, max_iter=5, **options)
    rescaled = clone(encoder)
    if options and hasattr(encoder, "alpha"):
        # The price of a code has the squared unit, that of its size one; "auto" knows.
        encoder.set_params(alpha=0.05)
        power = 2 if isinstance(encoder, JumpReLUSAE) else 1
        rescaled.set_params(alpha=unit**power * 0.05)
    encoder.fit(X)
    rescaled.fit(unit * X)
    assert_allclose(rescaled.components_, encoder.components_, atol=1e-4)
    assert_allclose(rescaled.intercept_, unit * encoder.intercept_, rtol=1e-3, atol=1e-4 * unit)
    codes = encoder.transform(X)
    assert_allclose(rescaled.transform(unit * X), unit * codes, atol=1e-3 * unit * codes.max())


def test_known_dictionary_is_kept_and_the_encoder_trained(encoder, signal):
    X, D, _ = signal
    encoder.set_params(dictionary=3 * D).fit(X)
    assert_allclose(encoder.components_, D, atol=1e-6)
    assert encoder.loss_curve_[-1] < encoder.loss_curve_[0]


@pytest.mark.parametrize("code_loss", ["cosine", "squared_error"])
def test_known_codes_are_regressed_on(encoder, signal, code_loss):
    X, D, Z = signal
    encoder.set_params(max_iter=200)
    known = {"codes": Z, "code_loss": code_loss}
    untrained = clone(encoder).set_params(max_iter=1, learning_rate=1e-9).fit(X, **known)
    encoder.fit(X, **known)
    codes = encoder.transform(X)
    assert latent_mcc(Z, codes, matched=True) > latent_mcc(Z, untrained.transform(X), matched=True)
    # The dictionary is what explains X from the codes: here, exactly the true one.
    assert_allclose(encoder.components_, D, atol=1e-3)


@pytest.mark.parametrize("Estimator", [SAEEncoder, MLPEncoder, LISTAEncoder])
def test_regressed_codes_have_the_scale_of_their_targets(Estimator, signal):
    X, _, Z = signal
    encoder = Estimator(n_components=16, max_iter=30, random_state=0).fit(X, codes=5 * Z)
    codes = encoder.transform(X)
    # Least squares, latent by latent: no factor brings the codes closer to their targets.
    assert_allclose((codes * (codes - 5 * Z)).sum(axis=0), 0, atol=1e-3 * (codes**2).sum())


def test_codes_of_the_wrong_shape_are_refused(encoder, signal):
    X, _, Z = signal
    for codes, remedy in ((Z[:-1], "give one row"), (Z[:, :-1], "set n_components")):
        message = rf"codes must have shape .* = \(500, 16\), got .*; {remedy}"
        with pytest.raises(ValueError, match=message):
            encoder.fit(X, codes=codes)
    with pytest.raises(ValueError, match="NaN"):
        encoder.fit(X, codes=np.full(Z.shape, np.nan))


def test_intercept_takes_up_the_mean(encoder, signal):
    X = signal[0] + 100
    with_intercept = clone(encoder).set_params(fit_intercept=True).fit(X)
    assert with_intercept.score(X) > 0.5
    assert_allclose(with_intercept.intercept_, 100, atol=5)
    assert_array_equal(encoder.fit(signal[0]).intercept_, np.zeros(8))


def test_encoder_bias_can_be_left_out(encoder, signal):
    if isinstance(encoder, LISTAEncoder):
        pytest.skip("its biases are the thresholds")
    encoder.set_params(encoder_bias=False, max_iter=1).fit(signal[0])
    names = [name for name, _ in encoder.net_.module_.encoder.named_parameters()]
    assert all("bias" not in name for name in names)


def test_partial_fit_is_one_epoch(encoder, signal):
    X = signal[0]
    whole = clone(encoder).set_params(max_iter=3).fit(X)
    for _ in range(3):
        encoder.partial_fit(X)
    assert encoder.n_iter_ == 3
    assert_array_equal(encoder.components_, whole.components_)
    assert encoder.loss_curve_ == whole.loss_curve_


def test_partial_fit_checks_the_width_of_later_chunks(encoder, signal):
    X = signal[0]
    encoder.partial_fit(X)
    with pytest.raises(ValueError, match="X has 7 features"):
        encoder.partial_fit(X[:, :7])


def test_warm_start_goes_on_where_fit_stopped(encoder, signal):
    X = signal[0]
    encoder.set_params(max_iter=5)
    whole = clone(encoder).set_params(max_iter=10).fit(X)
    encoder.set_params(warm_start=True).fit(X).fit(X)
    assert encoder.n_iter_ == 10
    assert_array_equal(encoder.components_, whole.components_)
    assert encoder.set_params(warm_start=False).fit(X).n_iter_ == 5


def test_attributes_do_not_change_under_later_training(encoder, signal):
    X = signal[0]
    before = encoder.partial_fit(X).components_
    copy = before.copy()
    encoder.partial_fit(X)
    assert_array_equal(before, copy)


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_convergence_is_reported(encoder, signal):
    encoder.set_params(max_iter=5)
    with pytest.warns(ConvergenceWarning, match="still falling after max_iter=5.*raise max_iter"):
        encoder.fit(signal[0])
    encoder.set_params(tol=10.0, n_iter_no_change=2, max_iter=100).fit(signal[0])
    assert encoder.n_iter_ == 3


def test_divergence_is_named_and_leaves_no_fitted_estimator(encoder, signal):
    encoder.set_params(learning_rate=1e200)
    with pytest.raises(ValueError, match=r"epoch \d+.*learning_rate=1e\+200; lower it"):
        encoder.fit(signal[0])
    assert not hasattr(encoder, "components_")


def test_interrupt_keeps_what_was_learned(encoder, signal, monkeypatch):
    from skamort.training import SparseNet

    step, n_steps = SparseNet.train_step, []

    def interrupted(self, batch, **params):
        n_steps.append(1)
        if len(n_steps) == 10:
            raise KeyboardInterrupt
        return step(self, batch, **params)

    monkeypatch.setattr(SparseNet, "train_step", interrupted)
    with pytest.warns(UserWarning, match="interrupted in epoch 3; what was learned so far is kept"):
        encoder.fit(signal[0])
    assert np.isfinite(encoder.transform(signal[0])).all()
    assert len(encoder.loss_curve_) == encoder.n_iter_ == 2


class Impatience(Callback):
    """The user's patience ends at a moment of the first epoch, in training or in validation."""

    def __init__(self, moment, training=True):
        self.moment, self.training = moment, training

    def notify(self, moment, training=True):
        if (moment, training) == (self.moment, self.training):
            raise KeyboardInterrupt

    def on_epoch_begin(self, net, **kwargs):
        self.notify("on_epoch_begin")

    def on_batch_begin(self, net, training, **kwargs):
        self.notify("on_batch_begin", training)

    def on_batch_end(self, net, training, **kwargs):
        self.notify("on_batch_end", training)

    def on_epoch_end(self, net, **kwargs):
        self.notify("on_epoch_end")


@pytest.mark.parametrize("moment", ["on_epoch_begin", "on_batch_begin", "on_batch_end"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:.*interrupted in epoch 1:UserWarning")
def test_an_interrupt_in_the_first_epoch_leaves_no_epoch(moment, training, signal):
    patience = Impatience(moment, training or moment == "on_epoch_begin")
    sae = SAEEncoder(16, early_stopping=True, callbacks=[patience], random_state=0).fit(signal[0])
    assert sae.n_iter_ == len(sae.loss_curve_) == 0
    assert sae.validation_loss_curve_ is None
    assert sae.transform(signal[0]).shape == (500, 16)
    assert np.isfinite(sae.latent_frequency_).all()


@pytest.mark.filterwarnings("ignore:.*interrupted in epoch 2:UserWarning")
def test_an_epoch_that_ended_counts_though_its_end_was_interrupted(signal):
    sae = SAEEncoder(16, callbacks=[Impatience("on_epoch_end")], random_state=0).fit(signal[0])
    assert sae.n_iter_ == len(sae.loss_curve_) == 1


def test_verbose_tells_epochs_now_and_then_and_stays_picklable(encoder, signal, capsys):
    encoder.set_params(verbose=True, max_iter=6, tol=0).fit(signal[0])
    told = capsys.readouterr().out.splitlines()[-3:]
    name, loss = type(encoder).__name__, encoder.loss_curve_[4]
    assert [line.split(",")[0] for line in told] == [f"{name}: epoch {n}" for n in (1, 2, 5)]
    assert told[-1].startswith(f"{name}: epoch 5, loss {loss:.5g}, L0 ")
    encoder.set_params(max_iter=5).fit(signal[0])
    l0, dead = encoder.latent_frequency_.sum(), encoder.dead_fraction_
    assert f", L0 {l0:.3g}, dead {dead:.1%}, end " in capsys.readouterr().out.splitlines()[-1]
    assert pickle.loads(pickle.dumps(encoder)).n_iter_ == 5


class Spoil(Callback):
    """Spoils the weights after ten epochs."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 11:
            for weights in net.module_.encoder.parameters():
                weights.data.mul_(3)


def test_early_stopping_keeps_the_best_weights(encoder, signal):
    X = signal[0]
    encoder.set_params(early_stopping=True, validation_fraction=0.2, callbacks=[Spoil()])
    encoder.set_params(max_iter=12).fit(X)
    curve = encoder.validation_loss_curve_
    assert len(curve) == encoder.n_iter_ == 12
    best = int(np.argmin(curve))
    assert best < 10
    shorter = clone(encoder).set_params(max_iter=best + 1).fit(X)
    assert_array_equal(encoder.components_, shorter.components_)
    assert_array_equal(encoder.latent_frequency_, shorter.latent_frequency_)
    assert encoder.partial_fit(X).n_iter_ == 13  # on all rows


def test_early_stopping_holds_out_the_same_rows_again(encoder, signal, monkeypatch):
    from skamort.training import SparseNet

    parts = []
    train = SparseNet.partial_fit

    def watched(self, training, held_out=None):
        parts.append(
            [{tuple(row) for row in part.tensors[0].tolist()} for part in (training, held_out)]
        )
        return train(self, training, held_out)

    monkeypatch.setattr(SparseNet, "partial_fit", watched)
    encoder.set_params(early_stopping=True, warm_start=True, max_iter=2).fit(signal[0]).fit(
        signal[0]
    )
    assert parts[0] == parts[1]
    training, held_out = parts[0]
    assert (len(training), len(held_out)) == (450, 50)
    assert not training & held_out


def test_early_stopping_works_with_known_codes(encoder, signal):
    X, _, Z = signal
    encoder.set_params(early_stopping=True, max_iter=5).fit(X, codes=Z)
    assert len(encoder.validation_loss_curve_) == 5


def test_early_stopping_needs_two_rows_and_says_so(encoder, signal):
    assert encoder.partial_fit(signal[0]).validation_loss_curve_ is None
    with pytest.raises(
        ValueError, match="holds out rows of X, which has n_samples=1; give at least"
    ):
        SAEEncoder(early_stopping=True).fit(signal[0][:1])


def test_half_precision_products_keep_the_weights_in_single(encoder, signal):
    X = signal[0].astype(np.float32)
    exact = clone(encoder).fit(X)
    encoder.set_params(precision="bfloat16").fit(X)
    assert encoder.components_.dtype == np.float32
    assert encoder.loss_curve_[-1] < 1.2 * exact.loss_curve_[-1]
    assert encoder.loss_curve_ != exact.loss_curve_


class Recorder(Callback):
    """Reads what a callback is promised to find."""

    def on_train_begin(self, net, **kwargs):
        self.losses_, self.active_, self.silence_ = [], [], []

    def on_batch_end(self, net, batch, y_pred, loss, training, **kwargs):
        assert training
        self.active_.append(y_pred.firing_counts().sum().item() / len(batch[0]))

    def on_epoch_end(self, net, **kwargs):
        self.losses_.append(net.history[-1]["train_loss"])
        self.silence_.append(net.callback("activity").silence_.max().item())


def test_callbacks_pass_through(encoder, signal):
    recorder = Recorder()
    encoder.set_params(max_iter=4, callbacks=[recorder]).fit(signal[0])
    assert recorder.losses_ == encoder.loss_curve_
    assert len(recorder.active_) == 4 * 4
    assert 0 < np.mean(recorder.active_) <= 16
    assert clone(encoder).callbacks[0] is not recorder
    assert pickle.loads(pickle.dumps(encoder)).callbacks[0].losses_ == recorder.losses_


def test_callbacks_of_skorch_work(encoder, signal):
    clipping, decay = GradientNormClipping(1e-6), LRScheduler(StepLR, step_size=1, gamma=0.1)
    encoder.set_params(max_iter=3, callbacks=[clipping, ("decay", decay)]).fit(signal[0])
    rate = encoder.net_.optimizer_.param_groups[0]["lr"]
    assert rate == pytest.approx(6e-3 * 0.1**3)


def test_what_is_no_callback_is_refused(encoder, signal):
    with pytest.raises(TypeError, match=r"callbacks must hold skorch callbacks .*got 3; derive"):
        encoder.set_params(callbacks=[3]).fit(signal[0])


def test_resampling_leaves_fewer_dead_latents(encoder, signal):
    if isinstance(encoder, LISTAEncoder):
        pytest.skip("it has no dead_latents")
    # Half of the atoms are orthogonal to all data.
    X = np.hstack([signal[0], np.zeros((500, 8))])
    start = np.vstack([np.eye(16)[8:], np.eye(16)[:8]])
    encoder.set_params(dict_init=start, max_iter=20, n_components=None, encoder_bias=True)
    plain = clone(encoder).fit(X)
    revived = encoder.set_params(dead_latents="resample").fit(X)
    assert plain.dead_fraction_ >= 0.5
    assert revived.dead_fraction_ < 0.3


def same_bits(one, other):
    assert one.loss_curve_ == other.loss_curve_
    for p, q in zip(one.net_.module_.parameters(), other.net_.module_.parameters(), strict=True):
        assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_schedules_that_change_nothing_change_no_bit(encoder, signal):
    encoder.set_params(max_iter=3)
    plain = clone(encoder).fit(signal[0])
    # A warm-up, a decay and a penalty's warm-up of less than one step each, and a far bound.
    shares = {"warmup": 0.01, "decay": 0.01, "alpha_warmup": 0.01 * hasattr(encoder, "alpha")}
    encoder.set_params(schedule=Schedule(**shares), max_grad_norm=1e9)
    same_bits(encoder.fit(signal[0]), plain)


def test_a_schedule_is_of_one_fit(encoder, signal):
    """What follows has the full step size, and a warm start a schedule of its own."""
    X = signal[0]
    encoder.set_params(max_iter=4, schedule=Schedule(decay=1.0)).fit(X)
    assert encoder.net_.optimizer_.param_groups[0]["lr"] == encoder.learning_rate
    once = clone(encoder).set_params(warm_start=True).fit(X)
    same_bits(encoder.partial_fit(X), once.partial_fit(X))
    before = encoder.components_
    assert not np.array_equal(encoder.partial_fit(X).components_, before)
    assert once.set_params(max_iter=2).fit(X).n_iter_ == 7


def test_step_sizes_fall_over_the_epochs_asked_for(encoder, signal):
    X = signal[0]
    whole = clone(encoder).set_params(max_iter=40).fit(X)
    decayed = encoder.set_params(max_iter=40, schedule=Schedule(decay=0.5, warmup=0.1)).fit(X)
    last_moves = [abs(np.diff(e.loss_curve_[-5:])).max() for e in (whole, decayed)]
    assert last_moves[1] < last_moves[0]


def test_clipping_changes_a_fit_where_it_bites(encoder, signal):
    encoder.set_params(max_iter=3)
    plain = clone(encoder).fit(signal[0])
    clipped = encoder.set_params(max_grad_norm=1e-7).fit(signal[0])  # below Adam's eps
    moved = [abs(e.loss_curve_[-1] - e.loss_curve_[0]) for e in (plain, clipped)]
    assert moved[1] < 0.9 * moved[0]


def test_a_center_can_start_at_the_geometric_median(encoder, signal):
    X = signal[0].copy()
    X[0] = 1e4
    encoder.set_params(max_iter=1, learning_rate=1e-12)
    mean, named, median = (
        clone(encoder).set_params(fit_intercept=center).fit(X).intercept_
        for center in (True, "mean", "geometric_median")
    )
    assert_allclose(mean, X.mean(axis=0))
    assert_array_equal(named, mean)
    assert abs(median - signal[0].mean(axis=0)).max() < 0.5
    assert abs(mean - signal[0].mean(axis=0)).max() > 10
