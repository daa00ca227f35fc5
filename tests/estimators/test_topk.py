import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort import TopKSAE

X = np.random.RandomState(0).randn(40, 9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@settings(deadline=None, max_examples=20)
@given(k=st.integers(1, 12))
def test_at_most_k_codes_a_sample(k):
    codes = TopKSAE(n_components=12, k=k, max_iter=2, random_state=0).fit_transform(X)
    assert np.count_nonzero(codes, axis=1).max() <= k


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_default_k_is_the_root_of_the_width_within_the_dictionary():
    assert TopKSAE(n_components=12, max_iter=1).fit(X).net_.module_.activation.k == 3
    assert TopKSAE(n_components=2, max_iter=1).fit(X).net_.module_.activation.k == 2


def test_k_beyond_the_dictionary_is_refused():
    with pytest.raises(ValueError, match=r"TopKSAE: k=64 exceeds n_components=32; choose k <="):
        TopKSAE(n_components=32, k=64).fit(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_components", [12, 300], ids=["dense layout", "sparse layout"])
def test_sparse_output_is_the_dense_output(n_components):
    sae = TopKSAE(n_components=n_components, k=3, max_iter=2, random_state=0).fit(X)
    dense = sae.transform(X)
    codes = sae.set_params(sparse_output=True).transform(X)
    np.testing.assert_array_equal(codes.toarray(), dense)
    assert codes.has_canonical_format
