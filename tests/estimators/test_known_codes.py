"""Codes that are known are codes that the encoder can have."""

import warnings
from functools import partial

import numpy as np
import pytest
from on_disk import OnDisk
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skamort import BatchTopKSAE, GradSparseCoder, LISTAEncoder, SAEEncoder, TopKSAE, _rows
from skamort._rows import Rows
from skamort._sparse_rows import rows_of
from skamort.estimators import fit_many
from skamort.estimators._known_codes import _range_of
from skamort.training import Schedule, TeachDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "settings",
    [
        {"multi_topk": True},
        {"n_stages": 2},
        {"dead_latents": "auxk"},
        {"dead_latents": TeachDead(window=9)},
        {"callbacks": [("teach", TeachDead(window=9))]},
    ],
    ids=str,
)
def test_what_learns_from_the_reconstruction_is_refused_beside_known_codes(method, settings):
    X, codes = np.random.default_rng(0).exponential(size=(2, 30, 5))
    sae = TopKSAE(5, k=1, max_iter=1, random_state=0).set_params(**settings)
    with pytest.raises(ValueError, match=r"from the reconstruction of X, and .*or fit without"):
        getattr(sae, method)(X, codes=codes)
    getattr(sae, method)(X)
    default = {name: TopKSAE().get_params()[name] for name in settings}
    getattr(clone(sae).set_params(**default), method)(X, codes=codes)


def test_a_penalty_to_warm_up_is_refused_beside_known_codes():
    X, codes = np.random.default_rng(0).exponential(size=(2, 30, 5))
    sae = SAEEncoder(5, max_iter=1, schedule=Schedule(alpha_warmup=0.5))
    with pytest.raises(ValueError, match=r"schedule=.* learns from .*; leave alpha_warmup=0, or"):
        sae.fit(X, codes=codes)
    sae.set_params(schedule=Schedule(warmup=0.5)).fit(X, codes=codes)


@pytest.mark.parametrize("as_codes", [np.asarray, sparse.csr_array, OnDisk])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_known_codes_that_no_encoder_reaches_are_refused(method, as_codes, monkeypatch):
    if as_codes is OnDisk:
        monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 40)  # else it is read at once
    rng = np.random.default_rng(0)
    X, codes = rng.standard_normal((2, 30, 4))
    learn = getattr(SAEEncoder(4, max_iter=1), method)
    with pytest.raises(ValueError, match=r"SAEEncoder: its codes are >= 0, got codes down to -"):
        learn(X, codes=as_codes(codes))
    signed = TopKSAE(4, k=2, positive_code=False, max_iter=1)
    assert getattr(signed, method)(X, codes=as_codes(codes)).transform(X).min() < 0
    with pytest.raises(ValueError, match="or set positive_code=False"):
        getattr(TopKSAE(4, k=2), method)(X, codes=as_codes(codes))


@pytest.mark.parametrize("as_codes", [np.asarray, sparse.csr_array, OnDisk])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_known_codes_that_no_optimum_reaches_are_refused(method, as_codes):
    rng = np.random.default_rng(0)
    X, codes = rng.standard_normal((2, 30, 4))
    coder = GradSparseCoder(4)
    with pytest.raises(ValueError, match=r"GradSparseCoder: its codes are >= 0, .* set positive"):
        getattr(coder, method)(X, codes=as_codes(codes))
    coder.set_params(positive_code=False)
    assert getattr(coder, method)(X, codes=as_codes(codes)).components_.shape == (4, 4)


@pytest.mark.parametrize("as_codes", [np.asarray, sparse.csr_array, OnDisk])
@pytest.mark.parametrize(
    ("dtype", "size"), [(np.float32, 1e-25), (np.float32, 1e25), (np.float64, 1e200)]
)
@pytest.mark.parametrize("factor", [1, 1e-12])  # of X too
def test_known_codes_far_from_the_size_of_the_data_are_refused(as_codes, dtype, size, factor):
    rng = np.random.default_rng(0)
    X, codes = (factor * rng.exponential(size=(2, 30, 4))).astype(dtype)
    far = as_codes((codes.astype(float) * size).astype(dtype))
    message = r"atoms have norm 1, .* codes up to .*e[-+]\d+ where X goes up to .*; scale the codes"
    sae, coder = SAEEncoder(4, max_iter=1, random_state=0), GradSparseCoder(4)
    many = partial(fit_many, sae, param_grid={})
    for learn in (sae.fit, sae.partial_fit, coder.fit, coder.partial_fit, many):
        with pytest.raises(ValueError, match=message):
            learn(X, codes=far)
        learn(X, codes=as_codes(codes))
        with pytest.raises(ValueError, match=message):
            learn(X, codes=far)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e-10), (np.float64, 1e-25)])
