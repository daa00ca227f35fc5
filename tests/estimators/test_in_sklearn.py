"""Estimators inside what scikit-learn makes of estimators."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch.callbacks import EpochTimer, LRScheduler

from skamort import SAEEncoder, TopKSAE

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).random((60, 6))
SAE = SAEEncoder(4, max_iter=3, tol=0, random_state=0)
TOPK = TopKSAE(3, k=2, max_iter=3, tol=0, random_state=0)


def test_epochs_are_a_resource_of_a_halving_search():
    search = HalvingGridSearchCV(
        TOPK,
        {"k": [1, 3]},
        resource="max_iter",
        min_resources=2,
        max_resources=4,
        factor=2,
        cv=2,
        random_state=0,
    )
    assert search.fit(X).best_params_ == {"k": 3, "max_iter": 4}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_of_a_frame_are_coded_beside_others(library):
    frames = pytest.importorskip(library)
    names = [f"x{i}" for i in range(6)]
    columns = dict(zip(names, X.T, strict=True))
    frame = frames.DataFrame({**columns, "kind": list("abcabc") * 10})
    others = OneHotEncoder(sparse_output=False)
    both = ColumnTransformer([("sae", clone(SAE), names), ("kind", others, ["kind"])])
    coded = both.set_output(transform=library).fit_transform(frame)
    assert isinstance(coded, frames.DataFrame)
    assert list(coded.columns)[3:5] == ["sae__saeencoder3", "kind__kind_a"]
    assert_array_equal(np.asarray(coded)[:, :4], clone(SAE).fit_transform(X))


@pytest.mark.parametrize("is_sparse", [False, True])
def test_codes_stand_beside_each_other(is_sparse):
    parts = [("one", clone(SAE)), ("other", clone(TOPK))]
    union = FeatureUnion(parts).set_params(
        one__sparse_output=is_sparse, other__sparse_output=is_sparse
    )
    codes = union.fit_transform(X)
    assert sparse.issparse(codes) == is_sparse
    assert codes.shape == (60, 7)
    assert union.get_feature_names_out()[3:5].tolist() == ["one__saeencoder3", "other__topksae0"]


def test_a_pipeline_with_memory_fits_once_whatever_the_callbacks(tmp_path):
    callbacks = [EpochTimer(), ("steps", LRScheduler("StepLR", step_size=2))]
    sae = clone(SAE).set_params(callbacks=callbacks)
    pipeline = make_pipeline(StandardScaler(), sae, clone(TOPK), memory=str(tmp_path))
    first = pipeline.fit(X).transform(X)
    assert_array_equal(pipeline.fit(X).transform(X), first)
    cached = list(tmp_path.rglob("output.pkl"))
    assert len(cached) == 2  # of two steps, the last one being fitted anew
