"""Group top-k, signed top-k, ProLU, and thresholds at test time, in estimators."""

import numpy as np
import pytest

from skamort import BatchTopKSAE, MatryoshkaSAE, SAEEncoder, TopKSAE, WeightedSAE
from skamort.datasets import make_sparse_coded_signal
from skamort.metrics import fraction_variance_unexplained, mean_l0

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 6, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    asked = {"n_components": 48, "n_features": 24, "n_nonzero_coefs": 4, "random_state": 0}
    return make_sparse_coded_signal(3000, **asked)[0].astype(np.float32)


def test_one_code_a_block(X):
    sae = TopKSAE(40, k=5, activation="group_topk", **QUICK).fit(X)
    codes = sae.transform(X)
    assert ((codes.reshape(-1, 5, 8) > 0).sum(2) <= 1).all()
    assert mean_l0(codes) > 4
    plain = TopKSAE(40, k=5, **QUICK).fit(X)
    assert 0.3 < sae.score(X) < plain.score(X)
    eight = sae.set_params(transform_k=8).transform(X)
    assert ((eight.reshape(-1, 8, 5) > 0).sum(2) <= 1).all()


def test_blocks_that_do_not_divide_the_latents_are_refused(X):
    sae = TopKSAE(40, k=7, activation="group_topk")
    with pytest.raises(ValueError, match=r"k=7 blocks of n_components=40 .* choose a k that"):
        sae.fit(X)
    assert sae.set_params(k=None, max_iter=1).fit(X).net_.module_.activation.n_kept == 5
    with pytest.raises(ValueError, match=r"transform_k=3 blocks .* choose a transform_k"):
        sae.set_params(transform_k=3).transform(X)
    with pytest.raises(ValueError, match=r"keeps codes >= 0, got positive_code=False; set"):
        sae.set_params(transform_k=None, positive_code=False).fit(X)


def test_signed_codes_reconstruct_signed_signals_better(X):
    signed = TopKSAE(48, k=4, positive_code=False, **QUICK).fit(X)
    codes = signed.transform(X)
    assert ((codes != 0).sum(1) == 4).all()
    assert (codes < 0).any()
    assert signed.dead_fraction_ == 0
    assert signed.score(X) > TopKSAE(48, k=4, **QUICK).fit(X).score(X)
    sparse = signed.set_params(sparse_output=True).transform(X)
    np.testing.assert_array_equal(sparse.toarray(), codes)


@pytest.mark.parametrize("Encoder", [SAEEncoder, WeightedSAE])
def test_prolu_shrinks_less_than_relu(X, Encoder):
    """As many codes explain more."""
    quick = {"target_l0": 4, "max_iter": 12, "random_state": 0}
    prolu = Encoder(48, activation="prolu", **quick).fit(X)
    assert prolu.net_.module_.encoder.bias is None
    assert mean_l0(prolu.transform(X)) == pytest.approx(4, rel=0.01)
    assert prolu.score(X) > Encoder(48, **quick).fit(X).score(X) + 0.1
    # Twice the data, from the center, are twice the codes where these are active.
    center = prolu.intercept_
    codes, double = (prolu.transform(center + f * (X - center)) for f in (1, 2))
    np.testing.assert_allclose(double[codes > 0], 2 * codes[codes > 0], rtol=1e-3)


@pytest.mark.parametrize("Encoder", [TopKSAE, BatchTopKSAE, MatryoshkaSAE])
def test_a_threshold_for_a_number_of_codes(X, Encoder):
    sae = Encoder(40, k=5, **QUICK).fit(X)
    errors = []
    for l0 in (2, 5, 7.5):
        sae.set_params(transform_threshold=sae.threshold_for(X, l0))
        codes = sae.transform(X)
        assert mean_l0(codes) == pytest.approx(l0, rel=0.01)
        errors.append(fraction_variance_unexplained(X, sae.inverse_transform(codes)))
    if Encoder is TopKSAE:
        fixed = sae.set_params(transform_threshold=None, transform_k=2).transform(X)
        assert errors[0] <= fraction_variance_unexplained(X, sae.inverse_transform(fixed))
    for l0 in (0, 41):
        with pytest.raises(ValueError, match=rf"l0={l0} is to be more than 0 and at most"):
            sae.threshold_for(X, l0)
    if Encoder is TopKSAE:
        with pytest.raises(ValueError, match="got positive_code=False; set transform_k instead"):
            TopKSAE(40, k=5, positive_code=False, **QUICK).fit(X).threshold_for(X, 5)
    for l0 in ("a", None, np.nan, True):
        with pytest.raises(TypeError, match="l0 must be a finite number"):
            sae.threshold_for(X, l0)


def test_what_contradicts_a_threshold_is_refused(X):
    sae = TopKSAE(40, k=5, transform_k=3, transform_threshold=0.1, max_iter=1)
    with pytest.raises(ValueError, match=r"transform_k=3 and transform_threshold=0.1 both say"):
        sae.fit(X)
    with pytest.raises(ValueError, match=r"keeps codes >= 0, got positive_code=False"):
        sae.set_params(transform_k=None, positive_code=False).fit(X)
    for Encoder in (BatchTopKSAE, MatryoshkaSAE):
        with pytest.raises(ValueError, match=rf"{Encoder.__name__}: codes above .*transform_k=3"):
            Encoder(40, k=5).set_params(transform_k=3)
