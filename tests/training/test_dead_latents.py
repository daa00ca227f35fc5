import pickle

import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from skamort.modules import Decoder, Gated, ReLU, SparseAutoencoder, TopK, make_encoder
from skamort.training import (
    InMemoryData,
    LatentActivity,
    ResampleDead,
    SparseCodingLoss,
    SparseNet,
    TeachDead,
    UnitNormAtoms,
)


def make_net(
    callbacks,
    batch_size=8,
    learning_rate=1e-12,
    n_components=6,
    hidden=(),
    activation=None,
    trainable=True,
):
    generator = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(n_components, 4, generator=generator))
    encoder = make_encoder(4, n_components, hidden, generator=generator)
    module = SparseAutoencoder(encoder, activation or ReLU(), Decoder(atoms, trainable=trainable))
    net = SparseNet(
        module,
        SparseCodingLoss(0.05),
        learning_rate=learning_rate,
        batch_size=batch_size,
        generator=generator,
        callbacks=callbacks,
        max_epochs=3,
    )
    return net.initialize()


def make_data(n_samples=50):
    return InMemoryData(torch.randn(n_samples, 4, generator=torch.Generator().manual_seed(1)))


def test_activity_is_that_of_the_codes():
    data = make_data()
    net = make_net([("activity", LatentActivity())])
    net.module_.encoder.bias.data[2] = -100.0
    net.partial_fit(data)
    codes = net.module_.encode(data.tensors[0])  # the weights have hardly moved
    activity = net.callback("activity")
    torch.testing.assert_close(activity.frequency_, (codes > 0).float().mean(0))
    assert activity.silence_[2] == 150


def test_silence_begins_with_the_last_batch_that_fired():
    data = make_data()
    net = make_net([("activity", LatentActivity())], batch_size=50).partial_fit(data)
    awake = (net.module_.encode(data.tensors[0]) > 0).any(0)
    assert (net.callback("activity").silence_ == torch.where(awake, 0, 150)).all()


