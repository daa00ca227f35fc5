import warnings

import numpy as np
import pytest
import torch
from engines import each_engine
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import GradientNormClipping
from tqdm import tqdm

from skamort import GradSparseCoder, LISTAEncoder, MLPEncoder, SAEEncoder, TopKSAE, WeightedSAE
from skamort.estimators import _alpha, _base_trained, _feature_weights, fit_many
from skamort.estimators._first_look import first_look
from skamort.training import Checkpoint, ResampleDead, Schedule, SparseNet, StopOnPlateau
from skamort.training.batched import BatchedNet

N_COMPONENTS = 12
CASES = {
    "alpha and learning rate": (
        SAEEncoder(N_COMPONENTS),
        {"alpha": [0.01, 0.1], "learning_rate": [1e-3, 3e-2]},
    ),
    "intercept without bias": (
        SAEEncoder(N_COMPONENTS, fit_intercept=True, encoder_bias=False),
        {"alpha": [0.01, 0.1], "tol": [1e-3, 0.1]},
    ),
    "gradient clipping": (
        SAEEncoder(N_COMPONENTS, fit_intercept=True),
        {"alpha": [0.01, 0.1], "max_grad_norm": [None, 0.3, 1.0]},
    ),
    "known dictionary": (SAEEncoder(dictionary=np.eye(6)), {"alpha": [0.01, 0.1]}),
    "k": (TopKSAE(N_COMPONENTS, fit_intercept=True), {"k": [1, 3, 2]}),
    "k beyond rounds": (TopKSAE(N_COMPONENTS), {"k": [2, 10]}),
    "shapes": (SAEEncoder(), {"n_components": [5, 7], "max_iter": [3, 12]}),
    "hidden layers": (
        MLPEncoder(N_COMPONENTS, hidden_layer_sizes=(7, 9), fit_intercept=True),
        {"alpha": [0.01, 0.1]},
    ),
    "feature weights": (
        WeightedSAE(N_COMPONENTS),
        {"alpha": [0.01, 0.1], "weight_exponent": [0.1, 1.0]},
    ),
    "schedules": (
        SAEEncoder(N_COMPONENTS, n_iter_no_change=2),
        {"schedule": [None, Schedule(0.1, 0.3), Schedule(decay=1.0)], "tol": [1e-4, 0.2]},
    ),
    "latents that die": (
        TopKSAE(40, fit_intercept=False, dict_init=None),
        {"k": [1, 2], "dead_latents": [ResampleDead(60), ResampleDead(200)]},
    ),
    "latents that a penalty kills": (
        MLPEncoder(40, hidden_layer_sizes=5, dead_latents=ResampleDead(90)),
        {"alpha": [0.1, 1.0]},
    ),
    "feature weights and k": (TopKSAE(N_COMPONENTS, feature_weights="variance"), {"k": [1, 3]}),
}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((150, 6))


def fit_quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return function(*args, **kwargs)


def assert_equals_one_fitted_alone(model, X, tolerance=1e-8, **known):
    alone = fit_quietly(clone(model).fit, X, **known)
    close = {"rtol": tolerance, "atol": tolerance}
    for name, value in alone.net_.module_.state_dict().items():
        torch.testing.assert_close(model.net_.module_.state_dict()[name], value, **close)
    np.testing.assert_allclose(model.loss_curve_, alone.loss_curve_, **close)
    if alone.validation_loss_curve_ is not None:
        validation = model.validation_loss_curve_, alone.validation_loss_curve_
        np.testing.assert_allclose(*validation, **close)
    assert [sorted(row) for row in model.net_.history] == [sorted(r) for r in alone.net_.history]
    np.testing.assert_allclose(model.latent_frequency_, alone.latent_frequency_)
    activity, expected = model.net_.callback("activity"), alone.net_.callback("activity")
    assert torch.equal(activity.silence_, expected.silence_)
    assert model.net_.converged_ == alone.net_.converged_
    assert model.n_features_in_ == alone.n_features_in_
    return alone


