"""Scores are the measures by their names, and stand in scikit-learn's searches."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_validate

from skamort import GradSparseCoder, JumpReLUSAE
from skamort.metrics import (
    dead_fraction,
    mean_l0,
    neg_dead_fraction,
    neg_l0,
    neg_objective,
    sparse_coding_objective,
)

X = np.abs(np.random.default_rng(0).normal(size=(80, 6))) + 1


@pytest.fixture(scope="module", params=[False, True])
def coder(request):
    coder = GradSparseCoder(12, alpha=0.3, max_iter=30, tol=1e-2, sparse_output=request.param)
    return coder.set_params(fit_intercept=True, random_state=0).fit(X)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_scores_are_the_measures(coder, form):
    codes = coder.transform(X)
    objective = sparse_coding_objective(X - coder.intercept_, codes, coder.components_, 0.3)
    assert neg_objective(coder, form(X)) == pytest.approx(-objective, rel=1e-9)
    assert neg_l0(coder, form(X)) == -mean_l0(codes)
    assert neg_dead_fraction(coder, form(X)) == -dead_fraction(codes)


def test_an_automatic_weight_is_the_one_found():
    coder = GradSparseCoder(12, max_iter=30, tol=1e-2, random_state=0).fit(X)
    same = GradSparseCoder(12, alpha=coder.alpha_, max_iter=30, tol=1e-2, random_state=0).fit(X)
    assert neg_objective(coder, X) == pytest.approx(neg_objective(same, X))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_weight_to_be_judged_at():
    with pytest.raises(TypeError, match="PCA has no L1 weight"):
        neg_objective(PCA(2).fit(X), X)
    priced = JumpReLUSAE(8, alpha=0.1, tol=0.1, max_iter=50, random_state=0).fit(X)
    with pytest.raises(TypeError, match="JumpReLUSAE has no L1 weight"):
        neg_objective(priced, X)


def test_in_searches(coder):
    grid = GridSearchCV(coder, {"n_components": [2, 12]}, scoring=neg_objective, cv=2).fit(X)
    assert grid.best_params_ == {"n_components": 12}
    found = cross_validate(coder, X, scoring={"l0": neg_l0, "dead": neg_dead_fraction}, cv=2)
    assert (found["test_l0"] < 0).all()
    assert (found["test_dead"] <= 0).all()
