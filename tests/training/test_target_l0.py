"""The controller of the number of codes, step by step."""

import math
from types import SimpleNamespace

import pytest
import torch
from skorch.history import History

from skamort.modules import DenseCodes
from skamort.training import (
    CodeRegressionLoss,
    JumpReLULoss,
    SparseCodingLoss,
    TargetL0,
    _target_l0,
)
from skamort.training._data_parallel import OneProcess


def begin(loss, target=2):
    net = SimpleNamespace(criterion_=loss, processes_=OneProcess(), history=History())
    control = TargetL0(target)
    control.on_train_begin(net)
    return control, net


@pytest.mark.parametrize("weighted", [False, True])
def test_a_look_is_at_the_mean_number_of_codes_since_the_last(weighted, monkeypatch):
    seen, expected, n_steps = [], [], _target_l0._EVERY
    monkeypatch.setattr(TargetL0, "_correct", lambda self, l0: seen.append(l0))
    control, net = begin(SparseCodingLoss(0.1))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        counts, weights = [], []
        for step in range(n_steps):
            codes = torch.randn(5 + step % 3, 6, generator=generator).relu()
            of_rows = torch.rand(len(codes), generator=generator)
            net.criterion_.sample_weight = of_rows if weighted else None
            net.processes_.take((codes,))
            control.on_batch_end(net, DenseCodes(codes), training=True)
            control.on_batch_end(net, DenseCodes(torch.ones_like(codes)), training=False)
            counts.append((codes > 0).sum(1))
            weights.append(of_rows if weighted else torch.ones(len(codes)))
        counts, weights = torch.cat(counts), torch.cat(weights)
        expected.append(((counts * weights).sum() / weights.sum()).item())
    assert seen == pytest.approx(expected)


def test_the_weight_moves_as_the_equations_say():
    control, _ = begin(SparseCodingLoss(0.1), target=8)
    integral, course = math.log(0.1), None
    for l0 in (30.0, 28.0, 1e-9, 8.0, 500.0, 9.0):
        control._correct(l0)
        y = max(math.log(l0 / 8), math.log(_target_l0._FEWEST))
        fall = math.exp(-_target_l0._EVERY / _target_l0._COURSE)
        course = y if course is None else fall * course
        error = min(max(y - course, -_target_l0._LARGEST_ERROR), _target_l0._LARGEST_ERROR)
        integral += _target_l0._INTEGRAL * _target_l0._EVERY * error
        assert math.log(control.alpha_) == pytest.approx(integral)
        assert math.log(control.now_) == pytest.approx(integral + _target_l0._PROPORTIONAL * error)


def test_a_loss_gets_the_weight_in_training_if_it_has_one():
    control, net = begin(SparseCodingLoss(0.1))
    control.now_ = 7.0
    control.on_batch_begin(net, training=False)
    assert net.criterion_.alpha == 0.1
    control.on_batch_begin(net, training=True)
    assert net.criterion_.alpha == 7.0

    control, net = begin(CodeRegressionLoss())
    net.history.new_epoch()
    for _ in range(2 * _target_l0._EVERY):
        control.on_batch_begin(net, training=True)
        control.on_batch_end(net, None, training=True)
    control.on_epoch_end(net)
    assert not hasattr(net.criterion_, "alpha")
    assert "settling" not in net.history[-1]


@pytest.mark.parametrize("loss", [SparseCodingLoss, JumpReLULoss])
def test_a_weight_that_has_fallen_to_nothing_stays_and_is_settled(loss):
    control, net = begin(loss(0.3), target=9)
    least = 0.3 * _target_l0._LEAST ** (1 if loss is SparseCodingLoss else 2)
    assert not control.is_least
    for _ in range(300):
        control._correct(1.0)
    assert control.alpha_ == pytest.approx(least)
    assert control.is_least
    for _ in range(_target_l0._EPOCHS):
        net.history.new_epoch()
        control.on_epoch_end(net)
    assert net.history[:, "settling"] == [True] * (_target_l0._EPOCHS - 1) + [False]
    control.on_train_begin(net)  # of a net that goes on
    assert control.least_ == pytest.approx(least)
    for _ in range(9):
        control._correct(90.0)
    assert not control.is_least


def test_a_weight_that_is_not_to_move_is_settled_from_the_beginning():
    control, net = begin(SparseCodingLoss(0.1))
    control.adapts = False
    net.history.new_epoch()
    for _ in range(3 * _target_l0._EVERY):
        control.on_batch_end(net, DenseCodes(torch.ones(5, 6)), training=True)
    control.on_epoch_end(net)
    assert not net.history[-1]["settling"]
    assert control.alpha_ == 0.1


@pytest.mark.parametrize(("growth", "distance"), [(1, 0.4), (1, -0.4), (1.1, 0), (0.9, 0)])
def test_it_settles_when_weight_and_number_keep_still(growth, distance):
    control, net = begin(SparseCodingLoss(0.1))
    n_epochs = _target_l0._EPOCHS

    def epochs(n, growth, distance):
        control.distance_ = distance
        for _ in range(n):
            control.alpha_ *= growth
            net.history.new_epoch()
            control.on_epoch_end(net)
        return net.history[-n:, "settling"]

    assert all(epochs(2 * n_epochs, growth, distance))
    n_more = n_epochs - 2 if growth != 1 else 0  # of epochs with the weight of the last
    assert epochs(n_epochs, 1, 0.01) == [True] * n_more + [False] * (n_epochs - n_more)