@pytest.fixture
def no_fit_alone(monkeypatch):
    """Makes sure that models are trained together."""

    def refuse(self, *args):
        raise AssertionError("trained alone")

    with monkeypatch.context() as context:
        context.setattr(SparseNet, "partial_fit", refuse)
        yield context


@pytest.mark.parametrize(("early_stopping", "batch_size"), [(True, 64), (False, 1000)])
@pytest.mark.parametrize("case", CASES)
@each_engine
def test_equals_fits_alone(engine, case, batch_size, early_stopping, X, no_fit_alone):
    if engine == "torch":
        no_fit_alone.setattr("skamort.training.batched._net.has_numba", lambda: False)
    estimator, grid = CASES[case]
    estimator = clone(estimator).set_params(
        max_iter=12, batch_size=batch_size, early_stopping=early_stopping, learning_rate=1e-3
    )
    models = fit_quietly(fit_many, estimator, X, grid, [0, 1])
    no_fit_alone.undo()
    given = [(model.get_params(), model.random_state) for model in models]
    expected = [(parameters, seed) for parameters in ParameterGrid(grid) for seed in (0, 1)]
    assert all(
        params | parameters == params and state == seed
        for (params, state), (parameters, seed) in zip(given, expected, strict=True)
    )
    for model in models:
        assert_equals_one_fitted_alone(model, X)


@pytest.mark.parametrize(
    ("code_loss", "early_stopping"), [("cosine", False), ("squared_error", True)]
)
def test_known_codes(code_loss, early_stopping, X, no_fit_alone):
    codes = np.abs(np.random.default_rng(1).standard_normal((len(X), N_COMPONENTS)))
    known = {"codes": codes, "code_loss": code_loss}
    options = {"fit_intercept": True, "early_stopping": early_stopping}
    sae = SAEEncoder(N_COMPONENTS, max_iter=10, **options)
    models = fit_quietly(fit_many, sae, X, {"learning_rate": [1e-3, 1e-2]}, [0, 1], **known)
    no_fit_alone.undo()
    for model in models:
        assert_equals_one_fitted_alone(model, X, **known)


def test_known_codes_are_compared_with_each_model(X):
    codes = np.ones((len(X), N_COMPONENTS))
    with pytest.raises(ValueError, match="SAEEncoder: codes must have shape"):
        fit_many(SAEEncoder(), X, {"n_components": [N_COMPONENTS, 5]}, [0], codes=codes)


def test_class_labels_reach_the_feature_weights():
    X, y = make_blobs(60, n_features=6, random_state=0)
    wsae = WeightedSAE(8, feature_weights="consistency", max_iter=5)
    for model in fit_quietly(fit_many, wsae, X, {"alpha": [0.1, 1.0]}, [0], y=y):
        assert_equals_one_fitted_alone(model, X, y=y)


def test_models_that_go_on_training_go_on_alike(X):
    """The moments, the order of the batches and the counts are those of a fit alone, too."""
    sae = SAEEncoder(N_COMPONENTS, max_iter=5, batch_size=32, early_stopping=True)
    for model in fit_quietly(fit_many, sae, X, {"alpha": [0.01, 0.1]}, [0, 1]):
        alone = fit_quietly(clone(model).fit, X).partial_fit(X)
        np.testing.assert_allclose(model.partial_fit(X).transform(X), alone.transform(X))
        assert model.n_iter_ == alone.n_iter_


def test_of_equal_codes_only_k_are_kept(X, no_fit_alone):
    """Which of them may differ, so that it is the first loss that must be equal."""
    atoms = np.repeat(np.random.default_rng(0).standard_normal((3, 6)), 4, axis=0)
    topk = TopKSAE(dict_init=atoms, batch_size=len(X), max_iter=1)
    models = fit_quietly(fit_many, topk, X, {"k": [1, 2]}, [0])
    no_fit_alone.undo()
    for model in models:
        alone = fit_quietly(clone(model).fit, X)
        np.testing.assert_allclose(model.loss_curve_, alone.loss_curve_)
        np.testing.assert_allclose(model.latent_frequency_.sum(), alone.latent_frequency_.sum())


