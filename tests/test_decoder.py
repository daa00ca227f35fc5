"""What an estimator says of its codes is what it does."""

from copy import copy
from functools import cache

import numpy as np
import pytest
from sklearn.decomposition import (
    DictionaryLearning,
    MiniBatchDictionaryLearning,
    SparseCoder,
    SparsePCA,
)

from skamort import ITOCoder
from skamort._decoder import known_alpha, limits_number
from skamort.inspection import compare_encoders
from skamort.metrics import amortization_gap

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((25, 20))
LEARNED = {"n_components": 12, "alpha": 0.4, "max_iter": 2, "random_state": 0}
CODERS = {
    "learned": DictionaryLearning(**LEARNED, transform_max_iter=10_000),
    "online": MiniBatchDictionaryLearning(**LEARNED, transform_max_iter=10_000),
    "given": SparseCoder(RNG.standard_normal((12, 20)) / 4, transform_max_iter=10_000),
}
each_coder = pytest.mark.parametrize("name", CODERS)


@cache
def fitted(name):
    return CODERS[name].fit(X)


def coder_with(name, **settings):
    """A fitted coder that finds codes by these settings."""
    return copy(fitted(name)).set_params(**settings)


@each_coder
@pytest.mark.parametrize("algorithm", ["omp", "lars"])
@pytest.mark.parametrize("number", [None, 3])
@pytest.mark.parametrize("weight", [None, 0.2])
def test_a_number_of_codes_is_a_number_whatever_weight_stands_beside_it(
    name, algorithm, number, weight
):
    coder = coder_with(
        name,
        transform_algorithm=algorithm,
        transform_n_nonzero_coefs=number,
        transform_alpha=weight,
    )
    codes = coder.transform(X)
    k = number or 2  # a tenth of the features
    assert limits_number(coder)
    assert np.count_nonzero(codes, axis=1).max() == k
    ito = ITOCoder(estimator=coder).fit(X)
    assert (ito.n_nonzero_coefs_, ito.alpha_) == (k, None)
    own, best = (np.square(X - z @ ito.components_).sum(axis=1) for z in (codes, ito.transform(X)))
    assert (best <= own * (1 + 1e-9)).all()
    assert weight or amortization_gap(coder, X[:3]).n_nonzero_coefs_samples.max() == k


@each_coder
@pytest.mark.parametrize("algorithm", ["lasso_cd", "lasso_lars"])
@pytest.mark.parametrize("weight", [None, 0.8])
def test_a_weight_is_the_one_at_which_codes_are_the_best(name, algorithm, weight):
    coder = coder_with(name, transform_algorithm=algorithm, transform_alpha=weight)
    alpha = weight or getattr(coder, "alpha", 1.0)
    assert known_alpha(coder) == ITOCoder(estimator=coder).fit(X).alpha_ == alpha
    found = amortization_gap(coder, X[:5])
    assert found.gap_upper < 1e-3 * found.objective
    assert amortization_gap(coder, X[:5], 0.5 * alpha).gap > 1e-2 * found.objective


@each_coder
def test_a_threshold_is_a_weight(name):
    coder = coder_with(name, transform_algorithm="threshold", transform_alpha=None)
    assert known_alpha(coder) == getattr(coder, "alpha", 1.0)
    assert not limits_number(coder)


def test_a_weight_of_atoms_is_none_of_codes():
    pca = SparsePCA(2, alpha=0.3, max_iter=2, method="cd", random_state=0).fit(X)
    assert known_alpha(pca) is None
    with pytest.raises(ValueError, match="has no L1 weight of its own"):
        amortization_gap(pca, X)


def test_a_table_judges_codes_of_a_number_among_as_many():
    pytest.importorskip("pandas")
    coder = coder_with("learned", transform_n_nonzero_coefs=3)
    table = compare_encoders([coder], X, X[:3], alpha=0.4)
    assert table["fvu_gap"]["DictionaryLearning"] >= 0
