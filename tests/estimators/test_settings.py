"""Parameters that are objects with parameters: Schedule, Checkpoint, ResampleDead, TeachDead."""

import functools
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skamort import ITOCoder, JumpReLUSAE, LISTAEncoder, SAEEncoder, TopKSAE
from skamort.estimators import fit_many
from skamort.training import Checkpoint, ResampleDead, Schedule, TeachDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).standard_normal((60, 6))
QUICK = {"n_components": 12, "max_iter": 4, "batch_size": 16, "tol": 0, "random_state": 0}


@pytest.fixture
def every_setting(tmp_path):
    """Settings by the parameter that takes them, of which each changes a fit."""
    return {
        "schedule": Schedule(warmup=0.3, decay=0.5, alpha_warmup=0.2),
        "dead_latents": ResampleDead(window=20),
        "checkpoint": Checkpoint(tmp_path / "run", every_epochs=3),
    }


def search(sae, grid, **kwargs):
    """Search a grid in a pipeline, on one split of the rows."""
    pipeline = Pipeline([("scale", StandardScaler()), ("sae", sae)])
    split = PredefinedSplit(np.r_[np.zeros(20), np.full(40, -1)])
    return GridSearchCV(pipeline, grid, cv=split, error_score="raise", **kwargs).fit(X)


@pytest.mark.parametrize(
    ("sae", "grid"),
    [
        (SAEEncoder(schedule=Schedule(), **QUICK), {"schedule__decay": [0.0, 1.0]}),
        (SAEEncoder(schedule=Schedule(), **QUICK), {"schedule__alpha_warmup": [0.0, 1.0]}),
        (
            TopKSAE(dead_latents=ResampleDead(), k=1, **QUICK),
            {"dead_latents__window": [1, 10**6]},
        ),
        (
            TopKSAE(dead_latents=TeachDead(), k=1, **QUICK),
            {"dead_latents__window": [1, 10**6]},
        ),
    ],
    ids=["decay", "alpha_warmup", "resample", "auxk"],
)
def test_a_grid_over_a_nested_parameter_in_a_pipeline(sae, grid):
    ((name, values),) = grid.items()
    found = search(sae, {f"sae__{name}": values})
    scores = found.cv_results_["mean_test_score"]
    assert scores[0] != scores[1]
    assert found.best_params_ == {f"sae__{name}": values[int(np.argmax(scores))]}
    setting, inner = name.split("__")
    best = getattr(found.best_estimator_["sae"], setting)
    assert getattr(best, inner) == values[int(np.argmax(scores))]


def test_a_grid_over_checkpoints_each_in_a_place_of_its_own(tmp_path):
    sae = SAEEncoder(checkpoint=Checkpoint(tmp_path), **QUICK)
    grid = [
        {"sae__checkpoint__path": [tmp_path / str(n)], "sae__checkpoint__every_epochs": [n]}
        for n in (1, 3)
    ]
    search(sae, grid, refit=False)
    written = {n: sorted(path.name for path in (tmp_path / str(n)).iterdir()) for n in (1, 3)}
    assert written == {1: ["epoch-000003", "epoch-000004"], 3: ["epoch-000003"]}


@pytest.mark.parametrize(
    ("estimator", "params", "told"),
    [
        (SAEEncoder(), {"schedule__decay": 0.1}, r"SAEEncoder: schedule='auto' has no .*'decay'"),
        (SAEEncoder(checkpoint="runs"), {"checkpoint__every_epochs": 2}, "checkpoint='runs' has"),
        (SAEEncoder(dead_latents="resample"), {"dead_latents__window": 9}, "='resample' has no"),
        (ITOCoder(), {"estimator__alpha": 1.0}, r"ITOCoder: estimator=None has no .*'alpha'"),
        (SAEEncoder(), {"alpha__value": 1.0}, "alpha='auto' has no parameter 'value'"),
    ],
    ids=["schedule", "checkpoint", "dead_latents", "estimator", "a number"],
)
def test_a_parameter_of_what_is_not_there_is_refused(estimator, params, told):
    before = estimator.get_params()
    for one in (estimator, Pipeline([("sae", estimator)])):
        prefix = "sae__" if isinstance(one, Pipeline) else ""
        with pytest.raises(ValueError, match=rf"{told}.*set \w+ to an object that has it first"):
            one.set_params(**{prefix + name: value for name, value in params.items()})
    assert estimator.get_params() == before


