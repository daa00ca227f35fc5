import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skorch.callbacks import Callback
from torch import nn

from skamort.modules import Decoder, ReLU, SparseAutoencoder, make_encoder
from skamort.training import (
    InMemoryData,
    Schedule,
    SparseCodingLoss,
    SparseNet,
    StopOnPlateau,
    ramp,
)


def test_the_ramp_at_its_corners():
    factors = [ramp(step, 10, warmup=0.2, decay=0.4) for step in range(10)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


@settings(deadline=None)
@given(n_steps=st.integers(1, 200), warmup=st.floats(0, 1), decay=st.floats(0, 1))
def test_the_ramp_climbs_then_falls_and_is_never_zero(n_steps, warmup, decay):
    decay = min(decay, 1 - warmup)
    factors = [ramp(step, n_steps, warmup, decay) for step in range(n_steps)]
    assert all(0 < factor <= 1 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    inside = [
        warmup * n_steps <= step + 1 and n_steps - step >= decay * n_steps
        for step in range(n_steps)
    ]
    assert all(factor == 1 for factor, full in zip(factors, inside, strict=True) if full)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_the_step_size_falls_from_the_first_step_that_is_shorter(n_epochs, epoch_steps, decay):
    schedule, n_steps = Schedule(decay=decay), n_epochs * epoch_steps
    schedule.begin(n_epochs, epoch_steps)
    for step in range(n_steps):
        assert schedule.is_falling == (ramp(step, n_steps, decay=decay) < 1)
        schedule.next_factor()


class Watch(Callback):
    """Notes the step sizes and the penalty's factor of every step."""

    def on_train_begin(self, net, **kwargs):
        self.rates, self.factors = [], []

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.rates.append([group["lr"] for group in net.optimizer_.param_groups])
            self.factors.append(net.criterion_.alpha_factor)


def make_net(callbacks, **kwargs):
    generator = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(6, 4, generator=generator))
    encoder = make_encoder(4, 6, generator=generator)
    module = SparseAutoencoder(encoder, ReLU(), Decoder(atoms))
    return SparseNet(
        module,
        SparseCodingLoss(0.05),
        learning_rate=0.01,
        data_scale=3.0,
        batch_size=20,
        generator=generator,
        callbacks=callbacks,
        max_epochs=4,
        **kwargs,
    ).initialize()


@pytest.fixture
def data():
    return InMemoryData(torch.randn(50, 4, generator=torch.Generator().manual_seed(1)))


def test_every_step_has_the_ramps_step_size_and_penalty(data):
    watch = Watch()
    net = make_net([Schedule(0.25, 0.5, 0.75), watch])
    net.partial_fit(data, data)  # validation has no steps
    ramps = [ramp(step, 12, 0.25, 0.5) for step in range(12)]
    for rates, factor in zip(watch.rates, ramps, strict=True):
        assert rates == pytest.approx([0.01 * factor, 0.03 * factor])
    assert watch.factors == pytest.approx([ramp(step, 12, 0.75) for step in range(12)])
    assert [group["lr"] for group in net.optimizer_.param_groups] == [0.01, 0.03]
    assert net.criterion_.alpha_factor == 1


def test_the_value_has_all_of_the_penalty(data):
    module, criterion = make_net([]).module_, SparseCodingLoss(0.5)
    loss = criterion.backward(module, data.tensors[0]).loss
    full = module.encoder.weight.grad.clone()
    criterion.alpha_factor = 0.1
    module.zero_grad()
    weak_loss = criterion.backward(module, data.tensors[0]).loss
    assert weak_loss == loss
    module.zero_grad()
    SparseCodingLoss(0.05).backward(module, data.tensors[0])
    expected = module.encoder.weight.grad.clone()
    module.zero_grad()
    criterion.backward(module, data.tensors[0])
    torch.testing.assert_close(module.encoder.weight.grad, expected)
    assert not torch.allclose(full, expected)


def test_a_warm_up_is_no_plateau(data):
    net = make_net([Schedule(0.5), StopOnPlateau(tol=10.0, n_iter_no_change=1)])
    net.max_epochs = 20
    net.partial_fit(data)
    assert net.history[:, "warming_up"] == [True] * 9 + [False] * 2
    assert net.converged_


@pytest.mark.parametrize(("decay", "n_epochs"), [(0.5, 4), (0.9, 20), (0.0, 2), (0.2, 3)])
def test_the_fall_begins_at_a_plateau_and_then_training_has_converged(data, decay, n_epochs):
    watch = Watch()
    callbacks = [("schedule", Schedule(decay=decay)), watch, StopOnPlateau(10.0, 1)]
    net = make_net(callbacks)
    net.max_epochs = 100
    net.partial_fit(data)
    assert net.converged_
    assert len(net.history) == n_epochs
    n_steps = 3 * n_epochs
    factors = [ramp(step, n_steps, decay=decay if step >= 6 else 0) for step in range(n_steps)]
    assert [rates[0] for rates in watch.rates] == pytest.approx([0.01 * f for f in factors])


@pytest.mark.parametrize("moves", ["settling", "warming_up"])
def test_a_fall_ends_with_training_whatever_still_moves(data, moves):
    """Beyond its end a step would go uphill."""

    class StillMoves(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record(moves, schedule.is_falling)

    schedule, watch = Schedule(decay=0.5), Watch()
    net = make_net([("schedule", schedule), StillMoves(), watch, StopOnPlateau(10.0, 1)])
    net.max_epochs = 100
    net.partial_fit(data)
    assert net.converged_
    assert len(net.history) == 4
    assert min(rates[0] for rates in watch.rates) > 0


def test_a_run_whose_end_comes_first_has_not_converged(data):
    net = make_net([("schedule", Schedule(decay=0.5)), StopOnPlateau(0.0, 50)])
    net.partial_fit(data)
    assert not net.converged_
    assert len(net.history) == 4
