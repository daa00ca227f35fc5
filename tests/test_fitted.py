import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA, SparseCoder, TruncatedSVD
from sklearn.utils.estimator_checks import check_estimator

from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, LISTAEncoder, SAEEncoder
from skamort._fitted import configured, fitted, is_fitted

X = np.random.default_rng(0).normal(size=(30, 6))


class FitsWithoutLabels(BaseEstimator):
    def fit(self, X):
        self.mean_ = X.mean()
        return self


def test_what_is_fitted_is_taken_as_it_is():
    for estimator in (PCA(2).fit(X), SparseCoder(X), object()):
        assert is_fitted(estimator)
        assert fitted(estimator, X, n_components=3) is estimator


def test_others_are_cloned_and_fitted():
    pca = PCA()
    assert fitted(pca, X, n_components=3).components_.shape == (3, 6)
    assert pca.n_components is None
    assert not is_fitted(pca)
    assert fitted(FitsWithoutLabels(), X).mean_ == X.mean()


def test_a_part_gets_what_it_knows_and_keeps_what_nobody_wants_changed():
    part = SAEEncoder(n_components=5, device="cpu", verbose=True)
    same = configured(part, n_components=None, device="auto", verbose=False, unknown=3)
    assert same.get_params() == part.get_params()
    other = configured(part, n_components=7, device="cuda")
    assert (other.n_components, other.device, other.verbose) == (7, "cuda", True)


def test_seeds_are_drawn_where_a_part_has_none():
    seeds = [configured(PCA(), random_state=seed).random_state for seed in (0, 0, 1)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert configured(PCA(random_state=3), random_state=0).random_state == 3
    assert configured(PCA()).random_state is None
    rng = np.random.RandomState(0)
    parts = [configured(TruncatedSVD(), random_state=rng) for _ in range(2)]
    assert parts[0].random_state == seeds[0] != parts[1].random_state


@pytest.mark.parametrize("part", fast_estimators(), ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(
    "whole",
    [
        lambda part: ITOCoder(estimator=part, n_components=4, random_state=0),
        lambda part: AmortizedCoder(
            4, teacher=part, encoder=LISTAEncoder(max_iter=2), random_state=0
        ),
    ],
    ids=["ITOCoder", "AmortizedCoder"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_same_seed_gives_the_same_bits_with_every_part(whole, part):
    first, second = (whole(part).fit(X) for _ in range(2))
    assert first.components_.shape == (4, 6)
    assert_array_equal(first.components_, second.components_)
    assert_array_equal(first.transform(X), second.transform(X))


@pytest.mark.parametrize(
    "estimator",
    [
        ITOCoder(estimator=SAEEncoder(max_iter=3)),
        AmortizedCoder(teacher=GradSparseCoder(max_iter=3), encoder=SAEEncoder(max_iter=3)),
    ],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_check_estimator_with_an_unfitted_part(estimator):
    check_estimator(estimator, on_skip=None)
