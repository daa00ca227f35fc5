"""What ITOCoder takes from the codes of its estimator: their sign, their number and the start."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import NMF, PCA, DictionaryLearning, SparseCoder

from skamort import BatchTopKSAE, GradSparseCoder, ITOCoder, SAEEncoder, TopKSAE
from skamort.datasets import make_published_signal
from skamort.metrics import amortization_gap


@pytest.fixture(scope="module")
def signal():
    return tuple(a.astype(np.float64) for a in make_published_signal(20240625, n_samples=256))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_signs_are_those_of_the_estimators_codes(signal):
    X = signal[0]
    signs = {
        DictionaryLearning(8, max_iter=3, random_state=0): False,
        DictionaryLearning(
            8,
            max_iter=3,
            positive_code=True,
            fit_algorithm="cd",
            split_sign=True,
            transform_algorithm="lasso_cd",
            random_state=0,
        ): True,
        PCA(4): False,
        NMF(4, max_iter=5, random_state=0): True,
        TopKSAE(8, max_iter=2, random_state=0): True,
        GradSparseCoder(8, max_iter=2, positive_code=False, random_state=0): False,
        ITOCoder(dictionary=signal[1]): False,
        ITOCoder(dictionary=signal[1], positive_code=True): True,
    }
    for estimator, positive in signs.items():
        ito = ITOCoder(estimator=estimator).fit(np.abs(X))
        assert ito.positive_code_ is positive
        assert (ito.transform(np.abs(X)).min() < 0) is not positive
        assert ITOCoder(estimator=estimator, positive_code=True).fit(np.abs(X)).positive_code_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Orthogonal matching pursuit ended:RuntimeWarning")
@pytest.mark.parametrize("algorithm", ["auto", "gomp", "exchange"])
@pytest.mark.parametrize("limited", ["TopKSAE", "BatchTopKSAE", "SparseCoder"])
def test_codes_are_as_many_as_those_of_an_estimator_that_limits_their_number(
    signal, algorithm, limited
):
    X, dictionary, _ = signal
    estimator = {
        "TopKSAE": lambda: TopKSAE(16, k=5, max_iter=2, random_state=0),
        "BatchTopKSAE": lambda: BatchTopKSAE(16, k=3, max_iter=2, random_state=0),
        "SparseCoder": lambda: SparseCoder(dictionary, transform_n_nonzero_coefs=4),
    }[limited]()
    ito = ITOCoder(estimator=estimator, algorithm=algorithm).fit(X)
    own = np.count_nonzero(ito.estimator_.transform(X[::3]), axis=1)
    assert ito.n_nonzero_coefs_ == np.ceil(own.mean()) > 1
    assert np.count_nonzero(ito.transform(X), axis=1).max() == ito.n_nonzero_coefs_
    assert limited != "TopKSAE" or ito.n_nonzero_coefs_ == 5
    assert amortization_gap(ito, X[:20]).n_nonzero_coefs_samples.max() == ito.n_nonzero_coefs_
    fewer = clone(ito).set_params(n_nonzero_coefs=2, estimator=ito.estimator_).fit(X)
    assert fewer.n_nonzero_coefs_ == np.count_nonzero(fewer.transform(X), axis=1).max() == 2


class Threshold(SparseCoder):
    """Codes that limit their number, which differs from row to row."""

    _limits_number = True


def test_sign_and_number_are_those_of_rows_from_all_over():
    rng = np.random.default_rng(0)
    X = np.zeros((370, 8))
    X[:, 0] = 2  # one code in the first rows, as of one context
    X[150:] = rng.choice([-2, 2], (220, 8))
    estimator = Threshold(np.eye(8), transform_algorithm="threshold", transform_alpha=1.0)
    ito = ITOCoder(estimator=estimator).fit(X)
    assert ito.n_nonzero_coefs_ == np.ceil((150 + 220 * 8) / 370)
    assert not ito.positive_code_


class Known(SparseCoder):
    """Gives codes that are known, by the numbers of rows, which stand in their first feature."""

    _limits_number = True

    def transform(self, X):
        return self.codes[np.round(X[:, 0]).astype(int)]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0, 6),
    st.integers(1, 8),
    st.sampled_from(["auto", "ormp", "mp", "gomp", "gradient_pursuit"]),
    st.sampled_from([True, False, "auto"]),
)
def test_no_row_has_worse_codes_than_the_estimators_own(seed, coherence, k, algorithm, positive):
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((20, 9)) + coherence * rng.standard_normal(9)
    atoms = np.hstack([np.zeros((20, 1)), atoms / np.linalg.norm(atoms, axis=1, keepdims=True)])
    codes = rng.exponential(size=(30, 20)) * (rng.random((30, 20)).argsort(axis=1) < k)
    X = codes @ atoms + 0.05 * rng.standard_normal((30, 10))
    X[:, 0] = np.arange(30)
    known = Known(atoms)
    known.codes = codes
    coder = ITOCoder(estimator=known, algorithm=algorithm, positive_code=positive)
    found = coder.fit(X).transform(X)
    assert coder.n_nonzero_coefs_ == k >= np.count_nonzero(found, axis=1).max()
    own, best = (np.square(X - z @ atoms).sum(axis=1) for z in (codes, found))
    assert (best <= own * (1 + 1e-9)).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_penalty_that_is_named_counts_no_codes(signal):
    X = signal[0]
    topk = TopKSAE(16, k=2, max_iter=2, random_state=0).fit(X)
    for wish in ({"alpha": 0.01}, {"algorithm": "cd"}, {"residual_tol": 1e-3}):
        ito = ITOCoder(estimator=topk, **wish).fit(X)
        assert ito.n_nonzero_coefs_ is None
        assert np.count_nonzero(ito.transform(X), axis=1).max() > 2
    assert ITOCoder(estimator=SAEEncoder(16, max_iter=2)).fit(X).n_nonzero_coefs_ is None
