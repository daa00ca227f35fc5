import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA, DictionaryLearning
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler

from skamort import (
    AmortizedCoder,
    GradSparseCoder,
    ITOCoder,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
)
from skamort._rows import Rows
from skamort.datasets import make_published_signal
from skamort.inspection import TrainingCurveDisplay
from skamort.metrics import amortization_gap, latent_mcc
from skamort.training import Schedule, StepScoring

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def signal():
    return make_published_signal()


@pytest.fixture(scope="module")
def teacher(signal):
    return GradSparseCoder(16, alpha=0.03, n_init=5, random_state=0).fit(signal[0][:1024])


@pytest.mark.parametrize(
    ("Encoder", "least"), [(SAEEncoder, 0.86), (MLPEncoder, 0.93), (LISTAEncoder, 0.93)]
)
def test_learns_codes_where_nothing_is_known(signal, teacher, Encoder, least):
    X, _, codes = signal
    encoder = Encoder(learning_rate=3e-3, random_state=0)
    coder = AmortizedCoder(teacher=teacher, encoder=encoder, code_loss="cosine").fit(X[:1024])
    assert latent_mcc(codes[1024:], coder.transform(X[1024:])) > least
    alone = clone(encoder).set_params(n_components=16, max_iter=100).fit(X[:1024])
    assert latent_mcc(codes[1024:], alone.transform(X[1024:])) < least


def test_more_labelled_data_helps(signal, teacher):
    X, _, codes = signal
    encoder = MLPEncoder(learning_rate=3e-3, max_iter=60)
    few, many = (
        AmortizedCoder(teacher=teacher, encoder=encoder, n_augmented=n, random_state=0).fit(X[:512])
        for n in (0, 4096)
    )
    recovery = [latent_mcc(codes[1024:], coder.transform(X[1024:])) for coder in (few, many)]
    assert recovery[1] > recovery[0] + 0.01


def test_augmented_samples_have_the_supports_and_residuals_of_rows(signal, teacher):
    X = signal[0][:100]
    coder = AmortizedCoder(teacher=teacher, encoder=SAEEncoder(max_iter=1), n_augmented=500)
    coder.fit(X)
    codes = teacher.transform(X)
    source = Rows(X, "X"), sparse.csr_array(codes)
    more = coder._augment(*source, None, np.random.RandomState(0))
    rows = np.random.RandomState(0).randint(100, size=500)
    changes = (more - X[rows]).astype(np.float64)
    for change, row in zip(changes, rows, strict=True):
        atoms = coder.components_[codes[row] > 0].astype(np.float64)
        assert_allclose(np.linalg.lstsq(atoms.T, change, rcond=None)[0] @ atoms, change, atol=1e-5)


def test_dictionary_and_center_are_the_teachers(signal):
    X = signal[0][:300] + 5
    sae = SAEEncoder(16, fit_intercept=True, max_iter=50, random_state=0)
    teacher = ITOCoder(estimator=sae, alpha=0.03).fit(X)
    coder = AmortizedCoder(teacher=teacher, encoder=SAEEncoder(max_iter=50)).fit(X)
    assert_array_equal(coder.components_, teacher.components_)
    assert_array_equal(coder.intercept_, teacher.intercept_)
    assert coder.score(X) > 0.5
    assert amortization_gap(coder, X, alpha=0.03).gap < 1


def test_teachers_fitted_frozen_and_of_scikit_learn(signal, teacher):
    X = signal[0][:200]
    quick = SAEEncoder(max_iter=5)
    coder = AmortizedCoder(teacher=FrozenEstimator(teacher), encoder=quick)
    assert_array_equal(clone(coder).fit(X).components_, teacher.components_)
    learner = DictionaryLearning(
        10, max_iter=5, positive_code=True, fit_algorithm="cd", transform_algorithm="lasso_cd"
    )
    codes = AmortizedCoder(teacher=learner, encoder=quick).fit_transform(X.astype(np.float64))
    assert codes.shape == (200, 10)


def test_alpha_is_the_teachers(signal, teacher):
    X = signal[0][:200]
    coder = AmortizedCoder(teacher=teacher, encoder=SAEEncoder(max_iter=5)).fit(X)
    assert amortization_gap(coder, X).alpha == 0.03


@pytest.mark.parametrize("unit", [1e-20, 3e-3, 1e5])
def test_the_student_starts_from_the_penalty_of_the_teacher(signal, unit):
    X = unit * signal[0][:200]
    teacher = GradSparseCoder(12, alpha=0.05 * unit, max_iter=20, random_state=0).fit(X)
    coder = AmortizedCoder(teacher=teacher, random_state=0).fit(X)
    assert coder.encoder_.alpha == teacher.alpha_
    assert coder.score(X) > teacher.score(X) - 0.1


def test_a_teacher_without_a_penalty_passes_on_none(signal):
    X = 1e-3 * signal[0][:200]
    teacher = TopKSAE(12, k=3, max_iter=50, random_state=0).fit(X)
    coder = AmortizedCoder(teacher=teacher, random_state=0).fit(X)
    assert coder.encoder_.alpha == 0
    assert coder.score(X) > teacher.score(X) - 0.1