def test_small_known_codes_turn_every_atom(dtype, size):
    """As the optimum says: what is left of X beside them is X."""
    rng = np.random.default_rng(0)
    X, codes = rng.exponential(size=(2, 30, 4)).astype(dtype)
    coder = GradSparseCoder(4, fit_intercept=False).fit(X, codes=codes * dtype(size))
    best = codes.T @ X
    best /= np.linalg.norm(best, axis=1, keepdims=True)
    np.testing.assert_allclose(coder.components_, best, rtol=1e-5)


@pytest.mark.parametrize(
    "coder",
    [
        SAEEncoder(4, max_iter=1),
        LISTAEncoder(4, max_iter=1),
        BatchTopKSAE(4, k=2, max_iter=1),
        GradSparseCoder(4),
    ],
    ids=lambda coder: type(coder).__name__,
)
@pytest.mark.parametrize("row", [1, 4321])
def test_one_code_below_zero_among_many_is_refused_whenever_it_comes(coder, row):
    rng = np.random.default_rng(0)
    X, codes = rng.exponential(size=(2, 9000, 4))
    coder = clone(coder).partial_fit(X, codes=codes)
    codes[row, 2] = -1e-9
    for learn in (coder.partial_fit, coder.set_params(warm_start=True).fit, clone(coder).fit):
        with pytest.raises(ValueError, match="its codes are >= 0, got codes down to -1e-09"):
            learn(X, codes=codes)
    assert (coder.transform(X) >= 0).all()


def test_a_sign_that_changes_changes_what_codes_may_come():
    rng = np.random.default_rng(0)
    X, codes = rng.standard_normal((2, 30, 4))
    coder = TopKSAE(4, k=2, max_iter=1, warm_start=True).fit(X, codes=abs(codes))
    coder.set_params(positive_code=False).fit(X, codes=codes)
    with pytest.raises(ValueError, match="its codes are >= 0"):
        coder.set_params(positive_code=True).fit(X, codes=codes)


def test_groups_of_latents_learn_known_codes():
    rng = np.random.default_rng(0)
    codes = np.eye(8)[rng.integers(4, size=200)] + np.eye(8)[rng.integers(4, 8, size=200)]
    X = codes @ rng.standard_normal((8, 12))
    sae = TopKSAE(8, k=2, activation="group_topk", max_iter=200, random_state=0)
    found = sae.fit(X, codes=codes).transform(X)
    assert np.mean((found > 0) == (codes > 0)) > 0.9


@pytest.mark.parametrize("as_codes", [np.asarray, sparse.csr_array, OnDisk])
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e2, 1e9])
@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 2, 60)])
def test_known_codes_that_explain_nothing_are_warned_of(as_codes, size, weights):
    rng = np.random.default_rng(0)
    codes = rng.exponential(size=(60, 4)) * (rng.random((60, 4)) < 0.5)
    X = codes @ np.eye(4, 7)
    near = rng.permuted(codes, axis=1) + 3 * codes  # not of these rows alone
    coder = GradSparseCoder(4, fit_intercept=False)
    message = r"GradSparseCoder: the known codes explain less than 1% .* scale the codes to the siz"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coder.fit(X, sample_weight=weights, codes=as_codes(near / 4))
    with pytest.warns(ConvergenceWarning, match=message):
        coder.fit(X, sample_weight=weights, codes=as_codes(near * size))
    with pytest.warns(ConvergenceWarning, match="score -"):  # farther from X than 0 is
        coder.fit(X, sample_weight=weights, codes=as_codes(2.5 * codes))


def test_a_fit_to_codes_that_explain_nothing_is_told_to_scale_them():
    rng = np.random.default_rng(0)
    X, codes = rng.exponential(size=(2, 60, 4))
    with pytest.warns(ConvergenceWarning, match=r"score -.*; scale the codes to the size of X"):
        SAEEncoder(4, max_iter=2, random_state=0).fit(X, codes=1e4 * codes)


def test_the_largest_number_is_found_in_what_may_not_be_written():
    codes = np.ascontiguousarray(np.random.default_rng(0).normal(size=(30, 4)))
    codes.flags.writeable = False
    for rows in (Rows(codes, "coder"), rows_of(sparse.csr_array(codes), "coder")):
        assert _range_of(rows) == (codes.min(), codes.max())
    assert _range_of(Rows(codes.copy(), "coder")) == (codes.min(), codes.max())


def test_known_codes_may_be_far_below_zero_too():
    rng = np.random.default_rng(0)
    X, codes = rng.exponential(size=(2, 30, 4))
    coder = GradSparseCoder(4, positive_code=False)
    with pytest.raises(ValueError, match="atoms have norm 1"):
        coder.fit(X, codes=-1e40 * codes)
    with pytest.raises(ValueError, match="atoms have norm 1"):
        coder.fit(-1e40 * X, codes=codes)
