"""Data of any size, in float32 too, are fitted as those of size 1 are."""

import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from on_disk import OnDisk
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skamort import (
    BatchTopKSAE,
    GatedSAE,
    GradSparseCoder,
    JumpReLUSAE,
    SAEEncoder,
    TopKSAE,
    _rows,
)
from skamort.datasets import make_sparse_coded_signal
from skamort.estimators import fit_many
from skamort.estimators._base_trained import BaseTrainedEncoder

ENCODERS = [e for e in fast_estimators() if isinstance(e, BaseTrainedEncoder)]
UNITS = [1e-30, 3e12]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(params=ENCODERS, ids=lambda e: type(e).__name__)
def encoder(request):
    return clone(request.param).set_params(n_components=12, max_iter=3, random_state=0)


@pytest.fixture(scope="module")
def signal():
    shape = {"n_samples": 150, "n_components": 12, "n_features": 6, "n_nonzero_coefs": 2}
    X, _, codes = make_sparse_coded_signal(**shape, positive=True, random_state=0)
    return (X + 0.2).astype("f4"), codes.astype("f4")


def in_unit(encoder, unit):
    """Return an encoder whose penalty, if it has one, is for data times a unit."""
    if getattr(encoder, "alpha", "auto") == "auto":
        return clone(encoder)
    power = 2 if isinstance(encoder, JumpReLUSAE) else 1
    return clone(encoder).set_params(alpha=unit**power * encoder.alpha)


def fit(encoder, X, codes):
    return encoder.fit(X)


def fit_with_a_center(encoder, X, codes):
    return encoder.set_params(fit_intercept=True, early_stopping=True).fit(X)


def fit_in_parts(encoder, X, codes):
    for part in np.array_split(X, 2):
        encoder.partial_fit(part)
    return encoder


def fit_again(encoder, X, codes):
    return encoder.set_params(warm_start=True).fit(X).fit(X)


def fit_to_codes(encoder, X, codes):
    return encoder.fit(X, codes=codes, code_loss="squared_error")


def fit_together(encoder, X, codes):
    return fit_many(encoder, X, {}, random_states=range(2))[1]


FITS = [fit, fit_with_a_center, fit_in_parts, fit_again, fit_to_codes, fit_together]


@pytest.mark.parametrize("how", FITS, ids=lambda how: how.__name__)
def test_the_size_of_the_data_changes_nothing_but_the_unit(encoder, signal, how):
    X, codes = signal
    found = how(clone(encoder), X, codes)
    for unit in map(np.float32, UNITS):
        other = how(in_unit(encoder, float(unit)), unit * X, unit * codes)
        assert_allclose(other.components_, found.components_, atol=2e-4)
        assert_allclose(other.intercept_ / unit, found.intercept_, atol=2e-4)
        assert other.score(unit * X) == pytest.approx(found.score(X), abs=1e-3)
        assert_allclose(other.transform(unit * X) / unit, found.transform(X), atol=2e-3)
        losses = np.array(other.loss_curve_) / float(unit) ** 2
        assert_allclose(losses, found.loss_curve_, rtol=1e-3)


@pytest.mark.parametrize("unit", [2.0**-90, 2.0**70])
def test_sparse_codes_have_the_unit_too(signal, unit):
    X = np.float32(unit) * signal[0]
    sae = TopKSAE(12, k=2, max_iter=3, random_state=0).fit(X)
    codes = sae.transform(X)
    assert_array_equal(sae.set_params(sparse_output=True).transform(X).toarray(), codes)


@pytest.mark.parametrize("unit", [2.0**-90, 2.0**70])
def test_data_on_disk_may_have_any_size(monkeypatch, signal, unit):
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 50 * 12)
    sae = TopKSAE(12, k=2, max_iter=3, random_state=0)
    disks = [OnDisk(np.float32(factor) * signal[0]) for factor in (1, unit)]
    one, other = (clone(sae).fit(disk) for disk in disks)
    assert_allclose(other.components_, one.components_, atol=1e-5)
    assert other.score(disks[1]) == pytest.approx(one.score(disks[0]), abs=1e-5)


@pytest.mark.parametrize("remedy", ["resample", "auxk"])
def test_dead_latents_are_looked_after_at_any_size(signal, remedy):
    sae = TopKSAE(60, k=2, max_iter=20, dead_latents=remedy, random_state=0)
    unit = np.float32(1e-15)
    expected = clone(sae).fit(signal[0]).score(signal[0])
    X = unit * signal[0]
    assert sae.fit(X).score(X) == pytest.approx(expected, abs=0.02)


VARIANTS = [
    GatedSAE(),
    SAEEncoder(activation="prolu"),
    JumpReLUSAE(),
    JumpReLUSAE(target_l0=3),
    BatchTopKSAE(k=3),
]


@pytest.mark.parametrize("sae", VARIANTS, ids=repr)
def test_data_of_double_precision_may_have_a_size_beyond_single(signal, sae):
    X, scores = signal[0].astype(float), []
    for unit in (1.0, 2.0**-300, 2.0**300):
        few = clone(sae).set_params(n_components=12, max_iter=3, random_state=0)
        scores.append(few.fit(unit * X).score(unit * X))
    assert scores[0] > 0.1
    assert_allclose(scores[1:], scores[0], rtol=1e-3)


@pytest.mark.parametrize("unit", [1e-170, 1e170])
@pytest.mark.parametrize("target_l0", [None, 3])
def test_a_price_that_no_float_holds_is_refused_by_name(signal, unit, target_l0):
    sae = JumpReLUSAE(12, target_l0=target_l0, max_iter=1, random_state=0)
    with pytest.raises(ValueError, match=r"JumpReLUSAE: alpha, in squared units .* divide X by"):
        sae.fit(unit * signal[0].astype(float))


