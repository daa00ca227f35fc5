"""BatchTopKSAE: k codes on average, in training by the batch, in use by a threshold."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skamort import BatchTopKSAE
from skamort.datasets import make_sparse_coded_signal
from skamort.metrics import mean_l0

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def X():
    asked = {"n_components": 60, "n_features": 20, "n_nonzero_coefs": 4, "random_state": 0}
    return make_sparse_coded_signal(12000, **asked)[0].astype(np.float32)


@pytest.mark.parametrize("n_components", [40, 120], ids=["dense layout", "sparse layout"])
@pytest.mark.parametrize("precision", ["full", "bfloat16"])
def test_new_rows_have_k_codes_after_200_steps(X, n_components, precision):
    asked = {"k": 5, "batch_size": 80, "max_iter": 2, "random_state": 0, "precision": precision}
    sae = BatchTopKSAE(n_components, **asked).fit(X[:8000])
    assert mean_l0(sae.transform(X[:8000])) == pytest.approx(5, rel=0.01)
    assert mean_l0(sae.transform(X[8000:])) == pytest.approx(5, rel=0.05)
    for _ in range(3):
        sae.partial_fit(X[:8000])
    assert mean_l0(sae.transform(X[8000:])) == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize("n_components", [40, 120], ids=["dense layout", "sparse layout"])
def test_a_row_alone_has_the_codes_it_has_among_others(X, n_components):
    sae = BatchTopKSAE(n_components, k=5, max_iter=2, random_state=0).fit(X)
    codes = sae.transform(X[:50])
    alone = np.vstack([sae.transform(row[None]) for row in X[:50]])
    np.testing.assert_allclose(alone, codes, atol=1e-5)
    sparse = sae.set_params(sparse_output=True).transform(X[:50])
    np.testing.assert_allclose(sparse.toarray(), codes, atol=1e-6)
    assert sparse.has_canonical_format


def test_the_threshold_is_kept_and_can_be_another(X):
    sae = BatchTopKSAE(40, k=5, max_iter=2, random_state=0).fit(X)
    codes = sae.transform(X)
    assert 0 < sae.threshold_ < codes[codes > 0].min()
    again = pickle.loads(pickle.dumps(sae))
    assert again.threshold_ == sae.threshold_
    np.testing.assert_array_equal(again.transform(X), codes)
    assert not hasattr(clone(sae), "threshold_")
    higher = 2 * sae.threshold_
    expected = np.where(codes > higher, codes, 0)
    np.testing.assert_array_equal(sae.set_params(transform_threshold=higher).transform(X), expected)
    with pytest.raises(ValueError, match="The 'transform_threshold' parameter of BatchTopKSAE"):
        sae.set_params(transform_threshold=-1.0).transform(X)


def test_the_threshold_follows_the_unit(X):
    small, large = (BatchTopKSAE(40, k=5, max_iter=2, random_state=0) for _ in range(2))
    ratio = large.fit(X * 2.0**30).threshold_ / small.fit(X).threshold_
    assert ratio == pytest.approx(2.0**30, rel=1e-4)


def test_k_may_be_another_in_a_fit_that_goes_on(X):
    sae = BatchTopKSAE(40, k=5, max_iter=2, random_state=0, warm_start=True).fit(X)
    before = sae.threshold_
    assert mean_l0(sae.set_params(k=3).fit(X).transform(X)) == pytest.approx(3, rel=0.01)
    assert sae.threshold_ > before


def test_k_beyond_the_dictionary_is_refused(X):
    with pytest.raises(ValueError, match=r"BatchTopKSAE: k=64 exceeds n_components=32; choose k"):
        BatchTopKSAE(32, k=64).fit(X)
