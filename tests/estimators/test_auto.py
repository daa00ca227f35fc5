"""What "auto" stands for, and that fits take it."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import StepLR

from skamort import JumpReLUSAE, LISTAEncoder, MLPEncoder, SAEEncoder, TopKSAE, WeightedSAE
from skamort.estimators import _auto, fit_many
from skamort.training import ResampleDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ENCODERS = [JumpReLUSAE, LISTAEncoder, MLPEncoder, SAEEncoder, TopKSAE, WeightedSAE]
AUTO = ("fit_intercept", "learning_rate", "schedule", "max_iter", "batch_size")
ROWS = st.integers(1, 10**9)
X = 5 + np.random.RandomState(0).randn(1000, 6)


@given(rows=ROWS, more=ROWS)
def test_batches_grow_with_the_data_within_bounds(rows, more):
    size, larger = _auto.auto_batch_size(rows), _auto.auto_batch_size(rows + more)
    assert 256 <= size <= larger <= 4096
    assert size & (size - 1) == 0
    if 256 < size < 4096:
        assert 700 < rows / size < 1500


@given(rows=ROWS, batch_size=st.integers(1, 5000))
def test_epochs_make_ten_thousand_steps_where_they_may(rows, batch_size):
    epochs, steps = _auto.auto_max_iter(rows, batch_size), -(-rows // batch_size)
    assert 1 <= epochs <= 1000
    assert (epochs - 1) * steps < 10_000
    assert epochs * steps >= 10_000 or epochs == 1000


@given(features=st.integers(1, 10**5), batch_size=st.integers(1, 5000))
def test_steps_are_longer_in_larger_batches_and_shorter_in_more_features(features, batch_size):
    rate = _auto.auto_learning_rate(features, batch_size)
    assert 0 < rate <= 4e-3
    assert rate <= _auto.auto_learning_rate(features, 2 * batch_size)
    assert rate >= _auto.auto_learning_rate(2 * features, batch_size)
    assert _auto.auto_learning_rate(600, 256) == pytest.approx(2e-3)


@given(most=st.floats(1e-6, 1))
def test_steps_are_as_long_as_may_be(most):
    assert _auto.auto_learning_rate(600, 256, most) == min(2e-3, most)


@pytest.mark.parametrize(
    ("sae", "rate"),
    [(TopKSAE(), 3.2e-3), (SAEEncoder(activation="prolu"), 1.6e-3), (SAEEncoder(), 4e-3)],
)
def test_steps_are_shorter_the_more_atoms_for_top_k_and_prolu_and_else_not(sae, rate):
    sae.set_params(n_components=2500, max_iter=1, random_state=0).fit(X[:60])
    assert sae.learning_rate_ == pytest.approx(rate)


@given(rows=ROWS, epochs=st.integers(1, 1000))
def test_the_schedule_warms_up_for_a_few_steps(rows, epochs):
    schedule = _auto.auto_schedule(rows, 256, epochs).check()
    assert 0 < schedule.warmup <= 0.05
    assert schedule.warmup * epochs * -(-rows // 256) <= 100 * (1 + 1e-9)


@pytest.mark.parametrize("Encoder", ENCODERS)
def test_auto_is_what_it_comes_to(Encoder):
    sae = Encoder(8, max_iter=3, random_state=0).fit(X)
    found = {name: getattr(sae, f"{name}_") for name in AUTO}
    if hasattr(sae, "dead_latents"):
        found["dead_latents"] = sae.dead_latents_
        assert sae.dead_latents_.window == 1500
    assert found["fit_intercept"] is True
    said = clone(sae).set_params(**found).fit(X)
    assert_array_equal(said.components_, sae.components_)
    assert_array_equal(said.intercept_, sae.intercept_)
    assert {name: getattr(said, f"{name}_") for name in AUTO[:3]} == {
        name: found[name] for name in AUTO[:3]
    }
    copy = pickle.loads(pickle.dumps(sae))
    assert copy.batch_size_ == sae.batch_size_ == 256
    assert clone(copy).batch_size == "auto"


def test_what_is_known_keeps_its_origin():
    codes = np.abs(np.random.RandomState(1).randn(1000, 8))
    for sae in (
        SAEEncoder(8, max_iter=2).fit(X, codes=codes),
        SAEEncoder(max_iter=2, dictionary=np.random.RandomState(2).randn(8, 6)).fit(X),
    ):
        assert sae.fit_intercept_ is False
        assert sae.dead_latents_ is None
        assert_array_equal(sae.intercept_, 0)


def test_without_a_center_nothing_is_resampled():
    assert TopKSAE(8, fit_intercept=False, max_iter=1).fit(X).dead_latents_ is None
    kept = ResampleDead(77)
    sae = TopKSAE(8, fit_intercept=False, dead_latents=kept, max_iter=1).fit(X)
    assert sae.dead_latents_ is kept


def test_a_schedule_of_the_user_is_left_alone():
    decay = LRScheduler(StepLR, step_size=1, gamma=0.1)
    sae = SAEEncoder(8, max_iter=2, learning_rate=1e-3, callbacks=[("decay", decay)]).fit(X)
    assert sae.schedule_ is None
    assert sae.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(1e-5)


def test_chunks_go_on_with_what_the_first_one_brought():
    sae = TopKSAE(60, k=3, random_state=0).partial_fit(X[:30])
    assert (sae.max_iter_, sae.schedule_, sae.batch_size_) == (1, None, 256)
    assert sae.dead_latents_.window == 30 * 60
    sae.partial_fit(X)
    assert sae.dead_latents_.window == 30 * 60
    sae.set_params(batch_size=16).partial_fit(X[:30])
    assert sae.batch_size_ == sae.net_.batch_size == 16
    assert sae.learning_rate_ == _auto.auto_learning_rate(6, 16) == sae.net_.learning_rate
    sae.set_params(batch_size="auto").partial_fit(X[:30])
    assert sae.batch_size_ == 16


def test_a_warm_start_and_many_fits_take_it_too():
    sae = TopKSAE(8, k=2, max_iter=2, warm_start=True, random_state=0).fit(X)
    assert clone(sae).fit(X[:100]).dead_latents_ is None
    assert sae.fit(X[:100]).dead_latents_.window == 1500
    assert sae.set_params(max_iter="auto", tol=0.5).fit(X).max_iter_ == 1000
    (many,) = fit_many(clone(sae), X, {"k": [2]})
    assert (many.batch_size_, many.max_iter_) == (256, 1000)


@pytest.mark.parametrize("Encoder", ENCODERS[:5])
@pytest.mark.parametrize("n_rows", [1, 2, 10])
def test_a_few_rows_are_enough(Encoder, n_rows):
    sae = Encoder(random_state=0, max_iter=20).fit(X[:n_rows])
    assert np.isfinite(sae.transform(X)).all()
    assert_allclose(sae.intercept_, X[:n_rows].mean(0), atol=0.5)


def test_verbose_tells_what_auto_comes_to(capsys):
    TopKSAE(8, max_iter=1, fit_intercept=False, verbose=True).fit(X)
    told = capsys.readouterr().out
    assert told.startswith("TopKSAE: ")
    assert "learning_rate=0.004" in told
    assert "dead_latents=None" in told
    assert "max_iter" not in told
    assert "fit_intercept" not in told


def test_data_far_from_zero_leave_no_latent_dead():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sae = TopKSAE(12, k=3, random_state=0).fit(X)
    assert sae.dead_fraction_ == 0
    assert sae.score(X) > 0.6


@pytest.mark.parametrize("Encoder", [SAEEncoder, MLPEncoder, LISTAEncoder])
def test_equal_rows_start_no_two_atoms(Encoder):
    rows = np.repeat(X[:20], 5, axis=0)
    sae = Encoder(12, max_iter=1, learning_rate=1e-9, random_state=0).fit(rows)
    assert np.triu(sae.components_ @ sae.components_.T, 1).max() < 1 - 1e-6
    once = clone(sae).fit(X[:20][::-1], sample_weight=np.full(20, 5.0))
    assert_allclose(once.components_, sae.components_, atol=1e-6)


def test_many_dead_latents_are_told_with_a_remedy():
    sae = TopKSAE(60, k=2, random_state=0, max_iter=3, fit_intercept=False, dict_init=None)
    with pytest.warns(match=r"of the latents are dead, .* fit_intercept"):
        sae.fit(X)
    assert sae.dead_fraction_ > 0.1
    with pytest.warns(match=r"dead in 2 of 2 models"):
        fit_many(sae, X, {"k": [1, 2]})


def test_layers_that_go_through_each_other_take_smaller_steps():
    X = np.random.default_rng(0).standard_normal((40, 6))
    lista, sae = (kind(8, max_iter=1, random_state=0).fit(X) for kind in (LISTAEncoder, SAEEncoder))
    assert lista.learning_rate_ == sae.learning_rate_ / 4
