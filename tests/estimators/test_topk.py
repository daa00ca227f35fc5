import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort import ITOCoder, TopKSAE, load
from skamort.datasets import make_sparse_coded_signal

X = np.random.RandomState(0).randn(40, 9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@settings(deadline=None, max_examples=20)
@given(k=st.integers(1, 12))
def test_at_most_k_codes_a_sample(k):
    codes = TopKSAE(n_components=12, k=k, max_iter=2, random_state=0).fit_transform(X)
    assert np.count_nonzero(codes, axis=1).max() <= k


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_default_k_is_the_root_of_the_width_within_the_dictionary():
    assert TopKSAE(n_components=12, max_iter=1).fit(X).net_.module_.activation.n_kept == 3
    assert TopKSAE(n_components=2, max_iter=1).fit(X).net_.module_.activation.n_kept == 2


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


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_components", [12, 300], ids=["dense layout", "sparse layout"])
def test_transform_k_is_another_k_for_the_same_weights(n_components):
    sae = TopKSAE(n_components=n_components, k=3, max_iter=2, random_state=0).fit(X)
    usual = sae.transform(X)
    np.testing.assert_array_equal(sae.set_params(transform_k=3).transform(X), usual)
    more = sae.set_params(transform_k=6).transform(X)
    assert (more != 0).sum(1).max() == 6
    np.testing.assert_array_equal(more[usual > 0], usual[usual > 0])
    np.testing.assert_array_equal(sae.set_params(sparse_output=True).transform(X).toarray(), more)


def test_transform_k_is_checked_in_fit_and_in_transform():
    with pytest.raises(ValueError, match=r"transform_k=13 exceeds n_components=12; choose"):
        TopKSAE(n_components=12, transform_k=13).fit(X)
    sae = TopKSAE(n_components=12, k=3, max_iter=20, tol=1.0).fit(X)
    with pytest.raises(ValueError, match=r"transform_k=13 exceeds n_components=12; choose"):
        sae.set_params(transform_k=13).transform(X)
    with pytest.raises(ValueError, match="The 'transform_k' parameter of TopKSAE"):
        sae.set_params(transform_k=0).transform(X)


@pytest.mark.parametrize("others", [{"positive_code": False}, {"activation": "group_topk"}])
def test_multi_topk_is_refused_for_other_codes(others):
    sae = TopKSAE(8, k=2, multi_topk=True, **others)
    with pytest.raises(ValueError, match=r"TopKSAE: multi_topk=True .* set multi_topk=False"):
        sae.fit(np.eye(8))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_dictionary_learned_in_stages_leaves_less_to_better_codes():
    signal, _, _ = make_sparse_coded_signal(
        300, n_components=32, n_features=12, n_nonzero_coefs=3, positive=True, random_state=0
    )
    left = {}
    for n_stages in (None, 2):
        options = {"n_stages": n_stages, "max_iter": 20, "tol": 0, "batch_size": 64}
        sae = TopKSAE(32, k=3, learning_rate=3e-3, random_state=0, **options).fit(signal)
        best = ITOCoder(estimator=sae, algorithm="gomp", n_nonzero_coefs=3).fit(signal)
        left[n_stages] = 1 - best.score(signal)
    assert left[2] < 0.92 * left[None]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_saved_model_goes_on_learning_in_stages(tmp_path):
    sae = TopKSAE(12, k=3, n_stages=2, max_iter=2, random_state=0).fit(X)
    sae.save(tmp_path / "sae")
    again = load(tmp_path / "sae").partial_fit(X)
    np.testing.assert_array_equal(again.components_, sae.partial_fit(X).components_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_after_multi_topk_a_larger_k_reconstructs_better():
    signal, _, _ = make_sparse_coded_signal(
        800, n_components=96, n_features=24, n_nonzero_coefs=4, positive=True, random_state=0
    )
    options = {"k": 4, "max_iter": 60, "tol": 0, "learning_rate": 3e-3, "random_state": 0}
    loss_of_more = {}
    for multi_topk in (False, True):
        sae = TopKSAE(96, multi_topk=multi_topk, **options).fit(signal)
        sae.set_params(transform_k=16)
        loss_of_more[multi_topk] = 1 - sae.score(signal)
    assert loss_of_more[True] < 0.7 * loss_of_more[False]
