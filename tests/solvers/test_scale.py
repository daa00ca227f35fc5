"""Codes of any size that their dtype holds, and a clear word where it does not hold them."""

import numpy as np
import pytest

from skamort.solvers import SOLVERS, sparse_encode

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4)).astype("f4")
DICTIONARY = RNG.standard_normal((6, 4)).astype("f4")


def encode(X, dictionary, name, alpha):
    k_sparse = SOLVERS[name].is_k_sparse
    wish = {"n_nonzero_coefs": 2} if k_sparse else {"alpha": alpha}
    return sparse_encode(X, dictionary, algorithm=name, **wish)


@pytest.mark.parametrize("name", sorted(set(SOLVERS) - {"adam"}))
@pytest.mark.parametrize(("size", "unit"), [(1e28, 1e-27), (1e-25, 1e28)])
def test_codes_that_float32_does_not_hold_are_refused(name, size, unit):
    small, large = np.float32(size) * X, np.float32(unit) * DICTIONARY
    with pytest.raises(ValueError, match=r"float32 does not hold, 1e-38 to 3e\+38.*pass float64"):
        encode(small, large, name, 0.1 * size * unit)
    codes = encode(small.astype(float), large.astype(float), name, 0.1 * size * unit)
    expected = encode(X.astype(float), DICTIONARY.astype(float), name, 0.1)
    np.testing.assert_allclose(codes * (unit / size), expected, rtol=1e-2, atol=1e-2)


def test_zero_codes_and_samples_next_to_nothing_are_not_refused():
    sample = np.float32([[1e-44, 0, 0, 0], [0, 0, 0, 0]])
    assert not sparse_encode(sample, np.float32(1e10) * DICTIONARY, alpha=0.0).any()
    assert not sparse_encode(np.float32(1e30) * X, np.float32(1e-30) * DICTIONARY, alpha=1e3).any()
