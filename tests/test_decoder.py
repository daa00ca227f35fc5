"""What an estimator says of its codes is what it does."""

from copy import copy
from functools import cache

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import (
    PCA,
    DictionaryLearning,
    FastICA,
    MiniBatchDictionaryLearning,
    SparseCoder,
    SparsePCA,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.random_projection import GaussianRandomProjection
from sklearn.utils.validation import check_is_fitted

from skamort import AmortizedCoder, ITOCoder, SAEEncoder, TopKSAE
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


# -- Whether `components_` decode ------------------------------------------------------------------

COUNTS = np.abs(X) + 1


class Projection(TransformerMixin, BaseEstimator):
    """Codes by correlation, far too large, and no word on how they decode."""

    def fit(self, X, y=None):
        self.components_ = 9 * np.eye(6, 20)
        return self

    def transform(self, X):
        check_is_fitted(self)
        return X @ self.components_.T


UNMIXING = FastICA(5, random_state=0, max_iter=2000, tol=1e-3)
AROUND = {
    "estimator": lambda part: ITOCoder(estimator=part, alpha=0.1),
    "teacher": lambda part: AmortizedCoder(teacher=part, encoder=SAEEncoder(max_iter=1)),
    "dict_init": lambda part: TopKSAE(dict_init=part, k=2, max_iter=1),
}
each_place = pytest.mark.parametrize("place", AROUND)


@each_place
@pytest.mark.parametrize(
    "part", [UNMIXING, GaussianRandomProjection(5, random_state=0)], ids=lambda p: type(p).__name__
)
def test_components_that_do_not_decode_are_no_atoms(place, part):
    part.fit(COUNTS)
    with pytest.raises(ValueError, match=f"{place}={type(part).__name__}: .* Its atoms, as an arr"):
        AROUND[place](part).fit(COUNTS)
    # What the message says are atoms.
    n, codes = len(part.components_), part.transform(COUNTS)
    zero = part.inverse_transform(np.zeros((1, n)))
    atoms = part.inverse_transform(np.eye(n)) - zero
    np.testing.assert_allclose(codes @ atoms + zero, part.inverse_transform(codes))


def test_atoms_of_another_length_have_the_directions_of_atoms_but_do_not_teach():
    whitened = PCA(5, whiten=True).fit(X)
    assert AROUND["estimator"](whitened).fit(X).score(X) > 0.2
    start = TopKSAE(dict_init=whitened, k=2, max_iter=1, learning_rate=1e-12).fit(X).components_
    np.testing.assert_allclose(start, whitened.components_, atol=1e-6)
    with pytest.raises(ValueError, match="PCA: inverse_transform"):
        AROUND["teacher"](whitened).fit(X)


def test_codes_are_taught_for_atoms_of_unit_norm():
    def taught(size):
        by_number = {"transform_algorithm": "omp", "transform_n_nonzero_coefs": 4}
        student = TopKSAE(k=4, positive_code=False, max_iter=2, random_state=0)
        return AmortizedCoder(
            teacher=SparseCoder(size * np.eye(20), **by_number), encoder=student
        ).fit(X)

    long, unit = taught(4), taught(1)
    np.testing.assert_array_equal(long.components_, np.eye(20))
    np.testing.assert_array_equal(long.transform(X), unit.transform(X))


@pytest.mark.parametrize("place", ["estimator", "teacher"])
def test_codes_worse_than_none_are_warned_of_where_nothing_else_tells(place):
    part = Projection().fit(COUNTS)
    with pytest.warns(UserWarning, match="Projection: its codes .* farther from X than codes of 0"):
        AROUND[place](part).fit(COUNTS)
    part.components_ = np.eye(6, 20)
    AROUND[place](part).fit(COUNTS)


# One that is not fitted is no dictionary whatever it is.
@pytest.mark.parametrize(
    ("place", "is_fitted"),
    [*((place, True) for place in AROUND), *((p, False) for p in AROUND if p != "dict_init")],
)
def test_a_pipeline_is_told_where_the_coder_belongs(place, is_fitted):
    pipeline = make_pipeline(StandardScaler(), PCA(5))
    if is_fitted:
        pipeline.fit(X)
    message = f"{place}=Pipeline has .* what standardscaler made of X; put .*{place}=pipeline"
    with pytest.raises(TypeError, match=message):
        AROUND[place](pipeline).fit(X)
