import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import DictionaryLearning
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler

from skamort import GradSparseCoder
from skamort.datasets import make_published_signal
from skamort.estimators import _dictionary_learning
from skamort.metrics import dictionary_mcc, latent_mcc, sparse_coding_objective
from skamort.solvers import duality_gap

stops_early = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def signal():
    return make_published_signal(20240926, n_samples=1024)


def test_recovers_dictionary_and_codes_of_the_base_case(signal):
    X, dictionary, codes = signal
    coder = GradSparseCoder(n_components=16, alpha=0.03, n_init=5, random_state=0).fit(X)
    assert dictionary_mcc(dictionary, coder.components_) > 0.999
    assert latent_mcc(codes, coder.transform(X)) > 0.975


@pytest.mark.parametrize("positive", [True, False])
def test_objective_is_at_most_that_of_scikit_learn(positive):
    X = np.random.RandomState(0).randn(200, 8)
    shared = {"n_components": 12, "alpha": 0.3, "positive_code": positive, "random_state": 0}
    ours = GradSparseCoder(**shared)
    theirs = DictionaryLearning(
        fit_algorithm="cd",
        transform_algorithm="lasso_cd",
        max_iter=50,
        transform_max_iter=5000,
        **shared,
    )
    objectives = [
        sparse_coding_objective(X, model.fit_transform(X), model.components_, 0.3)
        for model in (ours, theirs)
    ]
    assert objectives[0] <= 1.02 * objectives[1]


def test_the_objective_falls_and_is_recorded(signal):
    coder = GradSparseCoder(n_components=16, alpha=0.1, random_state=0).fit(signal[0])
    curve = np.array(coder.loss_curve_)
    assert len(curve) == coder.n_iter_
    assert curve[-1] < 0.7 * curve[0]
    assert np.mean(np.diff(curve) <= 1e-9) > 0.8  # momentum may overshoot now and then
    codes = coder.transform(signal[0])
    assert sparse_coding_objective(signal[0], codes, coder.components_, 0.1) <= curve[-1] * 1.001


def test_transform_is_certified(signal):
    X = signal[0].astype(np.float64)
    coder = GradSparseCoder(n_components=16, random_state=0, transform_tol=1e-6).fit(X)
    gap = duality_gap(X, coder.transform(X), coder.components_, coder.alpha_, positive=True)
    assert (gap <= 1.01e-6 * 0.5 * (X**2).sum(axis=1)).all()


def test_transform_alpha_is_independent(signal):
    X = signal[0]
    coder = GradSparseCoder(n_components=16, alpha=0.1, random_state=0).fit(X)
    dense = np.count_nonzero(coder.transform(X))
    assert np.count_nonzero(coder.set_params(transform_alpha=1.0).transform(X)) < dense


@pytest.mark.parametrize("algorithm", ["auto", "ormp"])
def test_transform_with_a_number_of_non_zeros(signal, algorithm):
    X = signal[0]
    coder = GradSparseCoder(16, transform_algorithm=algorithm, transform_n_nonzero_coefs=3)
    codes = coder.set_params(alpha=0.03, random_state=0).fit(X).transform(X)
    assert np.count_nonzero(codes, axis=1).max() == 3
    assert coder.score(X) > 0.95
    with pytest.raises(
        ValueError, match="transform_n_nonzero_coefs=3 does not go with transform_a"
    ):
        coder.set_params(transform_algorithm="cd").fit(X)


@pytest.mark.parametrize("algorithm", ["cd", "fista"])
def test_transform_algorithms_agree(signal, algorithm):
    coder = GradSparseCoder(16, random_state=0, transform_tol=1e-5).fit(signal[0])
    codes = coder.transform(signal[0])
    other = coder.set_params(transform_algorithm=algorithm).transform(signal[0])
    assert_allclose(codes, other, atol=0.02)


def test_signed_codes(signal):
    coder = GradSparseCoder(n_components=16, positive_code=False, random_state=0).fit(signal[0])
    assert coder.transform(signal[0]).min() < 0
    with pytest.raises(ValueError, match="got positive_code=False; choose another algorithm"):
        coder.set_params(algorithm="adam").fit(signal[0])


def test_more_starts_are_never_worse(signal):
    objectives = [
        GradSparseCoder(16, alpha=0.03, n_init=n, random_state=0).fit(signal[0]).loss_curve_[-1]
        for n in (1, 4)
    ]
    assert objectives[1] <= objectives[0]