def test_an_object_and_its_parameter_can_be_set_at_once():
    sae = SAEEncoder().set_params(schedule=Schedule(warmup=0.2), schedule__decay=0.1)
    assert repr(sae.schedule) == "Schedule(warmup=0.2, decay=0.1, alpha_warmup=0.0)"
    with pytest.raises(ValueError, match="Invalid parameter 'fall'"):
        sae.set_params(schedule__fall=1)
    with pytest.raises(ValueError, match="Invalid parameter 'plan'"):
        sae.set_params(plan__decay=1)


def test_clone_copies_the_objects(every_setting):
    sae = SAEEncoder(**every_setting)
    for name, given in every_setting.items():
        copy = getattr(clone(sae), name)
        assert copy is not given
        assert copy.get_params() == given.get_params()
        assert repr(copy) == repr(given) == repr(pickle.loads(pickle.dumps(given)))
    assert sae.get_params()["schedule__decay"] == 0.5
    clone(sae).set_params(schedule__decay=0.1)
    assert sae.schedule.decay == 0.5


@pytest.mark.parametrize("Encoder", [SAEEncoder, JumpReLUSAE])
def test_fit_changes_no_object_and_one_object_serves_two(every_setting, Encoder, tmp_path):
    before = {name: dict(vars(setting)) for name, setting in every_setting.items()}
    one, other = (Encoder(alpha=0.5, **QUICK).set_params(**every_setting) for _ in range(2))
    one.fit(X)
    other.set_params(checkpoint=clone(one.checkpoint).set_params(path=tmp_path / "other")).fit(
        2 * X
    )
    assert {name: vars(setting) for name, setting in every_setting.items()} == before
    assert one.schedule is other.schedule is every_setting["schedule"]
    apart = clone(other).set_params(checkpoint=None).fit(2 * X)
    assert_array_equal(apart.components_, other.components_)
    one.partial_fit(X)
    assert {name: vars(setting) for name, setting in every_setting.items()} == before


def test_a_resumed_fit_changes_no_object(every_setting):
    sae = SAEEncoder(**QUICK).set_params(**every_setting, callbacks=[Fail(3)])
    with pytest.raises(MemoryError):
        sae.fit(X)
    before = dict(vars(every_setting["checkpoint"]))
    assert sae.set_params(callbacks=None).fit(X, resume=True).n_iter_ == 4
    assert vars(every_setting["checkpoint"]) == before


class Fail(Callback):
    """Counts steps, and fails once a number of epochs are over."""

    def __init__(self, epochs=None):
        self.epochs = epochs
        self.n_steps = 0

    def on_batch_end(self, net, **kwargs):
        self.n_steps += 1

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epochs:
            raise MemoryError


