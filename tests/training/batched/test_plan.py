import numpy as np
import pytest
from skorch.callbacks import GradientNormClipping

from skamort import MLPEncoder, SAEEncoder, TopKSAE
from skamort.modules import LinearEncoder, ReLU
from skamort.training import (
    BestWeights,
    CodeRegressionLoss,
    Schedule,
    SparseCodingLoss,
    StopOnPlateau,
    TeachDead,
)
from skamort.training.batched import plan


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((40, 6))


@pytest.fixture
def make_jobs(X):
    def make(*estimators, codes=None, code_loss="cosine"):
        return [estimator._prepare_fit(X, None, None, codes, code_loss) for estimator in estimators]

    return make


def sizes(jobs):
    return sorted(len(group) for group in plan(jobs))


@pytest.mark.parametrize(
    "estimators",
    [
        [SAEEncoder(5, alpha=0.1), SAEEncoder(5, alpha=1.0, learning_rate=0.1, tol=0.1)],
        [SAEEncoder(5), SAEEncoder(5, schedule=None, dead_latents=None)],
        [SAEEncoder(5, max_grad_norm=1.0), SAEEncoder(5, random_state=1, max_iter=3)],
        [MLPEncoder(5, hidden_layer_sizes=(3,)), MLPEncoder(5, hidden_layer_sizes=(3,), alpha=1.0)],
        [TopKSAE(5, k=2), TopKSAE(5, k=1, feature_weights=None)],
    ],
)
def test_what_models_may_differ_in(estimators, make_jobs):
    assert sizes(make_jobs(*estimators)) == [2]


@pytest.mark.parametrize(
    "options",
    [
        {"n_components": 6},
        {"encoder_bias": False},
        {"batch_size": 7},
        {"early_stopping": True},
        {"fit_intercept": False},
        {"dictionary": np.eye(5, 6)},
        {"feature_weights": "variance"},
    ],
)
def test_what_models_must_agree_in(options, make_jobs):
    jobs = make_jobs(SAEEncoder(5), SAEEncoder(5), SAEEncoder(**{"n_components": 5} | options))
    assert sizes(jobs) == [1, 2]


def test_losses_of_known_codes_are_not_mixed(X, make_jobs):
    codes = np.ones((len(X), 5))
    jobs = [
        job
        for code_loss in ("cosine", "squared_error")
        for job in make_jobs(SAEEncoder(5), SAEEncoder(5), codes=codes, code_loss=code_loss)
    ]
    assert sizes(jobs) == [2, 2]


@pytest.mark.parametrize(
    "estimator",
    [
        TopKSAE(5, k=1, multi_topk=True),
        TopKSAE(5, k=1, n_stages=1),
        SAEEncoder(5, precision="bfloat16"),
        SAEEncoder(5, schedule=Schedule(alpha_warmup=0.5)),
        TopKSAE(5, k=1, dead_latents=TeachDead()),
        SAEEncoder(5, callbacks=[GradientNormClipping(1.0)]),
        SAEEncoder(5, callbacks=[StopOnPlateau(0.1, 5)]),  # beside the estimator's own
    ],
)
def test_what_the_engine_does_not_know_is_alone(estimator, make_jobs):
    assert sizes(make_jobs(estimator, estimator)) == [1, 1]


def be_activation(job, part):
    job.net.module_.activation = part()


def be_encoder(job, part):
    job.net.module_.encoder = part(6, 5).double()


def be_loss(job, part):
    job.net.criterion_ = part()


def be_callback(job, part):
    callbacks = job.net.callbacks_
    job.net.callbacks_ = [
        (name, part() if isinstance(callback, BestWeights) else callback)
        for name, callback in callbacks
    ]


@pytest.mark.parametrize("says_so", [False, True])
@pytest.mark.parametrize(
    ("be", "base"),
    [
        (be_activation, ReLU),
        (be_encoder, LinearEncoder),
        (be_loss, SparseCodingLoss),
        (be_loss, CodeRegressionLoss),
        (be_callback, BestWeights),
    ],
)
def test_a_subclass_of_a_known_part_is_alone_until_it_says_itself(be, base, says_so, make_jobs):
    part = type("Part", (base,), {"batched": base.batched} if says_so else {})
    jobs = make_jobs(SAEEncoder(5), SAEEncoder(5))
    for job in jobs:
        be(job, part)
    assert sizes(jobs) == ([2] if says_so else [1, 1])


def test_a_part_with_another_setting_is_not_mixed(make_jobs):
    jobs = make_jobs(*(SAEEncoder(5) for _ in range(3)))
    for _, callback in jobs[0].net.callbacks_:
        if hasattr(callback, "every"):
            callback.every = 7
    assert sizes(jobs) == [1, 2]


def test_the_largest_k_comes_first(make_jobs):
    ((*jobs,),) = plan(make_jobs(*(TopKSAE(5, k=k) for k in (1, 3, 2))))
    assert [job.net.module_.activation.n_kept for job in jobs] == [3, 2, 1]


@pytest.mark.parametrize(("n_numbers", "expected"), [(1, [1, 1, 1]), (2 * 40 * 6, [1, 2])])
def test_groups_hold_no_more_numbers_than_they_may(n_numbers, expected, make_jobs, monkeypatch):
    monkeypatch.setattr("skamort.training.batched._plan._MOST_TOGETHER", n_numbers)
    assert sizes(make_jobs(*(SAEEncoder(6) for _ in range(3)))) == expected


def test_models_too_large_to_gain_are_alone(make_jobs, monkeypatch):
    monkeypatch.setattr("skamort.training.batched._plan._MOST_ALONE", 40 * 6 - 1)
    assert sizes(make_jobs(SAEEncoder(6), SAEEncoder(6))) == [1, 1]