def test_published_descent_lowers_the_objective(signal):
    coder = GradSparseCoder(
        16, algorithm="adam", learning_rate=1e-2, max_iter=3000, random_state=0
    ).fit(signal[0])
    assert coder.n_iter_ == 3000
    assert coder.loss_curve_[-1] < 0.5 * coder.loss_curve_[0]
    assert_allclose(np.linalg.norm(coder.components_, axis=1), 1, rtol=1e-5)


def test_dead_atoms_are_replaced():
    """Atoms that point away from all data would never be used by non-negative codes."""
    X = np.abs(np.random.RandomState(0).randn(100, 4))
    coder = GradSparseCoder(dict_init=-np.abs(np.random.RandomState(1).randn(6, 4))).fit(X)
    assert (coder.transform(X) > 0).any(axis=0).sum() >= 4


def test_known_dictionary_is_kept(signal):
    X, dictionary, _ = signal
    coder = GradSparseCoder(dictionary=2 * dictionary).fit(X)
    assert_allclose(coder.components_, dictionary, rtol=1e-5)
    assert coder.loss_curve_ == []


def test_known_codes_give_the_dictionary(signal):
    X, dictionary, codes = signal
    coder = GradSparseCoder(n_components=16).fit(X, codes=codes)
    assert_allclose(coder.components_, dictionary, atol=1e-4)
    with pytest.raises(
        ValueError, match=r"codes must have shape .* \(1024, 16\), got \(1024, 15\)"
    ):
        coder.fit(X, codes=codes[:, :15])


def test_warm_start_goes_on(signal):
    coder = GradSparseCoder(16, max_iter=5, warm_start=True, random_state=0)
    with pytest.warns(ConvergenceWarning, match="still falling after 5 iterations; raise max_iter"):
        first = coder.fit(signal[0]).loss_curve_[-1]
    with pytest.warns(ConvergenceWarning):
        assert coder.fit(signal[0]).loss_curve_[0] < first


def test_interrupt_keeps_the_best_so_far(signal, monkeypatch):
    update, n_calls = _dictionary_learning.update_dictionary, []

    def interrupted(*args, **kwargs):
        n_calls.append(1)
        if len(n_calls) == 4:
            raise KeyboardInterrupt
        return update(*args, **kwargs)

    monkeypatch.setattr(_dictionary_learning, "update_dictionary", interrupted)
    with pytest.warns(UserWarning, match="GradSparseCoder: the fit was interrupted in iteration"):
        coder = GradSparseCoder(16, n_init=3, random_state=0).fit(signal[0])
    assert coder.n_iter_ == 4
    assert np.isfinite(coder.transform(signal[0])).all()


def test_data_of_zeros():
    coder = GradSparseCoder(n_components=3, random_state=0).fit(np.zeros((5, 4)))
    assert_array_equal(coder.transform(np.zeros((2, 4))), np.zeros((2, 3)))


# -- Where to start --------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["samples", "k-means++"])
def test_start_from_samples(init):
    X, dictionary, _ = make_published_signal(20240926, n_samples=12_000)
    X = X[:1000]
    with pytest.warns(ConvergenceWarning):
        coder = GradSparseCoder(16, dict_init=init, max_iter=1, alpha=1e3, random_state=0).fit(X)
    directions = X / np.linalg.norm(X, axis=1, keepdims=True)
    # No code is worth its price, so the atoms stay where they began.
    assert (coder.components_ @ directions.T).max(axis=1) == pytest.approx(1, abs=1e-5)
    best = GradSparseCoder(16, dict_init=init, alpha=0.03, n_init=5, random_state=0).fit(X)
    assert dictionary_mcc(dictionary, best.components_) > 0.999


@stops_early
def test_k_means_spreads_the_start():
    rng = np.random.RandomState(0)
    X = np.repeat(np.eye(3), [500, 5, 1], axis=0) * (rng.rand(506, 1) + 0.1)
    init = {"dict_init": "k-means++", "max_iter": 1, "fit_intercept": False, "random_state": 0}
    coder = GradSparseCoder(51, alpha=1e3, batch_size=None, **init).fit(X)
    assert_array_equal(np.sort(coder.components_[:3].argmax(axis=1)), [0, 1, 2])