def test_denormals_are_looked_for_as_often_as_in_a_fit_alone(X, monkeypatch):
    seen = []
    monkeypatch.setattr(BatchedNet, "clear_denormals", lambda self: seen.append(self.n_steps))
    sae = SAEEncoder(4, batch_size=1, max_iter=2)
    fit_quietly(fit_many, sae, X, {"alpha": [0.1, 1.0]}, [0])
    assert seen == [128, 256]


def test_dead_latents_start_anew_from_the_codes_that_the_step_has_seen(X):
    """Not from those of the weights after it, which at this learning rate are others."""
    far = {"learning_rate": 0.05, "batch_size": 50, "max_iter": 4, "fit_intercept": False}
    sae = SAEEncoder(N_COMPONENTS, dead_latents=ResampleDead(100), **far)
    for model in fit_quietly(fit_many, sae, X, {"alpha": [1.0, 1.2]}, [0]):
        assert_equals_one_fitted_alone(model, X, 1e-6)


def test_other_estimators_and_callbacks_are_fitted_one_by_one(X):
    for model in fit_quietly(fit_many, LISTAEncoder(max_iter=3), X, {"alpha": [0.1, 1.0]}, [0]):
        assert_equals_one_fitted_alone(model, X)
    clipped = SAEEncoder(max_iter=3, callbacks=[GradientNormClipping(0.1)], dead_latents="resample")
    for model in fit_quietly(fit_many, clipped, X, {"alpha": [0.1, 1.0]}, [0]):
        assert_equals_one_fitted_alone(model, X)
    scheduled = TopKSAE(N_COMPONENTS, max_iter=4, schedule=Schedule(0.5, 0.5))
    for options in ({}, {"multi_topk": True, "schedule__warmup": 0.0}):
        scheduled.set_params(**options)
        for model in fit_quietly(fit_many, scheduled, X, {"k": [1, 2]}, [0]):
            assert_equals_one_fitted_alone(model, X)
            assert "schedule" not in dict(model.net_.callbacks_)
    multi = TopKSAE(N_COMPONENTS, max_iter=4, multi_topk=True)
    for model in fit_quietly(fit_many, multi, X, {"k": [1, 2]}, [0]):
        assert_equals_one_fitted_alone(model, X)
    for model in fit_many(PCA(), X, {"n_components": [1, 2]}, [0]):
        assert model.transform(X).shape == (len(X), model.n_components)


def test_no_seeds_means_the_estimators_own(X):
    sae = SAEEncoder(max_iter=3, random_state=7)
    (model,) = fit_quietly(fit_many, sae, X, {})
    assert model.random_state == 7
    with pytest.raises(NotFittedError):
        check_is_fitted(sae)


def test_data_on_disk_are_trained_on(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for model in fit_quietly(fit_many, SAEEncoder(max_iter=3), mapped, {"alpha": [0.1, 1.0]}, [0]):
        assert_equals_one_fitted_alone(model, X)


@pytest.mark.parametrize("together", [True, False])
def test_diverging_models_leave_the_others_alone(X, together):
    callbacks = None if together else [StopOnPlateau(0, 10)]
    sae = SAEEncoder(N_COMPONENTS, max_iter=4, callbacks=callbacks)
    with pytest.warns(FitFailedWarning, match="learning_rate=1e\\+200"):
        models = fit_quietly(fit_many, sae, X, {"learning_rate": [1e-3, 1e200]}, [0])
    assert_equals_one_fitted_alone(models[0], X)
    with pytest.raises(NotFittedError):
        models[1].transform(X)


def test_says_once_how_many_have_not_converged(X):
    with pytest.warns(ConvergenceWarning, match="3 of 3 models") as record:
        fit_many(SAEEncoder(max_iter=2), X, {}, range(3))
    assert len(record) == 1


def test_verbose_draws_one_bar(X, monkeypatch):
    bars = []

    def progress_bar(total, description, disable):
        bars.append((total, description, disable))
        return tqdm(disable=True)

    monkeypatch.setattr("skamort.training.batched._loop.progress_bar", progress_bar)
    fit_quietly(fit_many, SAEEncoder(verbose=True), X, {"max_iter": [2, 3]}, range(3))
    assert bars == [(3, "6 models", False)]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"alpha": [-1.0]}, "alpha"),
        ({"k": [3]}, "Invalid parameter 'k'"),
        ({"checkpoint": ["runs", Checkpoint("runs")]}, "checkpoint=None"),
    ],
)
def test_refuses_before_any_work(grid, message, X):
    with pytest.raises(ValueError, match=message):
        fit_many(SAEEncoder(), X, grid, [0])


