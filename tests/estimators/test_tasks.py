"""scikit-learn's callbacks see fits and their iterations, and may end them."""

import pickle

import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, SAEEncoder, TopKSAE
from skamort.estimators import fit_many

callback = pytest.importorskip("sklearn.callback")

X = np.random.default_rng(0).random((40, 6))
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """Notes what it is told; ends the fit after some iterations."""

    max_propagation_depth = None

    def __init__(self, n_iterations=None):
        self.n_iterations, self.told, self.scores = n_iterations, [], []

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, metadata=None):
        self.told.append(f"begin {context.task_name}")
        self.metadata = metadata

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.told.append(f"end {context.task_name}")
        if hasattr(fitted_estimator, "score"):
            self.scores.append(fitted_estimator.score(X))
        return len(self.scores) == self.n_iterations


ITERATION = ["begin iteration", "end iteration"]


@pytest.mark.parametrize("estimator", fast_estimators(), ids=lambda e: type(e).__name__)
@pytest.mark.usefixtures("quick_inner_encoder")
def test_every_fit_is_a_task(estimator):
    recorder = Recorder()
    watched = clone(estimator).set_params(random_state=0).set_callbacks(recorder)
    weights = np.linspace(0.5, 1.5, 40)
    watched.fit(X, sample_weight=weights)
    assert recorder.told[:2] == ["setup", "begin fit"]
    assert recorder.told[-2:] == ["end fit", "teardown"]
    assert_allclose(recorder.metadata["sample_weight"], weights)
    assert_allclose(recorder.scores[-1], watched.score(X))
    plain = clone(estimator).set_params(random_state=0).set_callbacks()
    assert_array_equal(plain.fit(X, sample_weight=weights).components_, watched.components_)


STUDENT = SAEEncoder(max_iter=2, tol=0)
TEACHER = GradSparseCoder(4, max_iter=3, tol=0)


@pytest.mark.parametrize(
    ("estimator", "n_iterations"),
    [
        (ITOCoder(estimator=TEACHER), [3]),
        (ITOCoder(estimator=STUDENT), [2]),
        (ITOCoder(dictionary=np.eye(6)), []),
        (AmortizedCoder(teacher=TEACHER, encoder=STUDENT), [3, 2]),
        (
            AmortizedCoder(
                teacher=clone(TEACHER).set_params(alpha=0.3, max_iter=30, tol=1).fit(X),
                encoder=STUDENT,
            ),
            [2],
        ),
    ],
)
def test_fits_of_parts_are_tasks_in_it_and_the_parts_keep_no_callbacks(estimator, n_iterations):
    recorder = Recorder()
    watched = clone(estimator).set_params(random_state=0).set_callbacks(recorder).fit(X)
    inside = [["begin fit", *n * ITERATION, "end fit"] for n in n_iterations]
    assert recorder.told == [
        "setup",
        "begin fit",
        *(word for part in inside for word in part),
        "end fit",
        "teardown",
    ]
    for name in ("estimator_", "teacher_", "encoder_"):
        assert not getattr(getattr(watched, name, None), "_skl_callbacks", ())
    plain = clone(estimator).set_params(random_state=0).set_callbacks().fit(X)
    assert_array_equal(watched.transform(X), plain.transform(X))


@pytest.mark.parametrize(
    "estimator",
    [
        TopKSAE(8, k=2, max_iter=6, tol=0, early_stopping=True, random_state=0),
        GradSparseCoder(4, max_iter=6, tol=0, n_init=2, random_state=0),
    ],
    ids=lambda e: type(e).__name__,
)
def test_iterations_are_tasks_that_a_callback_may_end(estimator):
    """The estimator that it is shown is one whose fit ends there."""
    recorder = Recorder()
    watched = clone(estimator).set_callbacks(recorder).fit(X)
    n_iter = 6 if isinstance(estimator, TopKSAE) else 12
    assert recorder.told[2:-2] == n_iter * ITERATION
    first = clone(estimator).set_callbacks(stopper := Recorder(n_iterations=2)).fit(X)
    assert first.n_iter_ == 2
    assert_allclose(stopper.scores[:2], recorder.scores[:2])
    assert stopper.told[-2:] == ["end fit", "teardown"]
    assert watched.n_iter_ == 6


def test_callbacks_come_through_a_pipeline_and_leave_no_trace():
    sae = SAEEncoder(8, max_iter=3, tol=0, random_state=0)
    recorder = Recorder()
    pipeline = make_pipeline(StandardScaler(), sae)
    pipeline.set_callbacks(recorder).fit(X)
    assert recorder.told.count("begin iteration") == recorder.told.count("end iteration") == 3
    loaded = pickle.loads(pickle.dumps(sae))
    assert_array_equal(loaded.components_, sae.components_)
    assert "_callback_fit_ctx" not in vars(sae)
    assert not hasattr(sae, "_skl_callbacks")


def test_a_fit_that_fails_tears_down():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        SAEEncoder(4, max_iter=2).set_callbacks(recorder).fit(np.full((3, 2), np.nan))
    assert recorder.told[-1] == "teardown"


def test_scores_are_monitored():
    monitor = callback.ScoringMonitor(scoring=lambda model, X, y: {"score": model.score(X)})
    sae = SAEEncoder(8, max_iter=3, tol=0, random_state=0).set_callbacks(monitor)
    sae.fit(X, np.zeros(40))  # it scores only where there is a y
    scores = {row["task_id_path"]: row["score"] for row in monitor.get_logs().data}
    assert scores[0,] == scores[0, 2] == sae.score(X)
    assert len(set(scores.values())) == 3
    (model,) = fit_many(sae, X, {})
    assert_array_equal(model.components_, sae.components_)
