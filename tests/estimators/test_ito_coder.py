import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA, DictionaryLearning, SparseCoder, sparse_encode
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import GradSparseCoder, ITOCoder, SAEEncoder, TopKSAE, _rows
from skamort.datasets import make_published_signal
from skamort.estimators import _solver_parameters
from skamort.metrics import amortization_gap, latent_mcc, sparse_coding_objective
from skamort.solvers import SKLEARN_ALGORITHMS
from skamort.solvers import sparse_encode as solvers_sparse_encode


@pytest.fixture(scope="module")
def signal():
    return tuple(a.astype(np.float64) for a in make_published_signal(20240625, n_samples=256))


def test_known_dictionary_recovers_the_codes(signal):
    X, dictionary, codes = signal
    found = ITOCoder(dictionary=dictionary, alpha=0.0025, positive_code=True).fit_transform(X)
    assert latent_mcc(codes, found, matched=True) > 0.99


@pytest.mark.parametrize("positive", [True, False])
def test_agrees_with_scikit_learn(signal, positive):
    X, dictionary, _ = signal
    ours = ITOCoder(
        dictionary=dictionary, alpha=0.1, positive_code=positive, transform_tol=1e-10
    ).fit_transform(X)
    theirs = sparse_encode(
        X, dictionary, algorithm="lasso_cd", alpha=0.1, positive=positive, max_iter=10_000
    )
    objectives = [sparse_coding_objective(X, z, dictionary, 0.1) for z in (ours, theirs)]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_by_default_it_fits_a_sparse_autoencoder(signal):
    X = signal[0]
    ito = ITOCoder(n_components=16, alpha=0.05, random_state=0).fit(X)
    sae = SAEEncoder(n_components=16, alpha=0.05, random_state=0).fit(X)
    assert_array_equal(ito.components_, sae.components_)
    args = (ito.components_, 0.05)
    better = sparse_coding_objective(X, ito.transform(X), *args)
    assert better < 0.99 * sparse_coding_objective(X, sae.transform(X), *args)


def test_fitted_estimators_are_used_as_they_are_and_others_cloned(signal):
    X = signal[0]
    coder = GradSparseCoder(n_components=16, random_state=0)
    ito = ITOCoder(estimator=coder).fit(X)
    assert not hasattr(coder, "components_")
    assert ito.estimator_ is not coder
    fitted = clone(coder).fit(X)
    assert ITOCoder(estimator=fitted).fit(X[:50]).estimator_ is fitted


