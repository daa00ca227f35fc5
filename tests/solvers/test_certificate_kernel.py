"""The compiled certificate is that of torch, also where correlations are known to a bound alone."""

from functools import cache

import numpy as np
import pytest
from engines import callable_part, needs_numba

from skamort.solvers import duality_gap


@cache
def compiled():
    """The parts under test; compiled once."""
    from skamort.solvers._certificate_numba import certify
    from skamort.solvers._numba_tools import segment_maxima

    return callable_part(certify), callable_part(segment_maxima)


def certify(x, dictionary, codes, alpha, positive, error, rng):
    """The kernel's gap, from correlations that are wrong by up to ``error``."""
    from skamort.solvers._certificate_numba import SEGMENT

    kernel, segment_maxima = compiled()
    working = np.flatnonzero(codes)
    z, exact, residual = codes[working], np.empty(len(working)), np.empty(len(x))
    c = (x - codes @ dictionary) @ dictionary.T
    c += error * rng.choice([-1.0, 1.0], len(c))
    peak = max((c if positive else np.abs(c)).max(), 0.0)
    c[working] = 0
    tops = np.empty((len(c) - 1) // SEGMENT + 1)
    segment_maxima(c, positive, SEGMENT, tops)
    support, nothing_hidden = np.empty(len(working), np.int64), x[:0]
    known = c, error, tops, z, working, len(z), alpha, positive, peak
    return kernel(x, nothing_hidden, dictionary, *known, residual, exact, support)


@needs_numba
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("error", [0.0, 0.3])
@pytest.mark.parametrize("alpha", [0.1, 2.0])
def test_the_kernel_certifies_what_torch_does(positive, error, alpha):
    rng = np.random.default_rng(0)
    for _ in range(30):
        dictionary, x = rng.standard_normal((150, 8)), rng.standard_normal(8)
        codes = rng.standard_normal(150) * (rng.random(150) < 0.05)
        codes = np.abs(codes) if positive else codes
        expected = duality_gap(x[None], codes[None], dictionary, alpha, positive)
        gap = certify(x, dictionary, codes, alpha, positive, error, rng)
        np.testing.assert_allclose(gap, expected, rtol=1e-9)


@needs_numba
def test_where_codes_cost_nothing_the_allowance_is_that_of_rounding():
    rng = np.random.default_rng(0)
    atoms, directions = rng.random((3, 8)), rng.standard_normal((8, 8))
    codes = 1 + rng.random(3)
    # What is left is orthogonal to the first atoms, and away from the others.
    rest = np.linalg.svd(atoms)[2][-1]
    others = -np.sign(directions @ rest)[:, None] * directions
    dictionary, z = np.vstack([atoms, others]), np.r_[codes, np.zeros(8)]
    x = codes @ atoms + 0.3 * rest
    for found in (
        certify(x, dictionary, z, 0.0, True, 0.0, rng),
        duality_gap(x[None], z[None], dictionary, 0.0, True)[0],
    ):
        assert 0 <= found < 1e-11
    z[0] += 1e-4
    x_far = duality_gap(x[None], z[None], dictionary, 0.0, True)[0]
    assert x_far >= 0.5 * 1e-8 * atoms[0] @ atoms[0] * 0.99