@pytest.mark.parametrize("make", [ITOCoder, GradSparseCoder])
def test_a_k_sparse_teacher_has_a_student_as_sparse(signal, make):
    X, dictionary = signal[0][:512], signal[1]
    options = {"dictionary": dictionary, "n_nonzero_coefs": 2, "algorithm": "ormp"}
    teacher = make(**options, positive_code=True).fit(X)
    for encoder in (None, TopKSAE()):
        coder = AmortizedCoder(teacher=teacher, encoder=encoder, max_iter=5, random_state=0).fit(X)
        codes = coder.transform(X)
        assert coder.alpha_ is None
        assert (codes != 0).sum(axis=1).max() == coder.encoder_.k == 2
        agreement = np.sum(codes * teacher.transform(X)) / np.sum(codes**2)
        assert 0.7 < agreement < 1.4
    fewer = AmortizedCoder(teacher=teacher, encoder=TopKSAE(k=1), max_iter=1).fit(X)
    assert fewer.encoder_.k == 1


def test_a_student_that_is_given_keeps_its_own_penalty(signal, teacher):
    student = LISTAEncoder(alpha=0.07, max_iter=2)
    coder = AmortizedCoder(teacher=teacher, encoder=student, random_state=0).fit(signal[0][:50])
    assert coder.encoder_.alpha == 0.07


def test_known_dictionary_and_shared_parameters(signal):
    X, dictionary, _ = signal
    coder = AmortizedCoder(encoder=SAEEncoder(max_iter=5), dictionary=dictionary, random_state=0)
    assert_allclose(coder.fit(X[:200]).components_, dictionary, atol=1e-6)
    coder.set_params(dictionary=None, n_components=7, device="cpu")
    assert coder.fit(X[:200]).encoder_.n_components == 7
    assert coder.teacher_.device == coder.encoder_.device == "cpu"


class NeverFitted(GradSparseCoder):
    def fit(self, X, y=None, sample_weight=None):
        raise AssertionError("the teacher has worked in vain")


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        (SAEEncoder(callbacks=[PCA()]), "callbacks must hold skorch callbacks"),
        (TopKSAE(k=13), "TopKSAE: k=13 exceeds n_components=12"),
        (TopKSAE(k=2, dead_latents="auxk"), "dead_latents='auxk' learns from the reconstruction"),
        (SAEEncoder(5), "the numbers of atoms disagree"),
        (SAEEncoder(schedule=Schedule(warmup=2)), "warmup is a share"),
        (SAEEncoder(device="cuda:99"), "device='cuda:99' is not there"),
        (SAEEncoder(feature_weights="consistency"), "needs class labels"),
        (MLPEncoder(hidden_layer_sizes=(0,)), "hidden_layer_sizes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_encoder_refuses_is_refused_before_the_teachers_work(signal, encoder, told):
    X = signal[0][:40]
    for teacher in (NeverFitted(12), NeverFitted()):
        coder = AmortizedCoder(teacher=teacher, encoder=encoder)
        coder.set_params(n_components=None if teacher.n_components else 12)
        if isinstance(encoder, SAEEncoder) and encoder.n_components and not teacher.n_components:
            continue  # it gets that of the whole
        with pytest.raises((TypeError, ValueError), match=told):
            coder.fit(X)


@pytest.mark.parametrize("random_state", [0, 5])
def test_the_encoder_is_tried_without_a_trace(signal, random_state):
    X = signal[0][:60]
    draws = np.random.RandomState(random_state)
    encoder = SAEEncoder(max_iter=2, random_state=draws)
    fits = []
    for rehearse in (AmortizedCoder._rehearse, lambda *ignored: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AmortizedCoder, "_rehearse", rehearse)
            coder = AmortizedCoder(12, encoder=encoder, max_iter=2, random_state=random_state)
            fits.append(coder.fit(X))
    assert_array_equal(fits[0].transform(X), fits[1].transform(X))


def test_bad_teachers_are_refused(signal, teacher):
    X, dictionary, _ = signal
    quick = SAEEncoder(max_iter=1)
    with pytest.raises(ValueError, match="dictionary and a fitted teacher both give a dictionary"):
        AmortizedCoder(teacher=teacher, dictionary=dictionary).fit(X)
    with pytest.raises(ValueError, match="teacher=PCA gives negative codes, down to -"):
        AmortizedCoder(teacher=PCA(3), encoder=quick).fit(X)
    with pytest.raises(TypeError, match="teacher=StandardScaler has no components_"):
        AmortizedCoder(teacher=StandardScaler(), encoder=quick).fit(X)
    with pytest.raises(ValueError, match="n_components=3 but teacher=GradSparseCoder has 16 atoms"):
        AmortizedCoder(3, teacher=teacher, encoder=quick).fit(X)
    with pytest.raises(ValueError, match="The 'encoder' parameter of AmortizedCoder"):
        AmortizedCoder(encoder=PCA()).fit(X)


def test_curves_are_the_encoders(signal):
    looks = StepScoring(signal[0][:20], lambda z, _: (z > 0).mean())
    encoder = SAEEncoder(max_iter=2, callbacks=[looks])
    coder = AmortizedCoder(4, encoder=encoder, teacher=GradSparseCoder(max_iter=1), random_state=0)
    coder.fit(signal[0][:64])
    assert coder.loss_curve_ == coder.encoder_.loss_curve_
    assert len(coder.loss_curve_) == coder.n_iter_
    pytest.importorskip("matplotlib")
    curve = TrainingCurveDisplay.from_estimators(coder).curves["AmortizedCoder"]
    assert curve["step"][-1] > 0