@pytest.mark.parametrize(
    ("params", "error", "told"),
    [
        ({"schedule": Schedule(warmup=2)}, ValueError, "Schedule: warmup is a share, .* got 2"),
        ({"schedule": Schedule(decay=-0.1)}, ValueError, r"Schedule: decay must be >= 0, got -0.1"),
        ({"schedule": Schedule(alpha_warmup="a")}, TypeError, "Schedule: alpha_warmup must be a"),
        ({"schedule": Schedule(0.6, 0.5)}, ValueError, r"warmup=0\.6 and decay=0\.5 are shares of"),
        ({"schedule": "a"}, ValueError, "The 'schedule' parameter of SAEEncoder must be"),
        ({"dead_latents": "a"}, ValueError, "The 'dead_latents' parameter of SAEEncoder must be"),
        ({"checkpoint": 3}, ValueError, "The 'checkpoint' parameter of SAEEncoder must be"),
        ({"dead_latents": ResampleDead(window=0)}, ValueError, "ResampleDead: window must be >= 1"),
        ({"dead_latents": ResampleDead(window="a")}, TypeError, "ResampleDead: window must be an"),
        ({"dead_latents": ResampleDead(scale=-1)}, ValueError, "ResampleDead: scale must be >= 0"),
        ({"dead_latents": ResampleDead(scale="a")}, TypeError, "ResampleDead: scale must be a fin"),
        ({"dead_latents": TeachDead()}, ValueError, "The 'dead_latents' parameter of SAEEncoder"),
    ],
    ids=str,
)
def test_bad_values_are_refused_before_training(params, error, told):
    watch = Fail()
    sae = SAEEncoder(callbacks=[watch], **QUICK).set_params(**params)
    for fit in (sae.fit, sae.partial_fit) if "dead_latents" in params else (sae.fit,):
        with pytest.raises(error, match=told):
            fit(X)
        assert watch.n_steps == 0
        assert not hasattr(sae, "net_")


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"every_epochs": 0}, ValueError, "Checkpoint: every_epochs must be >= 1, got 0"),
        (
            {"every_epochs": 1.5},
            TypeError,
            r"Checkpoint: every_epochs must be an integer, got 1\.5",
        ),
        ({"every_seconds": -1}, ValueError, "Checkpoint: every_seconds must be >= 0, got -1"),
        ({"every_seconds": "a"}, TypeError, "Checkpoint: every_seconds must be a finite number"),
    ],
    ids=str,
)
def test_bad_intervals_are_refused_before_training(values, error, told, tmp_path):
    sae = SAEEncoder(checkpoint=Checkpoint(tmp_path / "run", **values), **QUICK)
    with pytest.raises(error, match=told):
        sae.fit(X)
    assert not hasattr(sae, "net_")
    assert not (tmp_path / "run").exists()


def test_a_penalty_that_is_not_there_cannot_warm_up():
    with pytest.raises(ValueError, match=r"TopKSAE: schedule=.*alpha_warmup=0.1\) warms up a pen"):
        TopKSAE(schedule=Schedule(alpha_warmup=0.1)).fit(X)
    assert TopKSAE(schedule=Schedule(warmup=0.1), **QUICK).fit(X).n_iter_ == 4


@pytest.mark.parametrize(
    ("encoder", "callback", "told"),
    [
        (LISTAEncoder(), ResampleDead(), "ResampleDead requires latent_rows of the model and "),
        (
            LISTAEncoder(),
            TeachDead(),
            "TeachDead requires partial_gradients of the model and",
        ),
    ],
    ids=["ResampleDead", "TeachDead"],
)
def test_a_callback_that_the_encoder_cannot_serve_is_refused(encoder, callback, told):
    with pytest.raises(ValueError, match=told):
        encoder.set_params(callbacks=[callback], **QUICK).fit(X)
    assert not hasattr(encoder, "net_")


@pytest.mark.parametrize("code_loss", ["cosine", "squared_error"])
@pytest.mark.parametrize("given", [{"dead_latents": "auxk"}, {"callbacks": [TeachDead(window=9)]}])
def test_known_codes_leave_the_dead_nothing_to_reconstruct(given, code_loss):
    known = {"codes": np.ones((len(X), QUICK["n_components"])), "code_loss": code_loss}
    told = r"TopKSAE: (dead_latents='auxk'|TeachDead) learns from the reconstruction of X, .* fit "
    sae = TopKSAE(k=1, **given, **QUICK)
    for fit in (sae.fit, sae.partial_fit, functools.partial(fit_many, sae, param_grid={})):
        with pytest.raises(ValueError, match=told):
            fit(X, **known)
        assert not hasattr(sae, "net_")
    codes = sae.fit(X).set_params(warm_start=True).transform(X)
    for fit in (sae.fit, sae.partial_fit):
        with pytest.raises(ValueError, match=told):
            fit(X, **known)
        assert_array_equal(sae.transform(X), codes)
    sae.set_params(dead_latents=None, callbacks=None).fit(X, **known)
    assert sae.set_params(**given).fit(X).n_iter_ == 3 * QUICK["max_iter"]
