"""The end of training is foretold by the losses so far, and known once the step size falls."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skamort import SAEEncoder
from skamort.training import Plateau, Schedule, StopOnPlateau
from skamort.training._forecast import Forecast, expected_plateau


def round_of_the_plateau(losses, tol, patience):
    plateau = Plateau(tol, patience)
    return next(i for i, loss in enumerate(losses, 1) if plateau.reached(loss))


@pytest.mark.parametrize(("least", "slope"), [(1.0, 1.0), (5.0, 30.0), (0.2, 0.1), (-3.0, 1.0)])
@pytest.mark.parametrize(("tol", "patience"), [(1e-3, 10), (1e-2, 5)])
def test_losses_that_fall_as_said_end_where_it_is_said(least, slope, tol, patience):
    losses = [least + slope / t for t in range(1, 2000)]
    end = round_of_the_plateau(losses, tol, patience)
    for n_rounds in (end // 2, end - patience):
        told = expected_plateau(losses[:n_rounds], tol, patience)
        assert told == pytest.approx(end, rel=0.2, abs=patience)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20), st.floats(0, 0.1), st.integers(1, 9))
def test_a_plateau_takes_its_patience(losses, tol, patience):
    bests = [min(losses[: i + 1]) for i in range(len(losses))]
    told = expected_plateau(bests, tol, patience)
    assert told >= len(losses) + patience
    assert expected_plateau([bests[0]] * len(bests), tol, patience) == len(losses) + patience


@pytest.mark.parametrize("schedule", [None, Schedule(warmup=0.05, decay=0.2)])
def test_what_is_told_comes_true(schedule):
    """A run of 1,000 epochs whose loss falls to a plateau after some ninety."""
    stop = StopOnPlateau(1e-3, 10)
    stop.on_train_begin(None)
    if schedule is not None:
        schedule.begin(1000, 7)
    forecast, told, epoch, ended = Forecast(1000, stop, schedule), [], 0, False
    while not ended:
        epoch += 1
        for _ in range(7 if schedule else 0):
            schedule.next_factor()
        warming_up = schedule is not None and schedule.warming_up
        row = {"train_loss": 1 + 1 / epoch, "warming_up": warming_up}
        ended = stop.has_converged(row, schedule)
        told.append(forecast.end(epoch))
    assert 90 < epoch < 200
    assert all(about <= most <= 1000 for about, most in told)
    assert told[0] == (1000, 1000)
    assert all(about == pytest.approx(epoch, rel=0.3) for about, most in told[epoch // 2 :])
    if schedule is not None:
        assert told[-2] == (epoch, epoch)


def test_what_nothing_can_end_takes_all_epochs():
    assert Forecast(30).end(5) == (30, 30)
    settling = SimpleNamespace(plateau_=Plateau(1e-3, 10))
    forecast = Forecast(30, settling)
    assert forecast.end(1) == (30, 30)
    settling.plateau_.best, settling.plateau_.tol = 2.0, 0.0
    assert [forecast.end(epoch) for epoch in (2, 3)] == [(30, 30), (13, 30)]
    settling.plateau_.best = math.inf  # all begins anew
    assert forecast.end(4) == (30, 30)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_bar_asks_at_the_end_of_each_epoch(monkeypatch):
    asked, end = [], Forecast.end
    monkeypatch.setattr(Forecast, "end", lambda self, n: asked.append(n) or end(self, n))
    X = np.random.default_rng(0).standard_normal((20, 3))
    SAEEncoder(4, max_iter=3, tol=0, verbose=True).fit(X)
    assert asked == [1, 2, 3]
