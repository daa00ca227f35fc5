"""The weight gives the wanted number of non-zeros."""

import numpy as np
import pytest
import torch

from skamort.metrics import mean_l0
from skamort.solvers import alpha_for_l0, alpha_max, sparse_encode

rng = np.random.default_rng(0)
ATOMS = rng.normal(size=(24, 10))
ATOMS /= np.linalg.norm(ATOMS, axis=1, keepdims=True)
X = rng.normal(size=(200, 10))


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("l0", [0.5, 2, 5.3])
@pytest.mark.parametrize("scale", [1e-8, 3.0])
def test_codes_have_as_many_non_zeros(positive, l0, scale):
    alpha = alpha_for_l0(scale * X, ATOMS, l0, positive=positive)
    codes = sparse_encode(scale * X, ATOMS, alpha=alpha, positive=positive)
    assert mean_l0(codes) == pytest.approx(l0, rel=0.02)
    assert 0 < alpha < alpha_max(scale * X, ATOMS, positive=positive).max()


def test_the_kind_of_array_does_not_matter():
    assert alpha_for_l0(torch.tensor(X), ATOMS.tolist(), 3) == alpha_for_l0(X, ATOMS, 3)


def test_what_no_weight_gives():
    with pytest.raises(ValueError, match="l0=11 must be at most 10"):
        alpha_for_l0(X, ATOMS, 11)
    with pytest.raises(ValueError, match="l0=0 must be above 0; alpha_max"):
        alpha_for_l0(X, ATOMS, 0)
    with pytest.raises(ValueError, match="l0=1 must be at most 0"):
        alpha_for_l0(np.zeros((3, 10)), ATOMS, 1)


@pytest.mark.parametrize("l0", ["many", np.nan, None])
def test_what_is_no_number(l0):
    with pytest.raises(TypeError, match="l0 must be a finite number"):
        alpha_for_l0(X, ATOMS, l0)
