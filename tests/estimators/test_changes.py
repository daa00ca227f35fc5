"""A fit that goes on from the last takes the parameters as they are now, or refuses them."""

import pickle

import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback

from skamort import GradSparseCoder, JumpReLUSAE, LISTAEncoder, SAEEncoder, TopKSAE
from skamort.training import ResampleDead, Schedule, TeachDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(5).standard_normal((120, 7))
QUICK = {"n_components": 9, "max_iter": 3, "tol": 0.0, "random_state": 4}


def going_on(estimator):
    return [clone(e) for e in estimator if hasattr(e, "warm_start")]


@pytest.fixture(params=going_on(fast_estimators()), ids=lambda e: type(e).__name__)
def warm(request):
    return clone(request.param).set_params(**QUICK, warm_start=True).fit(X)


def test_a_topk_model_goes_on_with_another_k():
    sae = TopKSAE(k=2, warm_start=True, **QUICK).fit(X)
    before = sae.components_
    sae.set_params(k=6, learning_rate=1e-12).fit(X)
    assert (sae.transform(X) > 0).sum(axis=1).max() > 2
    np.testing.assert_allclose(sae.components_, before, atol=1e-6)  # not a fresh start
    with pytest.raises(ValueError, match="k=10 exceeds n_components=9"):
        sae.set_params(k=10).fit(X)


@pytest.mark.parametrize("go_on", ["fit", "partial_fit"])
def test_the_step_size_is_the_new_one(go_on):
    for Encoder in (LISTAEncoder, JumpReLUSAE):
        sae = Encoder(fit_intercept=True, warm_start=True, **QUICK).fit(3 * X)  # rates with units
        fast = clone(sae).set_params(learning_rate=0.02).fit(3 * X)
        expected = sorted(group["lr"] for group in fast.net_.optimizer_.param_groups)
        getattr(sae.set_params(learning_rate=0.02), go_on)(3 * X)
        rates = sorted(group["lr"] for group in sae.net_.optimizer_.param_groups)
        np.testing.assert_allclose(rates, expected)
        before = sae.components_
        getattr(sae.set_params(learning_rate=1e-13), go_on)(3 * X)
        np.testing.assert_allclose(sae.components_, before, atol=1e-9)


def test_batches_and_the_end_of_training_are_the_new_ones():
    sae = SAEEncoder(batch_size=10, schedule=None, warm_start=True, **QUICK).fit(X)
    assert sae.net_.history[-1]["train_batch_count"] == 12
    sae.set_params(batch_size=60, tol=10.0, n_iter_no_change=2, max_iter=50).fit(X)
    assert sae.net_.history[-1]["train_batch_count"] == 2
    assert sae.n_iter_ == 3 + 3


class Count(Callback):
    def __init__(self):
        self.steps = 0

    def on_batch_end(self, net, training, **kwargs):
        self.steps += training


def test_callbacks_are_the_new_ones_and_counts_go_on():
    first, second = Count(), Count()
    sae = SAEEncoder(callbacks=[first], batch_size=40, warm_start=True, **QUICK).fit(X)
    activity = sae.net_.callback("activity")
    sae.set_params(callbacks=[second], max_grad_norm=1e-9).fit(X)
    assert (first.steps, second.steps) == (9, 9)
    assert sae.net_.callback("activity") is activity
    assert sae.net_.callback("ClipGradient").max_norm == 1e-9


def test_settings_that_change_from_within_are_seen():
    sae = TopKSAE(dead_latents=ResampleDead(window=999), warm_start=True, **QUICK).fit(X)
    sae.set_params(dead_latents__window=50, precision="bfloat16").fit(X)
    assert sae.net_.callback("ResampleDead").window == 50
    sae.set_params(dead_latents=TeachDead(window=30)).fit(X)
    assert sae.net_.callback("TeachDead").window == 30
    assert "ResampleDead" not in dict(sae.net_.callbacks_)


def test_a_threshold_learned_stays_where_its_window_changes():
    sae = JumpReLUSAE(warm_start=True, **QUICK).fit(X)
    learned = sae.net_.module_.activation.log_threshold.detach().clone()
    sae.set_params(bandwidth=0.25, learning_rate=1e-12).fit(X)
    activation = sae.net_.module_.activation
    assert activation.bandwidth == 0.25
    np.testing.assert_allclose(activation.log_threshold.detach(), learned, atol=1e-9)


def test_nothing_changed_is_nothing_done(warm):
    """Of parameters that are equal but other objects, too, and after pickling."""
    settings = {"dict_init": np.ones((9, 7))}
    if "schedule" in warm.get_params():
        settings |= {"schedule": Schedule(warmup=0.1), "callbacks": [Count()]}
    twins = [clone(warm).set_params(**settings).fit(X) for _ in range(2)]
    again = pickle.loads(pickle.dumps(twins[0]))
    again.set_params(dict_init=np.ones((9, 7)))
    assert_array_equal(again.fit(X).components_, twins[1].fit(X).components_)


@pytest.mark.parametrize("go_on", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "changed",
    [
        {"n_components": 5},
        {"dictionary": np.eye(9, 7) + 1},
        {"dict_init": "samples"},
        {"fit_intercept": True},
        {"encoder_bias": False},
        {"hidden_layer_sizes": (3,)},
        {"n_layers": 1},
        {"feature_weights": np.ones(7)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_the_weights_are_made_for_is_refused(warm, changed, go_on):
    name = next(iter(changed))
    if name not in warm.get_params():
        pytest.skip("has no such parameter")
    with pytest.raises(
        ValueError, match=rf"goes on from the last one cannot take {name}=.*\(was .*anew"
    ):
        getattr(warm.set_params(**changed), go_on)(X)
    assert warm.set_params(warm_start=False).fit(X).n_iter_ > 0 or name == "dictionary"


def test_a_coder_without_a_net_reads_its_parameters_anew():
    coder = GradSparseCoder(alpha=0.1, warm_start=True, **QUICK).fit(X)
    coder.set_params(alpha=3.0, algorithm="fista", max_iter=2).fit(X)
    assert np.count_nonzero(coder.transform(X)) < np.count_nonzero(
        coder.set_params(transform_alpha=0.01).transform(X)
    )