class Interrupt(Callback):
    """The user stops training before its first step, or after it."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_epoch_begin(self, net, **kwargs):
        if self.n_steps == 0:
            raise KeyboardInterrupt

    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize("n_steps", [0, 1])
def test_an_interrupt_in_the_first_epoch_leaves_what_was_counted(n_steps):
    callbacks = [("activity", LatentActivity()), ("interrupt", Interrupt(n_steps))]
    net, data = make_net(callbacks if n_steps else callbacks[::-1], batch_size=50), make_data()
    with pytest.raises(KeyboardInterrupt):
        net.partial_fit(data)
    assert len(net.history) == 0
    fired = (net.module_.encode(data.tensors[0]) > 0).float().mean(0)
    torch.testing.assert_close(net.callback("activity").frequency_, n_steps * fired)


def test_counting_goes_on_where_training_does():
    net = make_net([("activity", LatentActivity())])
    net.module_.encoder.bias.data[2] = -100.0
    net.partial_fit(make_data())
    pickle.loads(pickle.dumps(net)).partial_fit(make_data())
    net.partial_fit(make_data())
    assert net.callback("activity").silence_[2] == 300


def kill(net, latents):
    net.module_.encoder.output_layer.bias.data[latents] = -100.0


@pytest.mark.parametrize("hidden", [(), (16,)])
@pytest.mark.parametrize("trainable", [True, False])
def test_dead_latents_start_anew_at_samples(hidden, trainable):
    data, dead = make_data(), torch.tensor([1, 4])
    callbacks = [("activity", LatentActivity()), ResampleDead(window=100, scale=0.5)]
    net = make_net(callbacks, hidden=hidden, trainable=trainable)
    kill(net, dead)
    atoms = net.module_.decoder.dictionary.detach().clone()
    net.partial_fit(data)
    after, layer = net.module_.decoder.dictionary, net.module_.encoder.output_layer
    directions = nn.functional.normalize(data.tensors[0], dim=1)
    is_sample = torch.isclose(after @ directions.T, torch.ones(())).any(1)
    assert is_sample.tolist() == [trainable and j in dead for j in range(6)]
    living = torch.tensor([0, 2, 3, 5])
    torch.testing.assert_close(after[living], atoms[living])
    lengths = layer.weight.norm(dim=1)
    torch.testing.assert_close(lengths[dead], (0.5 * lengths[living].mean()).expand(2))
    assert (net.module_.encode(data.tensors[0])[:, dead] > 0).any(0).all()


def test_resampling_gives_the_dead_moments_with_which_adam_takes_no_longer_steps():
    class Look(ResampleDead):
        def revive(self, net, dead, X, codes):
            squares = [state["exp_avg_sq"].clone() for state in net.optimizer_.state.values()]
            super().revive(net, dead, X, codes)
            living = [j for j in range(6) if j not in dead]
            assert not net.callback("activity").silence_[dead].any()
            for state, before in zip(net.optimizer_.state.values(), squares, strict=True):
                assert not state["exp_avg"][dead].any()
                assert state["exp_avg"].any()
                means = before[living].mean(0).expand_as(before[dead])
                torch.testing.assert_close(state["exp_avg_sq"][dead], means)
                torch.testing.assert_close(state["exp_avg_sq"][living], before[living])
            seen.append(dead.tolist())

    seen = []
    net = make_net([("activity", LatentActivity()), Look(window=60)], learning_rate=1e-9)
    kill(net, [1, 4])
    net.partial_fit(make_data())
    assert seen[-1] == []  # alive again, and counted anew
    assert [1, 4] in seen


def test_what_starts_anew_has_the_activation_of_the_start():
    net = make_net([("activity", LatentActivity()), ResampleDead(window=100)], activation=Gated(6))
    kill(net, [1, 4])
    for parameter in net.module_.activation.parameters():
        parameter.data.fill_(0.5)
    net.partial_fit(make_data())
    for parameter in net.module_.activation.parameters():
        torch.testing.assert_close(parameter.detach(), torch.tensor([0.5, 0, 0.5, 0.5, 0, 0.5]))


@pytest.mark.parametrize("bias", [-0.3, -0.6])
def test_what_starts_anew_fires_as_often_as_the_living(bias):
    class Look(ResampleDead):
        def revive(self, net, dead, X, codes):
            super().revive(net, dead, X, codes)
            if len(dead):
                share = (net.module_.encode(X) > 0).double().mean(0)
                living = [j for j in range(6) if j not in dead]
                expected = share[living].mean().expand(len(dead))
                torch.testing.assert_close(share[dead], expected, atol=1 / len(X), rtol=0)
                seen.append(dead.tolist())

    seen = []
    net = make_net([("activity", LatentActivity()), Look(window=60)], batch_size=30)
    net.module_.encoder.bias.data.fill_(bias)
    kill(net, [1, 4])
    net.partial_fit(make_data(60))
    assert [1, 4] in seen


def test_what_starts_anew_under_top_k_competes_without_bias():
    callbacks = [("activity", LatentActivity()), ResampleDead(window=60)]
    net = make_net(callbacks, activation=TopK(2))
    kill(net, [1, 4])
    net.partial_fit(make_data())
    torch.testing.assert_close(net.module_.encoder.bias[[1, 4]], torch.zeros(2))


def test_resampling_all_latents_at_once_is_possible():
    net = make_net([("activity", LatentActivity()), ResampleDead(window=60)])
    kill(net, list(range(6)))
    data = make_data(60)
    net.partial_fit(data)
    assert all(parameter.isfinite().all() for parameter in net.module_.parameters())
    assert (net.module_.encode(data.tensors[0]) > 0).any()


def test_resampling_without_a_sample_to_start_at_does_nothing():
    net = make_net([("activity", LatentActivity()), ResampleDead(window=1)])
    before = net.module_.decoder.dictionary.detach().clone()
    net.partial_fit(InMemoryData(torch.zeros(20, 4)))
    assert torch.equal(net.module_.decoder.dictionary, before)


def test_the_dead_are_looked_for_eight_times_a_window():
    callback = ResampleDead(window=80)
    callback.on_train_begin(None, None)
    assert [step for step in range(1, 41) if callback.is_due(1)] == [10, 20, 30, 40]
    with pytest.raises(ValueError, match="ResampleDead: window must be >= 1, got 0"):
        make_net([("activity", LatentActivity()), ResampleDead(window=0)]).partial_fit(make_data())


def test_the_window_is_five_passes_over_the_data_by_default():
    callback = ResampleDead()
    make_net([("activity", LatentActivity()), callback]).partial_fit(make_data(70))
    assert callback.window_ == 350


def test_auxiliary_loss_teaches_the_dead_and_forgets_the_living():
    data = make_data(200)
    callbacks = [UnitNormAtoms(), ("activity", LatentActivity()), TeachDead(window=100)]
    net = make_net(callbacks, learning_rate=1e-2, n_components=12, activation=TopK(2))
    net.module_.encoder.bias.data[:6] = -0.5 - net.module_.encoder.weight.data[:6].norm(dim=1) * 2
    net.module_.encoder.bias.data[6:] = 3.0
    before = net.module_.encoder.weight.detach().clone()
    net.max_epochs = 20
    net.partial_fit(data)
    assert not torch.isclose(net.module_.encoder.weight[:6], before[:6]).all(1).any()
    assert net.criterion_.dead is None or len(net.criterion_.dead) < 6


def test_a_latent_is_dead_once_it_was_silent_for_the_window():
    seen = []

    class Look(ResampleDead):
        def revive(self, net, dead, X, codes):
            seen.extend(dead.tolist())

    net = make_net([("activity", LatentActivity()), Look(window=50)], batch_size=10)
    net.module_.encoder.bias.data[2] = -100.0
    net.max_epochs = 1
    net.partial_fit(make_data(40))
    assert seen == []
    net.partial_fit(make_data(10))
    assert seen == [2]
