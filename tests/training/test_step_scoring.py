"""Curves of training are those of the encoder that is trained, and change nothing about it."""

import time

import numpy as np
import pytest
from sklearn.base import clone

from skamort import BatchTopKSAE, SAEEncoder
from skamort.metrics import flops
from skamort.training import Checkpoint, StepScoring

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
rng = np.random.default_rng(0)
X, HELD_OUT = rng.normal(size=(70, 6)), rng.normal(size=(20, 6))


def total(codes, dictionary):
    return codes.sum() + np.abs(dictionary).sum()


def make(scoring=total, n_per_decade=4, **params):
    looks = StepScoring(HELD_OUT, scoring, n_per_decade=n_per_decade)
    settings = {"max_iter": 12, "tol": 0, "batch_size": 32, "random_state": 0} | params
    return SAEEncoder(8, callbacks=[looks], **settings), looks


def test_looks_lie_evenly_on_a_log_scale_from_before_the_first_step_to_the_last():
    sae, looks = make(n_per_decade=5)
    sae.fit(X)
    steps = np.array(looks.curve_["step"])
    assert (steps[0], steps[-1]) == (0, 3 * 12)
    gaps = np.diff(steps)[:-1]  # the last is where training ends
    assert (gaps[1:] <= 0.6 * steps[1:-2] + 1).all()
    assert len(steps) == len(set(steps))
    assert {len(figures) for figures in looks.curve_.values()} == {len(steps)}


def test_scores_are_those_of_the_estimator_and_costs_what_flops_counts():
    sae, looks = make(early_stopping=True)
    start = time.perf_counter()
    sae.fit(X)  # which goes back to the best epoch at its end
    assert looks.curve_["score"][-1] == pytest.approx(
        total(sae.transform(HELD_OUT), sae.components_)
    )
    assert looks.curve_["flops"][0] == looks.curve_["n_samples"][0] == 0
    n_rows = looks.curve_["n_samples"][-1]
    assert n_rows == 63 * sae.n_iter_
    assert looks.curve_["flops"][-1] == flops(sae, 63, mode="training")
    assert (np.diff(looks.curve_["seconds"]) > 0).all()
    assert looks.curve_["seconds"][-1] < time.perf_counter() - start


def test_to_look_changes_nothing():
    for make_one in (
        lambda **params: SAEEncoder(8, max_iter=5, batch_size=16, random_state=0, **params),
        lambda **params: BatchTopKSAE(8, k=2, max_iter=5, batch_size=16, random_state=0, **params),
    ):
        alone = make_one().fit(X)
        watched = make_one(callbacks=[StepScoring(HELD_OUT, total)]).fit(X)
        np.testing.assert_array_equal(watched.transform(X), alone.transform(X))


def test_data_of_another_unit_are_scored_in_it():
    sae = make()[0]
    huge, big = clone(sae), StepScoring(HELD_OUT * 2.0**30, lambda z, _: z.max(), 4)
    sae.set_params(callbacks=[StepScoring(HELD_OUT, lambda z, _: z.max(), 4)]).fit(X)
    huge.set_params(callbacks=[big]).fit(X * 2.0**30)
    small = np.array(sae.callbacks[0].curve_["score"])
    np.testing.assert_allclose(np.array(big.curve_["score"]) / 2.0**30, small, rtol=1e-4)


def test_a_fit_begins_anew_and_partial_fit_goes_on():
    sae, looks = make({"a": total, "b": lambda z, _: (z > 0).mean()})
    sae.fit(X)
    first = {name: list(figures) for name, figures in looks.curve_.items()}
    sae.partial_fit(X)
    assert looks.curve_["step"][: len(first["step"])] == first["step"]
    assert looks.curve_["step"][-1] == first["step"][-1] + 3
    sae.fit(X)
    for name in ("step", "a", "b"):
        assert looks.curve_[name] == first[name]


def test_a_resumed_fit_has_the_curve_of_one_that_was_not_interrupted(tmp_path):
    sae, looks = make(schedule=None)
    sae.fit(X)
    part, _ = make(max_iter=5, schedule=None, checkpoint=Checkpoint(tmp_path / "at"))
    part.fit(X)
    rest, resumed = make(schedule=None, checkpoint=Checkpoint(tmp_path / "at"))
    rest.fit(X, resume=True)
    common = sorted(set(resumed.curve_["step"]) & set(looks.curve_["step"]))
    assert (common[0], common[-1]) == (0, 36)
    for step in common[-3:]:
        values = [c.curve_["score"][c.curve_["step"].index(step)] for c in (looks, resumed)]
        assert values[0] == values[1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"StepScoring: .* 6 features, got X of 5"):
        SAEEncoder(8, callbacks=[StepScoring(HELD_OUT[:, 1:], total)]).fit(X)
    with pytest.raises(ValueError, match="StepScoring: n_per_decade must be >= 1, got 0"):
        make(n_per_decade=0)[0].fit(X)
    assert repr(make({"one": total})[1]) == "StepScoring(one, n_per_decade=4)"
    for scoring in ({}, {"step": total}, {"a": total, "flops": total}):
        with pytest.raises(ValueError, match="StepScoring: scoring needs scores with names other"):
            make(scoring)[0].fit(X)
    with pytest.raises(TypeError, match="StepScoring: the score 'a' must be callable, got 5"):
        make({"a": 5})[0].fit(X)


@pytest.mark.parametrize("score", ["0.5", None, [1.0, 2.0], 1j], ids=repr)
def test_a_score_is_a_number(score):
    sae, _ = make({"odd": lambda *_: score})
    with pytest.raises(TypeError, match="the score 'odd' must return a number, got"):
        sae.fit(X)


@pytest.mark.parametrize("score", [2, np.float32(0.5), np.array([3.0]), True], ids=repr)
def test_a_number_of_any_kind_is_a_score(score):
    sae, looks = make(lambda *_: score, max_iter=1)
    sae.fit(X)
    assert set(looks.curve_["score"]) == {float(np.ravel(score)[0])}


@pytest.mark.parametrize(
    ("max_iter", "steps"), [(4, [0, 1, 2, 4, 7, 12]), (5, [0, 1, 2, 4, 7, 12, 15])]
)
def test_the_last_look_is_at_the_end_once(max_iter, steps):
    """An epoch has three steps, so that the end is, or is not, where a look is due."""
    sae, looks = make(max_iter=max_iter)
    sae.fit(X)
    assert looks.curve_["step"] == steps
    assert {len(figures) for figures in looks.curve_.values()} == {len(steps)}