@pytest.mark.filterwarnings("ignore:ITOCoder.* codes of 64 rows")  # of few atoms, as of PCA
def test_scikit_learns_estimators_give_dictionaries(signal):
    X, dictionary, _ = signal
    for estimator in (
        SparseCoder(dictionary, transform_algorithm="lasso_cd"),
        DictionaryLearning(8, max_iter=3, transform_algorithm="lasso_cd", random_state=0),
        PCA(4),
    ):
        ito = ITOCoder(estimator=estimator, alpha=0.1, positive_code=False).fit(X)
        centered = X - getattr(ito.estimator_, "mean_", 0)
        expected = sparse_encode(
            centered, ito.components_, algorithm="lasso_cd", alpha=0.1, max_iter=10_000
        )
        codes = ito.transform(X)
        objectives = [
            sparse_coding_objective(centered, z, ito.components_, 0.1) for z in (codes, expected)
        ]
        assert objectives[0] == pytest.approx(objectives[1], rel=1e-3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_intercept_is_honoured(signal):
    X = signal[0] + 10
    sae = SAEEncoder(n_components=16, fit_intercept=True, max_iter=200, random_state=0).fit(X)
    ito = ITOCoder(estimator=sae).fit(X)
    assert_array_equal(ito.intercept_, sae.intercept_)
    assert ito.score(X) > sae.score(X) - 0.02


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_warm_start_does_not_change_the_answer(signal):
    X = signal[0]
    topk = TopKSAE(16, fit_intercept=False, max_iter=20, sparse_output=True, random_state=0)
    topk.fit(X)
    options = {"algorithm": "cd", "positive_code": True, "transform_tol": 1e-9}
    warm = ITOCoder(estimator=topk, **options).fit(X).transform(X)
    cold = ITOCoder(dictionary=topk.components_, **options).fit(X).transform(X)
    assert_allclose(warm, cold, atol=1e-3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("algorithm", ["auto", "cd", "fista", "omp", "iht", "topk_refined"])
@pytest.mark.parametrize("warm", [False, True])
def test_sparse_output_holds_dense_codes_of_one_block_at_a_time(
    signal, monkeypatch, algorithm, warm
):
    X, dictionary, _ = signal
    start = {"dictionary": dictionary}
    if warm:
        start = {"estimator": TopKSAE(n_components=16, max_iter=2, random_state=0)}
    ito = ITOCoder(algorithm=algorithm, **start).fit(X)
    expected, sizes = ito.transform(X), []

    def spy(block, dictionary, *, init, **options):
        sizes.append(len(block) * len(dictionary))
        assert (init is None) if not warm else (len(init) == len(block))
        return solvers_sparse_encode(block, dictionary, init=init, **options)

    monkeypatch.setattr(_solver_parameters, "sparse_encode", spy)
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 50 * 16)
    codes = ito.set_params(sparse_output=True).transform(X)
    assert sizes == [800] * 5 + [6 * 16]
    assert codes.format == "csr"
    assert_allclose(codes.toarray(), expected, atol=1e-6)


def test_conflicts_and_missing_dictionaries_are_refused(signal):
    X, dictionary, _ = signal
    with pytest.raises(ValueError, match="dictionary and estimator both give a dictionary"):
        ITOCoder(dictionary=dictionary, estimator=PCA()).fit(X)
    with pytest.raises(TypeError, match="StandardScaler has no components_"):
        ITOCoder(estimator=StandardScaler()).fit(X)
    with pytest.raises(ValueError, match="n_components=3 but the dictionary has 16 atoms"):
        ITOCoder(n_components=3, dictionary=dictionary).fit(X)
    with pytest.raises(ValueError, match="The 'algorithm' parameter of ITOCoder"):
        ITOCoder(algorithm="guess", dictionary=dictionary).fit(X)


@pytest.mark.parametrize("length", [1e-9, 30.0, 1e7])
def test_the_default_weight_goes_with_the_length_of_the_atoms(signal, length):
    X, dictionary, _ = signal
    coders = [ITOCoder(dictionary=atoms).fit(X) for atoms in (dictionary, length * dictionary)]
    codes = [coder.transform(X) for coder in coders]
    assert_allclose(length * codes[1], codes[0], rtol=1e-5, atol=1e-7)
    assert coders[1].alpha_ == pytest.approx(length * coders[0].alpha_)


def test_dictionary_is_taken_as_it_is(signal):
    X, dictionary, _ = signal
    assert_array_equal(ITOCoder(dictionary=3 * dictionary).fit(X).components_, 3 * dictionary)


@pytest.mark.parametrize("algorithm", ["auto", "omp", "ormp", "mp", "gradient_pursuit", "iht"])
@pytest.mark.parametrize("positive", [True, False])
def test_a_number_of_non_zeros_in_place_of_the_penalty(signal, algorithm, positive):
    X, dictionary, _ = signal
    shared = {"dictionary": dictionary, "positive_code": positive}
    ito = ITOCoder(algorithm=algorithm, n_nonzero_coefs=3, **shared).fit(X)
    codes = ito.transform(X)
    assert 1 <= np.count_nonzero(codes, axis=1).max() <= 3
    assert positive is False or codes.min() >= 0
    assert ito.score(X) > 0.7


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_refined_codes_keep_the_encoders_support(signal):
    X = signal[0]
    topk = TopKSAE(n_components=16, k=3, max_iter=50, random_state=0).fit(X)
    ito = ITOCoder(estimator=topk, algorithm="topk_refined", n_nonzero_coefs=3).fit(X)
    codes = ito.transform(X)
    assert not (codes[topk.transform(X) == 0]).any()
    assert ito.score(X) > topk.score(X)


def test_numbers_of_non_zeros_are_checked(signal):
    X, dictionary, _ = signal
    ito = ITOCoder(dictionary=dictionary, n_nonzero_coefs=17)
    with pytest.raises(ValueError, match="n_nonzero_coefs=17 exceeds n_components=16; choose"):
        ito.fit(X)
    with pytest.raises(ValueError, match="n_nonzero_coefs=2 does not go with algorithm='fista'"):
        ito.set_params(n_nonzero_coefs=2, algorithm="fista").fit(X)
    with pytest.raises(ValueError, match=r"residual_tol=0.1 does not go with algorithm='iht'"):
        ito.set_params(residual_tol=0.1, algorithm="iht").fit(X)


@pytest.mark.parametrize(
    "asked",
    [
        {"n_nonzero_coefs": 3},
        {"residual_tol": 0.1},
        {"algorithm": "omp"},
        {"algorithm": "lars", "n_nonzero_coefs": 2},
    ],
)
def test_a_penalty_that_plays_no_part_is_neither_taken_nor_shown(signal, asked):
    X, dictionary, _ = signal
    ito = ITOCoder(dictionary=dictionary, **asked)
    assert ito.fit(X).alpha_ is None
    assert_array_equal(clone(ito).transform(X), ito.transform(X))  # there is nothing to fit
    with pytest.raises(ValueError, match=r"alpha=0.2 and .* both say how sparse codes are; drop"):
        ito.set_params(alpha=0.2).fit(X)
    assert ITOCoder(dictionary=dictionary, alpha=0.2).fit(X).alpha_ == 0.2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("algorithm", ["auto", "omp", "ormp", "mp", "gradient_pursuit"])
def test_a_residual_in_place_of_the_penalty(signal, algorithm):
    X, dictionary, _ = signal
    energy = (X**2).sum(axis=1)
    tol = 0.1 * energy.mean()
    learned = GradSparseCoder(
        dictionary=dictionary, transform_algorithm=algorithm, transform_residual_tol=tol
    )
    ito = ITOCoder(dictionary=dictionary, algorithm=algorithm, residual_tol=tol)
    for coder in (ito, learned):
        codes = coder.fit(X).transform(X)
        residual = ((X - coder.inverse_transform(codes)) ** 2).sum(axis=1)
        assert (residual <= tol).mean() > 0.7
        assert residual.mean() > 0.2 * tol
        assert not codes[energy < tol].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_given_dictionary_needs_no_fit(signal, dtype):
    X, dictionary, _ = signal
    X = X.astype(dtype)
    coder = ITOCoder(dictionary=dictionary, alpha=0.01)
    codes = coder.transform(X)
    state = dict(vars(coder))
    fitted = clone(coder).fit(X)
    assert codes.dtype == dtype
    assert_array_equal(codes, fitted.transform(X))
    assert coder.score(X) == fitted.score(X)
    assert_allclose(coder.inverse_transform(codes), fitted.inverse_transform(codes), atol=1e-6)
    assert_array_equal(coder.get_feature_names_out(), fitted.get_feature_names_out())
    assert_array_equal(coder.components_, dictionary)
    assert coder.n_features_in_ == X.shape[1]
    assert not coder.positive_code_
    assert make_pipeline(coder).transform(X).shape == codes.shape
    assert vars(coder) == state  # nothing is kept


def test_without_fit_the_dictionary_of_the_moment_counts_and_is_checked(signal):
    X, dictionary, _ = signal
    coder = ITOCoder(dictionary=dictionary, alpha=0.1)
    coder.transform(X)
    coder.set_params(dictionary=dictionary[:5])
    assert coder.transform(X).shape == (len(X), 5)
    with pytest.raises(ValueError, match="zero"):
        coder.set_params(dictionary=0 * dictionary).transform(X)
    with pytest.raises(ValueError, match="features"):
        coder.set_params(dictionary=dictionary[:, :3]).transform(X)
    with pytest.raises(NotFittedError):
        coder.set_params(dictionary=None).transform(X)
    with pytest.raises(AttributeError, match="ITOCoder has no attribute 'components_'"):
        coder.components_  # noqa: B018


@pytest.mark.parametrize("setting", [{}, {"alpha": 0.1, "fit_intercept": True}])
def test_what_needs_a_fit_says_how_to_go_without(signal, setting):
    X, dictionary, _ = signal
    coder = ITOCoder(dictionary=dictionary, **setting)
    found = "a center" if setting else 'alpha="auto"'
    with pytest.raises(NotFittedError, match=f"alone {found} is found from X in fit; call fit, or"):
        coder.transform(X)
    assert not hasattr(coder, "components_")


def test_frames_without_fit(signal):
    pandas = pytest.importorskip("pandas")
    X, dictionary, _ = signal
    frame = pandas.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    coder = ITOCoder(dictionary=dictionary, alpha=0.1).set_output(transform="pandas")
    assert list(coder.transform(frame).columns) == list(coder.get_feature_names_out())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("algorithm", SKLEARN_ALGORITHMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scikit_learns_algorithms(signal, algorithm, dtype):
    X, dictionary, _ = (a.astype(dtype) for a in signal)
    limit = {"n_nonzero_coefs": 3} if algorithm == "lars" else {"alpha": 0.05}
    coder = ITOCoder(dictionary=dictionary, algorithm=algorithm, **limit)
    expected = sparse_encode(X, dictionary, algorithm=algorithm, **limit)
    codes = coder.transform(X)
    assert codes.dtype == dtype
    assert_allclose(codes, expected, rtol=1e-5, atol=1e-6)
    assert_allclose(coder.set_params(sparse_output=True).transform(X).toarray(), codes)


@pytest.mark.parametrize("sparse_output", [False, True])
def test_split_signs(signal, sparse_output):
    X, dictionary, _ = signal
    coder = ITOCoder(dictionary=dictionary, alpha=0.01)
    learned = GradSparseCoder(dictionary=dictionary, positive_code=False, alpha=0.01).fit(X)
    for whole in (coder, learned):
        split = clone(whole).set_params(split_sign=True, sparse_output=sparse_output).fit(X)
        codes, halves = whole.transform(X), split.transform(X)
        dense = halves.toarray() if sparse_output else halves
        assert_array_equal(dense, np.hstack([codes.clip(min=0), (-codes).clip(min=0)]))
        assert_allclose(split.inverse_transform(halves), whole.inverse_transform(codes))
        assert split.score(X) == pytest.approx(whole.score(X))
        assert len(split.get_feature_names_out()) == halves.shape[1]
        assert_allclose(amortization_gap(split, X).gap, amortization_gap(whole, X).gap, atol=1e-6)
        again = ITOCoder(estimator=split, alpha=0.01, positive_code=False).fit(X).transform(X)
        assert_allclose(again, codes, atol=1e-2)


@pytest.mark.parametrize(
    ("algorithm", "option"),
    [("gomp", "n_stages"), ("exchange", "beam_width"), ("exact", "node_limit")],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_options_of_a_search_are_passed_on_and_refused_elsewhere(signal, algorithm, option):
    X, dictionary, _ = signal
    X, shared = X[:40], {"n_nonzero_coefs": 3}
    ito = ITOCoder(dictionary=dictionary, algorithm=algorithm, **shared)
    for value in (1, 3):
        options = {"algorithm": algorithm, option: value, **shared}
        expected = solvers_sparse_encode(X, dictionary, **options)
        assert_array_equal(ito.set_params(**{option: value}).transform(X), expected)
    for other in ("auto", "omp", "lars"):
        with pytest.raises(ValueError, match=f"{option}=3 does not go with algorithm='{other}'"):
            ito.set_params(algorithm=other).fit(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_center_is_that_of_an_estimator_of_scikit_learn():
    X = np.random.default_rng(0).standard_normal((80, 6)) + 5
    pca = PCA(3).fit(X)
    ito = ITOCoder(estimator=pca, alpha=1e-9, transform_tol=1e-10).fit(X)
    assert_array_equal(ito.intercept_, pca.mean_)
    assert_allclose(ito.transform(X), pca.transform(X), atol=1e-4)