def test_feature_weights_are_asked_for_in_the_unit_of_the_data(signal):
    unit = np.float32(1e-12)
    seen = []

    def weights(X, y):
        seen.append(X)
        return np.ones(X.shape[1])

    TopKSAE(12, k=2, max_iter=1, feature_weights=weights, random_state=0).fit(unit * signal[0])
    assert_array_equal(seen[0], unit * signal[0])


def test_data_of_ordinary_size_are_not_copied(signal):
    sae = TopKSAE(12, k=2, max_iter=1, random_state=0)
    data = sae._prepare_fit(signal[0], None, None, None, "cosine").data
    assert np.shares_memory(data.tensors[0].numpy(), signal[0])


def test_the_mean_of_rows_near_the_end_of_single_precision(signal):
    X = np.abs(signal[0]).astype(np.float32)
    large = X * np.float32(2.0**126) / X.max()
    one, other = (TopKSAE(12, k=2, max_iter=3, random_state=0).fit(rows) for rows in (X, large))
    assert other.score(large) == pytest.approx(one.score(X), abs=0.01)


FAR = np.random.RandomState(0).randn(80, 6).astype("f4") + 20


@pytest.mark.filterwarnings("error")
def test_a_fit_worse_than_the_mean_of_its_rows_warns():
    far = {"fit_intercept": False, "dict_init": None, "learning_rate": 1e-3}
    sae = TopKSAE(4, k=1, max_iter=500, tol=0.5, random_state=0, **far)
    with pytest.warns(ConvergenceWarning, match="TopKSAE: the fit explains less than 1%"):
        assert sae.fit(FAR).score(FAR) < 0
    with pytest.warns(ConvergenceWarning, match="fit_many: 2 of 2 models explain less"):
        fit_many(sae, FAR, {}, random_states=range(2))
    with pytest.warns(ConvergenceWarning, match="explains less"):
        clone(sae).fit(OnDisk(FAR))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("X", [FAR, np.ones((5, 3)), FAR[:1]], ids=["centered", "constant", "one"])
def test_a_fit_no_worse_does_not(X):
    sae = TopKSAE(4, k=1, max_iter=500, tol=0.5, fit_intercept=True, random_state=0)
    assert sae.fit(X).score(X) >= 0


def fit_known(coder, X, codes):
    return coder.fit(X, codes=codes)


LEARNERS = [
    *((algorithm, fit) for algorithm in ("cd", "fista", "adam")),
    *(("cd", how) for how in (fit_in_parts, fit_again, fit_known)),
]


@pytest.mark.parametrize(("algorithm", "how"), LEARNERS)
def test_dictionary_learning_follows_the_unit(signal, algorithm, how):
    coder = GradSparseCoder(12, algorithm=algorithm, alpha=0.1, max_iter=2, random_state=0)
    coder.set_params(fit_intercept=True, batch_size=32, dict_init="samples")
    X, codes = (values[:64] for values in signal)
    found = how(clone(coder), X, codes)
    # The published descent starts at codes of one size, whatever that of the data.
    atol = 2e-3 if algorithm == "adam" else 1e-6
    for unit in (2.0**-100, 2.0**100):
        A, Z = np.float32(unit) * X, np.float32(unit) * codes
        other = how(in_unit(coder, unit), A, Z)
        assert_allclose(other.components_, found.components_, atol=atol)
        assert_array_equal(other.intercept_ / np.float32(unit), found.intercept_)
        assert_allclose(other.transform(A) / np.float32(unit), found.transform(X), atol=10 * atol)
        assert_allclose(np.array(other.loss_curve_) / unit**2, found.loss_curve_, rtol=1e-3)


@pytest.mark.parametrize("size", [1e-90, 1e150])
def test_dictionary_learning_takes_all_that_float64_holds(size):
    X = np.random.RandomState(0).randn(60, 6)
    coder = GradSparseCoder(8, alpha=0.1, max_iter=3, random_state=0)
    expected = clone(coder).fit(X).score(X)
    assert coder.set_params(alpha=0.1 * size).fit(size * X).score(size * X) == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize("code_loss", ["cosine", "squared_error"])
def test_known_codes_are_learned_alike_in_any_unit(signal, code_loss):
    X, codes = (part.astype(float) for part in signal)
    sae = SAEEncoder(12, fit_intercept=True, max_iter=4, batch_size=64, random_state=0)

    def codes_in(unit):
        known = {"codes": unit * codes, "code_loss": code_loss}
        models = [clone(sae).fit(unit * X, **known)]
        models += fit_many(sae, unit * X, {"tol": [1e-4, 1e-5]}, **known)
        return np.stack([model.transform(unit * X) for model in models]) / unit

    expected = codes_in(1)
    # The eps of the squared error is below the unit of all gradients, not that of each.
    close = {"rtol": 0, "atol": 1e-10 if code_loss == "cosine" else 1e-5}
    for unit in (1e-6, 4e-3, 1e4):
        assert_allclose(codes_in(unit), expected, **close)


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e160, 1e300])
@pytest.mark.parametrize("coder", [GradSparseCoder(8), SAEEncoder(8), TopKSAE(8, k=2)], ids=repr)
def test_data_whose_squares_no_float_holds_are_refused(coder, unit):
    X = np.random.RandomState(0).randn(30, 4)
    with pytest.raises(ValueError, match=r"X is of size .*e.*, the squares .*; divide X by"):
        clone(coder).fit(unit * X)
