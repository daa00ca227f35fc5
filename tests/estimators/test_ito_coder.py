import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA, DictionaryLearning, SparseCoder, sparse_encode
from sklearn.preprocessing import StandardScaler

from skamort import GradSparseCoder, ITOCoder, SAEEncoder, TopKSAE, _rows
from skamort.datasets import make_published_signal
from skamort.estimators import _solver_parameters
from skamort.metrics import latent_mcc, sparse_coding_objective
from skamort.solvers import sparse_encode as solvers_sparse_encode


@pytest.fixture(scope="module")
def signal():
    return tuple(a.astype(np.float64) for a in make_published_signal(20240625, n_samples=256))


def test_known_dictionary_recovers_the_codes(signal):
    X, dictionary, codes = signal
    found = ITOCoder(dictionary=dictionary, alpha=0.0025).fit_transform(X)
    assert latent_mcc(codes, found, matched=True) > 0.99


@pytest.mark.parametrize("positive", [True, False])
def test_agrees_with_scikit_learn(signal, positive):
    X, dictionary, _ = signal
    ours = ITOCoder(
        dictionary=dictionary, positive_code=positive, transform_tol=1e-10
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


def test_scikit_learns_estimators_give_dictionaries(signal):
    X, dictionary, _ = signal
    for estimator in (
        SparseCoder(dictionary, transform_algorithm="lasso_cd"),
        DictionaryLearning(8, max_iter=3, transform_algorithm="lasso_cd", random_state=0),
        PCA(4),
    ):
        ito = ITOCoder(estimator=estimator, positive_code=False).fit(X)
        expected = sparse_encode(
            X, ito.components_, algorithm="lasso_cd", alpha=0.1, max_iter=10_000
        )
        codes = ito.transform(X)
        objectives = [
            sparse_coding_objective(X, z, ito.components_, 0.1) for z in (codes, expected)
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
    topk = TopKSAE(n_components=16, max_iter=20, sparse_output=True, random_state=0).fit(X)
    warm = ITOCoder(estimator=topk, transform_tol=1e-9).fit(X).transform(X)
    cold = ITOCoder(dictionary=topk.components_, transform_tol=1e-9).fit(X).transform(X)
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
    with pytest.raises(ValueError, match="StandardScaler has no components_"):
        ITOCoder(estimator=StandardScaler()).fit(X)
    with pytest.raises(ValueError, match="n_components=3 but the dictionary has 16 atoms"):
        ITOCoder(n_components=3, dictionary=dictionary).fit(X)
    with pytest.raises(ValueError, match="The 'algorithm' parameter of ITOCoder"):
        ITOCoder(algorithm="guess", dictionary=dictionary).fit(X)


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
