"""Fitted estimators inside others: used as they are through every clone, never fitted again."""

import copy
from warnings import catch_warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import DictionaryLearning, SparseCoder
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from skamort import AmortizedCoder, ITOCoder, LISTAEncoder, SAEEncoder, TopKSAE
from skamort.estimators import fit_many

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.abs(np.random.default_rng(0).normal(size=(60, 6)))
QUICK = {"max_iter": 2, "random_state": 0}
SETTINGS = {"fit_algorithm": "cd", "positive_code": True, "transform_algorithm": "lasso_cd"}
with catch_warnings(action="ignore"):
    PARTS = {
        "ours": SAEEncoder(9, **QUICK).fit(X),
        "scikit-learn's": DictionaryLearning(9, **SETTINGS, **QUICK).fit(X),
        "frozen": FrozenEstimator(SAEEncoder(9, **QUICK).fit(X)),
    }
WHOLES = {
    "dict_init": lambda part: TopKSAE(dict_init=part, **QUICK),
    "estimator": lambda part: ITOCoder(estimator=part),
    "teacher": lambda part: AmortizedCoder(teacher=part, encoder=LISTAEncoder(**QUICK)),
}


@pytest.fixture(params=PARTS)
def part(request):
    return PARTS[request.param]


@pytest.fixture(params=WHOLES)
def name(request):
    return request.param


def test_whatever_clones_keeps_what_is_fitted(name, part):
    atoms, whole = part.components_.copy(), WHOLES[name](part)
    folds = {"cv": 2, "error_score": "raise"}
    found = cross_validate(make_pipeline(whole), X, return_estimator=True, **folds)
    wholes = [pipeline[-1] for pipeline in found["estimator"]]
    grid = {"sparse_output": [False, True]}
    wholes.append(GridSearchCV(whole, grid, **folds).fit(X).best_estimator_)
    wholes += fit_many(whole, X, {}, random_states=[1])
    for other in wholes:
        assert getattr(other, name) is part
        if name != "dict_init":
            assert_array_equal(other.components_, atoms)
    assert_array_equal(part.components_, atoms)


def test_deep_copies_are_fitted_too(name, part):
    twin = copy.deepcopy(WHOLES[name](part))
    inner = getattr(clone(twin), name)
    assert inner is getattr(twin, name) is not part
    assert_array_equal(inner.components_, part.components_)


def test_a_part_within_a_part_is_kept(name):
    inner = PARTS["ours"]
    outer = clone(ITOCoder(estimator=WHOLES[name](inner)))
    assert getattr(outer.estimator, name) is inner
    assert not hasattr(outer.estimator, "components_")


def test_others_are_cloned(name):
    for part in (SAEEncoder(alpha=0.3), SparseCoder(np.eye(6))):
        whole = WHOLES[name](part)
        assert getattr(clone(whole), name) is not part
        inner = next(iter(part.get_params()))
        whole.set_params(**{f"{name}__{inner}": 3})
        assert part.get_params()[inner] == 3
    assert clone(WHOLES[name](None)).get_params()[name] is None


def test_the_encoder_to_be_taught_is_no_such_part():
    lista = LISTAEncoder(9, **QUICK).fit(X)
    coder = clone(AmortizedCoder(encoder=lista)).set_params(encoder__n_layers=2)
    assert not hasattr(coder.encoder, "net_")
    assert lista.n_layers == 3


def test_parameters_of_a_fitted_part_are_refused(name):
    part = PARTS["ours"]
    search = GridSearchCV(WHOLES[name](part), {f"{name}__alpha": [0.1, 0.2]})
    with pytest.raises(ValueError, match=rf"{name}=SAEEncoder is fitted .* alpha would change no"):
        search.fit(X)
    assert part.alpha == "auto"


def test_a_start_that_is_not_fitted_is_refused_with_advice():
    part = PARTS["ours"]
    advice = "dict_init=SAEEncoder is not fitted; .*FrozenEstimator"
    with pytest.raises(NotFittedError, match=advice):
        TopKSAE(dict_init=clone(part)).fit(X)
    search = GridSearchCV(TopKSAE(**QUICK), {"dict_init": [part]}, cv=2, error_score="raise")
    with pytest.raises(NotFittedError, match=advice):
        search.fit(X)
    frozen = FrozenEstimator(part)
    found = search.set_params(param_grid={"dict_init": [frozen]}).fit(X)
    assert found.best_estimator_.dict_init is frozen