class Doubling(SAEEncoder):
    """Fits to twice the data."""

    def fit(self, X, y=None):
        return super().fit(2 * X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_of_its_own_is_called():
    X = np.random.default_rng(0).standard_normal((40, 5))
    doubling = Doubling(6, max_iter=3, tol=0.5, n_iter_no_change=3, random_state=0)
    (model,) = fit_many(doubling, X, {})
    assert_allclose(model.components_, clone(doubling).fit(X).components_)


def test_codes_are_known_to_estimators_without_a_loss_of_codes():
    X = np.random.default_rng(0).standard_normal((40, 5))
    codes = np.abs(np.random.default_rng(1).standard_normal((40, 6)))
    (model,) = fit_many(GradSparseCoder(6, alpha=0.5, random_state=0), X, {}, codes=codes)
    assert_allclose(
        model.components_,
        GradSparseCoder(6, alpha=0.5, random_state=0).fit(X, codes=codes).components_,
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_are_looked_at_once_for_each_kind_of_center(X, monkeypatch):
    looks = []

    def look(*given):
        looks.append(given)
        return first_look(*given)

    monkeypatch.setattr(_base_trained, "first_look", look)
    grid = {"fit_intercept": [True, False], "alpha": [0.1, 0.2]}
    fit_many(SAEEncoder(6, max_iter=1), X, grid, range(2))
    assert len(looks) == 2
    assert [given[2] for given in looks] == [True, False]


def test_names_of_parameters_are_read_from_a_signature_once(monkeypatch):
    model = SAEEncoder().set_params(alpha=0.1)
    with monkeypatch.context() as patch:
        patch.setattr("inspect.signature", None)
        assert clone(model).get_params()["alpha"] == 0.1
    assert "alpha" not in TopKSAE().get_params()


@pytest.mark.parametrize("seeds", [3, []])
def test_seeds_that_are_none(seeds, X):
    with pytest.raises((TypeError, ValueError), match="fit_many: random_states"):
        fit_many(SAEEncoder(4), X, {}, seeds)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_are_checked_once_and_names_of_columns_reach_all(X, monkeypatch):
    reads, read = [], SAEEncoder._read_rows
    monkeypatch.setattr(
        SAEEncoder, "_read_rows", lambda self, *given: reads.append(self) or read(self, *given)
    )
    frame = pytest.importorskip("pandas").DataFrame(X, columns=list("abcdef"))
    start = SAEEncoder(6, max_iter=1, random_state=0).fit(frame)
    reads.clear()
    models = fit_many(SAEEncoder(max_iter=1), frame, {"dict_init": [None, start]}, range(2))
    assert len(reads) == 1
    for model in models:
        assert list(model.feature_names_in_) == list("abcdef")
        assert model.n_features_in_ == 6
    with pytest.raises(ValueError, match="dict_init"):  # a part is compared for each model
        fit_many(SAEEncoder(max_iter=1), frame[list("fedcba")], {"dict_init": [None, start]})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_rows_tell_is_found_once(X, monkeypatch):
    found = []
    for module, name in ((_alpha, "auto_alpha"), (_feature_weights, "_scores")):
        of_rows = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, f=of_rows: found.append(f.__name__) or f(*given)
        )
    fit_many(WeightedSAE(6, max_iter=1), X, {"weight_exponent": [0.5, 1.0]}, range(2))
    assert sorted(found) == ["_scores", "auto_alpha"]
    found.clear()
    grid = {"feature_weights": ["variance", np.ones(6)], "alpha": [0.1]}
    fit_many(WeightedSAE(6, max_iter=1), X, grid, range(2))
    assert found == ["_scores"] * 3
