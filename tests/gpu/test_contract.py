"""What every estimator promises holds on a GPU, with the numbers of the CPU."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skamort import (
    BatchTopKSAE,
    GradSparseCoder,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
)
from skamort._device import tf32_products
from skamort.estimators import fit_many
from skamort.inspection import compare_encoders
from skamort.metrics import amortization_gap
from skamort.modules import ReLU
from skamort.solvers import SOLVERS, duality_gap, sparse_encode, sparse_encode_path
from skamort.training import ResampleDead, Schedule, TeachDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def on_cpu(estimator):
    return clone(estimator).set_params(device="cpu")


def assert_same(ours, theirs, X, atol=1e-6):
    """Two fitted estimators have the same atoms and codes."""
    assert_allclose(ours.components_, theirs.components_, atol=atol)
    assert_allclose(ours.transform(X), theirs.transform(X), atol=atol)


def test_fit(estimator, X):
    theirs = on_cpu(estimator).fit(X)
    assert_same(estimator.fit(X), theirs, X)
    assert estimator._torch_dtype_and_device()[1].type == "cuda"
    assert estimator.score(X) == pytest.approx(theirs.score(X), abs=1e-6)
    if hasattr(estimator, "loss_curve_"):
        assert estimator.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-4)
    codes = estimator.set_params(sparse_output=True).transform(X)
    assert sparse.issparse(codes)
    assert_allclose(codes.toarray(), theirs.transform(X), atol=1e-6)


def test_partial_fit(estimator, X):
    if not hasattr(estimator, "partial_fit"):
        return
    ours, theirs = estimator, on_cpu(estimator)
    for chunk in np.array_split(X, 2):
        ours.partial_fit(chunk)
        theirs.partial_fit(chunk)
    assert_same(ours, theirs, X)


BY_FISTA = {"algorithm": "fista", "transform_algorithm": "fista", "transform_tol": 1e-7}


@pytest.mark.parametrize(
    "model", [SAEEncoder(12, max_iter=2), GradSparseCoder(12, max_iter=2, **BY_FISTA)]
)
def test_memory_map(model, X, tmp_path, monkeypatch):
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    monkeypatch.setattr("skamort._rows.BLOCK_ELEMENTS", 12 * 20)  # else it would be read at once
    model = clone(model).set_params(device="cuda", random_state=0)
    assert_same(model.fit(stored), on_cpu(model).fit(stored), X)


def test_known_codes_and_known_dictionary(encoder, X):
    encoder.set_params(max_iter=1)
    known = np.maximum(np.random.default_rng(1).standard_normal((60, 12)), 0)
    assert_same(encoder.fit(X, codes=known), on_cpu(encoder).fit(X, codes=known), X)
    dictionary = np.random.default_rng(2).standard_normal((12, 6))
    encoder = clone(encoder).set_params(dictionary=dictionary)
    assert_same(encoder.fit(X), on_cpu(encoder).fit(X), X)


SETTINGS = {
    "schedule": {"schedule": Schedule(warmup=0.2, decay=0.4)},
    "resample": {"dead_latents": ResampleDead(window=60)},
    "auxk": {"dead_latents": TeachDead(window=60)},
    "early stopping": {"early_stopping": True},
    "clip": {"max_grad_norm": 0.1},
    "mean": {"fit_intercept": "mean", "dict_init": "samples"},
    "median": {"fit_intercept": "geometric_median", "dict_init": "k-means++"},
    "weights": {"feature_weights": "variance"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    "model",
    [TopKSAE(12, k=2), TopKSAE(96, k=2), BatchTopKSAE(96, k=2), SAEEncoder(12)],
    ids=["topk", "wide", "batch", "l1"],
)
def test_settings(model, settings, X):
    if "dead_latents" in settings and isinstance(model, SAEEncoder):
        settings = {"dead_latents": ResampleDead(window=60)}
    model = clone(model).set_params(max_iter=2, batch_size=16, random_state=0, **settings)
    ours = clone(model).set_params(device="cuda").fit(X)
    assert_same(ours, on_cpu(model).fit(X), X, atol=1e-5)


def test_k_sparse_learning(X):
    coder = GradSparseCoder(16, n_nonzero_coefs=2, max_iter=2, batch_size=30, tol=1)
    ours = coder.set_params(random_state=0, device="cuda").fit(X).partial_fit(X)
    assert_same(ours, on_cpu(coder).fit(X).partial_fit(X), X, atol=1e-5)


def test_half_precision(encoder, X):
    X = X.astype(np.float32)
    ours = encoder.set_params(precision="bfloat16").fit(X)
    assert_allclose(ours.components_, on_cpu(encoder).fit(X).components_, atol=0.1)


def tf32_is_on():
    matmul = torch.backends.cuda.matmul
    new = getattr(matmul, "fp32_precision", None)
    return matmul.allow_tf32 if new is None else new == "tf32"


def test_tf32_ends_with_the_last_of_the_threads_that_ask_for_it():
    first, second = tf32_products(), tf32_products()
    for context, enters, on in [(first, 1, 1), (second, 1, 1), (first, 0, 1), (second, 0, 0)]:
        context.__enter__() if enters else context.__exit__(None, None, None)
        assert tf32_is_on() == on


def test_tf32_is_on_in_products_alone(X, monkeypatch):
    seen, forward = [], ReLU.forward
    spy = lambda self, values: seen.append(tf32_is_on()) or forward(self, values)  # noqa: E731
    monkeypatch.setattr(ReLU, "forward", spy)
    for device, known in (("cuda", True), ("cpu", False)):
        seen.clear()
        SAEEncoder(4, max_iter=1, precision="tf32", device=device).fit(X)
        assert (True in seen) == known
        assert not tf32_is_on()


def test_resume(encoder, X, tmp_path):
    whole = clone(encoder.set_params(schedule=None, max_iter=2)).fit(X)
    encoder.set_params(checkpoint=str(tmp_path), max_iter=1).fit(X)
    ours = encoder.set_params(max_iter=whole.max_iter).fit(X, resume=True)
    assert_same(ours, whole, X)


DYING = TopKSAE(
    24, dict_init=None, fit_intercept=False, batch_size=16, dead_latents=ResampleDead(40)
)
# Models that train together, and some that are fitted alone after a start on the host.
MANY = {
    "k": (TopKSAE(12), {"k": [1, 2]}),
    "auto": (SAEEncoder(12), {"alpha": ["auto", 0.1], "fit_intercept": [True, False]}),
    "held out": (SAEEncoder(12, early_stopping=True, alpha=0.1), {"tol": [0, 10]}),
    "scores": (WeightedSAE(12), {"weight_exponent": [0.5, 1.0]}),
    "hidden": (MLPEncoder(12, hidden_layer_sizes=(8,)), {"alpha": [0.1, 0.2]}),
    "revived": (DYING, {"k": [1, 2]}),
    "leaving": (clone(DYING).set_params(early_stopping=True), {"max_iter": [4, 2, 5], "k": [1, 2]}),
    "random": (SAEEncoder(12, dict_init=None, positive_dict=True), {"alpha": [0.1, 0.2]}),
    "alone": (LISTAEncoder(12), {"alpha": [0.1, 0.2]}),
}


@pytest.mark.parametrize("few", [16, 4096])
@pytest.mark.parametrize(("model", "grid"), MANY.values(), ids=MANY)
def test_fit_many(model, grid, few, X, monkeypatch):
    monkeypatch.setattr("skamort._rows._FEW", few)
    model = clone(model).set_params(max_iter=3, random_state=0, device="cuda")
    for ours in fit_many(model, X, grid):
        theirs = on_cpu(ours).fit(X)
        assert_same(ours, theirs, X)
        assert_allclose(ours.latent_frequency_, theirs.latent_frequency_)
        assert_allclose(ours.loss_curve_, theirs.loss_curve_)
        assert ours._dictionary.is_cuda
        assert_same(ours.partial_fit(X), theirs.partial_fit(X), X)


def test_fit_many_of_known_codes(X):
    codes = np.maximum(X @ np.random.default_rng(1).standard_normal((6, 6)), 0)
    model = SAEEncoder(dictionary=np.eye(6), max_iter=3, random_state=0, device="cuda")
    for ours in fit_many(model, X, {"learning_rate": [1e-3, 1e-2]}, codes=codes):
        assert_same(ours, on_cpu(ours).fit(X, codes=codes), X)


def test_fit_many_on_two_devices(gpu, X):
    grid = {"device": ["cpu", "cuda"]}
    ours, theirs = fit_many(SAEEncoder(12, max_iter=3, random_state=0), X, grid)
    assert gpu is None or gpu.operators
    assert_same(ours, theirs, X)
    assert theirs._dictionary.is_cuda


@pytest.mark.parametrize(
    ("model", "largest"), [(SAEEncoder(12), 12 * 6), (MLPEncoder(12, hidden_layer_sizes=9), 9 * 9)]
)
@pytest.mark.parametrize("too_large", [False, True])
def test_large_models_start_on_the_gpu(model, largest, too_large, X, monkeypatch):
    monkeypatch.setattr("skamort.estimators._host_rows._MOST_NUMBERS", largest - too_large)
    model = clone(model).set_params(max_iter=2, device="cuda")
    for ours in fit_many(model, X, {}, [0, 1]):
        assert ours.net_.device == ("cuda:0" if too_large else "cpu")
        assert_same(ours, on_cpu(ours).fit(X), X)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("algorithm", SOLVERS)
def test_solvers(algorithm, positive, X):
    dictionary = np.random.default_rng(3).standard_normal((12, 6))
    asked = {"algorithm": algorithm, "positive": positive}
    asked |= {"n_nonzero_coefs": 2} if SOLVERS[algorithm].is_k_sparse else {"alpha": 0.3}
    if algorithm == "topk_refined":
        asked["init"] = np.abs(sparse_encode(X, dictionary, alpha=0.5))
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        ours = sparse_encode(torch.tensor(X).cuda(), dictionary, **asked)
        theirs = sparse_encode(X, dictionary, engine="torch", **asked)
    assert ours.is_cuda
    assert_allclose(ours.cpu().numpy(), theirs, atol=1e-5)
    gap = duality_gap(torch.tensor(X).cuda(), ours, dictionary, alpha=0.3, positive=positive)
    assert_allclose(
        gap.cpu().numpy(),
        duality_gap(X, theirs, dictionary, alpha=0.3, positive=positive),
        atol=1e-4,
    )


def test_path(X):
    X = X[:15]
    dictionary = np.random.default_rng(3).standard_normal((12, 6))
    asked = {"algorithm": "fista", "tol": 1e-8, "alphas": [0.5, 0.3, 0.1]}
    ours = sparse_encode_path(torch.tensor(X).cuda(), dictionary, **asked)
    theirs = sparse_encode_path(X, dictionary, **asked)
    for our, their in zip(ours, theirs, strict=True):
        our = our.cpu().numpy() if isinstance(our, torch.Tensor) else our
        assert_allclose(our, their, atol=1e-5)


def test_metrics(gpu, X):
    X = X[:15]
    models = {
        "SAE": SAEEncoder(12, max_iter=3, random_state=0, device="cuda").fit(X),
        "coder": GradSparseCoder(12, max_iter=3, random_state=0, device="cuda").fit(X),
    }
    ours = amortization_gap(models["SAE"], X, alpha=0.1)
    theirs = amortization_gap(on_cpu(models["SAE"]).fit(X), X, alpha=0.1)
    for name in ("objective", "best_objective", "lower_bound"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-3)
    assert gpu is None or any("_cd_torch" in place for _, place in gpu.operators)
    assert len(compare_encoders(models, X, X, alpha=0.1)) == 2


def test_ksparse_gap(gpu, X):
    model = TopKSAE(12, k=2, max_iter=3, random_state=0, device="cuda").fit(X)
    ours, theirs = (amortization_gap(m, X[:15]) for m in (model, on_cpu(model).fit(X)))
    for name in ("objective_samples", "best_objective_samples", "max_l2_samples"):
        assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-6)
    assert ours.lower_bound == pytest.approx(theirs.lower_bound, rel=0.01)  # a search of its own
    assert gpu is None or any("_exchange_torch" in place for _, place in gpu.operators)