@stops_early
@pytest.mark.parametrize("init", ["samples", "k-means++"])
def test_atoms_beyond_the_samples_are_random(init):
    X = np.zeros((4, 3))
    X[0] = [0, 2.0, 0]
    coder = GradSparseCoder(5, dict_init=init, alpha=1e3, max_iter=1, random_state=0).fit(X)
    assert_array_equal(coder.components_[0], [0, 1, 0])
    assert_allclose(np.linalg.norm(coder.components_, axis=1), 1)


def test_start_from_an_estimator(signal):
    X = signal[0]
    first = GradSparseCoder(16, alpha=0.1, random_state=0).fit(X)
    curves = [
        clone(GradSparseCoder(dict_init=start, alpha=0.1)).fit(X).loss_curve_
        for start in (first.components_, FrozenEstimator(first))
    ]
    assert curves[0] == curves[1]
    assert curves[0][0] <= first.loss_curve_[-1] * 1.001


@stops_early
def test_start_is_checked(signal):
    X = signal[0]
    with pytest.raises(NotFittedError):
        GradSparseCoder(dict_init=GradSparseCoder(16)).fit(X)
    with pytest.raises(TypeError, match="dict_init=StandardScaler has no components_; pass"):
        GradSparseCoder(dict_init=StandardScaler().fit(X)).fit(X)
    with pytest.raises(ValueError, match="n_components asks for 5 but dict_init asks for 16"):
        GradSparseCoder(5, dict_init=GradSparseCoder(16, max_iter=1, tol=1).fit(X)).fit(X)
    with pytest.raises(ValueError, match="'dict_init' parameter of GradSparseCoder must be"):
        GradSparseCoder(dict_init="kmeans").fit(X)


PARTS = np.random.RandomState(0).rand(8, 24) * (np.random.RandomState(1).rand(8, 24) < 0.3)
COUNTS = np.random.RandomState(2).exponential(size=(400, 8)) @ PARTS


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("algorithm", "start", "positive_code"),
    [("cd", "samples", True), ("cd", -PARTS, False), ("fista", None, False)],
)
def test_non_negative_atoms(algorithm, start, positive_code):
    X = COUNTS - 0.3 * COUNTS.mean(axis=0)
    options = {"algorithm": algorithm, "dict_init": start, "positive_code": positive_code}
    coder = GradSparseCoder(8, max_iter=10, random_state=0, batch_size=40, **options)
    signed, coder = coder.fit(X), clone(coder).set_params(positive_dict=True).fit(X)
    assert (signed.components_ < 0).any()
    assert (coder.components_ >= 0).all()
    assert_allclose(np.linalg.norm(coder.components_, axis=1), 1)
    assert coder.score(X) > 0.3
    assert (coder.partial_fit(X[:50]).components_ >= 0).all()
    codes = np.random.RandomState(0).randn(400, 8)
    codes = codes.clip(min=0) if positive_code else codes
    assert (coder.fit(X, codes=codes).components_ >= 0).all()
    assert (clone(coder).partial_fit(X, codes=codes).components_ >= 0).all()


@pytest.mark.filterwarnings("ignore:GradSparseCoder.* codes of 58 rows")  # all parts are there
def test_parts_are_found_again():
    coder = GradSparseCoder(8, alpha=0.01, positive_dict=True, n_init=3, random_state=0).fit(COUNTS)
    assert dictionary_mcc(PARTS, coder.components_) > 0.98


@pytest.mark.filterwarnings("ignore:GradSparseCoder.* codes of 58 rows")
def test_what_has_no_non_negative_atoms_is_refused():
    for options in ({"algorithm": "adam"}, {"dictionary": -PARTS}):
        with pytest.raises(ValueError, match="positive_dict=True asks for atoms >= 0, but"):
            GradSparseCoder(positive_dict=True, **options).fit(COUNTS)
    known = GradSparseCoder(positive_dict=True, dictionary=PARTS).fit(COUNTS)
    assert_allclose(known.components_ * np.linalg.norm(PARTS, axis=1)[:, None], PARTS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_verbose_tells_iterations_now_and_then(capsys):
    X = np.random.default_rng(0).standard_normal((40, 5))
    coder = GradSparseCoder(6, max_iter=3, tol=0, verbose=True, random_state=0).fit(X)
    told = capsys.readouterr().out.splitlines()[-2:]
    assert told == [
        f"GradSparseCoder: iteration {n}, objective {coder.loss_curve_[n - 1]:.5g}" for n in (1, 2)
    ]
    coder.set_params(verbose=False).fit(X)
    assert not capsys.readouterr().out
