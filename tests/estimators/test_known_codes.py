"""Codes that are known are codes that the encoder can have."""

import numpy as np
import pytest
from scipy import sparse

from skamort import SAEEncoder, TopKSAE

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("as_codes", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_known_codes_that_no_encoder_reaches_are_refused(method, as_codes):
    rng = np.random.default_rng(0)
    X, codes = rng.standard_normal((2, 30, 4))
    learn = getattr(SAEEncoder(4, max_iter=1), method)
    with pytest.raises(ValueError, match=r"SAEEncoder: its codes are >= 0, got codes down to -"):
        learn(X, codes=as_codes(codes))
    signed = TopKSAE(4, k=2, positive_code=False, max_iter=1)
    assert getattr(signed, method)(X, codes=as_codes(codes)).transform(X).min() < 0
    with pytest.raises(ValueError, match="or set positive_code=False"):
        getattr(TopKSAE(4, k=2), method)(X, codes=as_codes(codes))


def test_groups_of_latents_learn_known_codes():
    rng = np.random.default_rng(0)
    codes = np.eye(8)[rng.integers(4, size=200)] + np.eye(8)[rng.integers(4, 8, size=200)]
    X = codes @ rng.standard_normal((8, 12))
    sae = TopKSAE(8, k=2, activation="group_topk", max_iter=200, random_state=0)
    found = sae.fit(X, codes=codes).transform(X)
    assert np.mean((found > 0) == (codes > 0)) > 0.9
