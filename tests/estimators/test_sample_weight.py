"""Weights of samples: what they mean, where they act, and what is refused."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from on_disk import OnDisk
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import DictionaryLearning
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import (
    AmortizedCoder,
    BatchTopKSAE,
    GradSparseCoder,
    ITOCoder,
    JumpReLUSAE,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
    _rows,
)
from skamort._rows import Rows
from skamort._sample_weight import scaled_to_mean_one
from skamort.estimators import fit_many
from skamort.estimators._center import geometric_median
from skamort.estimators._dictionary import drawn_distinct_rows, drawn_rows
from skamort.metrics import fraction_variance_unexplained
from skamort.training import ReconstructionLoss, _data

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 8)) + 0.5
WEIGHTS = RNG.integers(0, 4, 60).astype(float)
REPEATED = np.repeat(np.arange(60), WEIGHTS.astype(int))
CODES = RNG.random((60, 12)) * (RNG.random((60, 12)) < 0.3)
FOLDS = np.where(np.arange(60) < 20, 0, -1)
QUICK = {"n_components": 12, "max_iter": 8, "tol": 0.0, "learning_rate": 0.01, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TRAINED = {
    "SAE": SAEEncoder(fit_intercept=True, alpha=0.2),
    "median": SAEEncoder(fit_intercept="geometric_median"),
    "TopK": TopKSAE(k=3, dead_latents="resample"),
    "BatchTopK": BatchTopKSAE(k=2),
    "Multi-TopK": TopKSAE(k=2, multi_topk=True),
    "TopK in stages": TopKSAE(k=2, n_stages=2),
    "sparse TopK": TopKSAE(k=1, n_components=40, dict_init=None),
    "JumpReLU": JumpReLUSAE(alpha=0.05),
    "LISTA": LISTAEncoder(alpha=0.2),
    "MLP": MLPEncoder(alpha=0.2, hidden_layer_sizes=(8,)),
    "Weighted": WeightedSAE(alpha=0.1),
    "clipped": SAEEncoder(max_grad_norm=0.1, precision="full"),
}


def quick(estimator):
    width = {} if estimator.n_components is None else {"n_components": estimator.n_components}
    return clone(estimator).set_params(**{**QUICK, **width})


def assert_same_model(one, other, **tolerance):
    for name, value in one.net_.module_.state_dict().items():
        assert_allclose(other.net_.module_.state_dict()[name], value, **tolerance)


@pytest.mark.parametrize("estimator", TRAINED.values(), ids=TRAINED)
def test_integers_stand_for_equal_rows(estimator):
    """Up to rounding, where one batch holds all rows; only the ratios of weights matter."""
    one = quick(estimator).fit(X, sample_weight=3.7 * WEIGHTS)
    other = quick(estimator).fit(X[REPEATED])
    assert_same_model(one, other, rtol=1e-6, atol=1e-8)
    assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-8)
    assert_allclose(one.score(X, sample_weight=WEIGHTS), other.score(X[REPEATED]))
    assert one.score(X) != other.score(X[REPEATED])
    fvu = fraction_variance_unexplained(
        X, one.inverse_transform(one.transform(X)), sample_weight=WEIGHTS
    )
    assert_allclose(one.score(X, sample_weight=WEIGHTS), 1 - fvu)


@pytest.mark.parametrize("code_loss", ["cosine", "squared_error"])
def test_integers_stand_for_equal_rows_of_known_codes(code_loss):
    one = quick(SAEEncoder()).fit(X, sample_weight=WEIGHTS, codes=CODES, code_loss=code_loss)
    other = quick(SAEEncoder()).fit(X[REPEATED], codes=CODES[REPEATED], code_loss=code_loss)
    assert_same_model(one, other, rtol=1e-6, atol=1e-8)


CODERS = {
    "cd": GradSparseCoder(algorithm="cd", alpha=0.2),
    "fista": GradSparseCoder(algorithm="fista", alpha=0.2, positive_code=False),
    "two starts": GradSparseCoder(alpha=0.2, n_init=2),
    "ITO": ITOCoder(estimator=GradSparseCoder(12, max_iter=6, random_state=0)),
    "ITO of SAE": ITOCoder(estimator=SAEEncoder(12, max_iter=3, random_state=0)),
    "amortized": AmortizedCoder(
        teacher=GradSparseCoder(6, max_iter=6), encoder=SAEEncoder(max_iter=4), random_state=0
    ),
}


@pytest.mark.parametrize("coder", CODERS.values(), ids=CODERS)
def test_integers_stand_for_equal_rows_of_coders(coder):
    if isinstance(coder, GradSparseCoder):
        coder = clone(coder).set_params(n_components=6, random_state=0)
        coder.set_params(max_iter=coder.max_iter or 6)
    one = clone(coder).fit(X, sample_weight=3.7 * WEIGHTS)
    other = clone(coder).fit(X[REPEATED])
    assert_allclose(one.components_, other.components_, rtol=1e-5, atol=1e-6)
    assert_allclose(one.transform(X), other.transform(X), rtol=1e-4, atol=1e-5)
    assert np.abs(one.components_ - clone(coder).fit(X).components_).max() > 1e-3
    if isinstance(coder, GradSparseCoder):
        assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_atoms_drawn_anew_are_the_same_for_equal_rows_in_any_order(signed):
    """Of 15 rows for 30 atoms many are unused, and some would end where others are."""
    coder = GradSparseCoder(30, max_iter=25, positive_code=not signed, random_state=1)
    rows, weights = X[:15], np.maximum(WEIGHTS[:15], 1)
    order = np.random.default_rng(1).permutation(15)
    one = clone(coder).fit(rows[order], sample_weight=weights[order])
    other = clone(coder).fit(rows.repeat(weights.astype(int), axis=0))
    assert_allclose(one.components_, other.components_, rtol=1e-6, atol=1e-8)
    assert_allclose(one.transform(X), other.transform(X), rtol=1e-4, atol=1e-6)
    cosines = np.triu(one.components_ @ one.components_.T, 1)
    assert (np.abs(cosines) if signed else cosines).max() < 1 - 1e-13


def test_rows_too_many_to_compare_are_drawn_by_themselves(monkeypatch):
    shares, rows = torch.rand(60), torch.from_numpy(X)
    by_themselves = drawn_rows(shares, 5, torch.Generator().manual_seed(0))
    for elements in (60 * 8, 60):
        monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", elements)
        drawn = drawn_distinct_rows(rows, shares, 5, torch.Generator().manual_seed(0))
        assert_array_equal(drawn, by_themselves)


def test_equal_rows_are_drawn_once():
    rows = torch.tensor([[1.0, torch.nan], [2.0, 0.0], [1.0, torch.nan], [1.0, 0.0], [2.0, 0.0]])
    drawn = drawn_distinct_rows(rows, torch.ones(5), 5, torch.Generator().manual_seed(0))
    assert sorted(row.nan_to_num(9).tolist() for row in rows[drawn]) == [[1, 0], [1, 9], [2, 0]]


def test_integers_stand_for_equal_rows_of_the_published_descent():
    """Up to Adam's epsilon, which a larger sum of gradients outweighs more."""
    coder = GradSparseCoder(6, alpha=0.1, algorithm="adam", max_iter=200, random_state=0)
    coder.set_params(learning_rate=0.1)
    one, other, plain = coder.fit(X, None, WEIGHTS), clone(coder).fit(X[REPEATED]), clone(coder)
    assert np.abs(one.components_ - other.components_).max() < 0.1
    assert np.abs(one.components_ - plain.fit(X).components_).max() > 0.5
    assert_allclose(one.loss_curve_[-1], other.loss_curve_[-1], rtol=0.01)


def test_known_codes_and_chunks_of_a_sparse_coder():
    coder = GradSparseCoder(12, random_state=0)
    for method in ("fit", "partial_fit"):
        one = getattr(clone(coder), method)(X, sample_weight=WEIGHTS, codes=CODES)
        other = getattr(clone(coder), method)(X[REPEATED], codes=CODES[REPEATED])
        assert_allclose(one.components_, other.components_, rtol=1e-6)
    coder.set_params(n_components=4, batch_size=None)
    one = clone(coder).partial_fit(X, sample_weight=WEIGHTS).partial_fit(X[:9], None, np.full(9, 4))
    other = clone(coder).partial_fit(X[REPEATED]).partial_fit(np.repeat(X[:9], 4, axis=0))
    assert_allclose(one.components_, other.components_, rtol=1e-6)
    assert_allclose(one.loss_curve_, other.loss_curve_)
    assert_array_equal(one._statistics.idle, other._statistics.idle)


def test_batches_of_a_sparse_coder_have_the_weights_of_their_rows(monkeypatch):
    """The objective of a pass in which nothing moves is the weighted mean; also from a disk."""
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 12 * 20)
    for rows in (X, OnDisk(X)):
        coder = GradSparseCoder(12, batch_size=7, dictionary=None, max_iter=1, random_state=0)
        one = clone(coder).fit(rows, sample_weight=WEIGHTS)
        again = clone(coder).fit(rows, sample_weight=5 * WEIGHTS)
        assert_allclose(one.components_, again.components_)
        assert np.abs(one.components_ - clone(coder).fit(rows).components_).max() > 1e-3


def test_an_inner_estimator_that_takes_no_weights_says_so():
    learner = DictionaryLearning(4, max_iter=1)
    for coder in (ITOCoder(estimator=learner), AmortizedCoder(teacher=learner)):
        with pytest.raises(TypeError, match=r"DictionaryLearning\.fit takes no sample_weight"):
            coder.fit(X, sample_weight=WEIGHTS)


def test_augmented_samples_are_drawn_in_proportion_to_weights():
    few = np.where(np.arange(60) == 7, 1.0, 0.0)
    coder = AmortizedCoder(
        dictionary=np.eye(8), encoder=SAEEncoder(max_iter=1), n_augmented=4, random_state=0
    )
    coder.fit(X, sample_weight=few)
    rows, codes = Rows(X, "AmortizedCoder"), sparse.csr_array(np.maximum(X, 0))
    drawn = coder._augment(rows, codes, few, np.random.RandomState(0))
    assert_array_equal(np.sign(drawn), np.tile(np.sign(X[7]), (4, 1)))


def test_metadata_routing_brings_weights_to_fit_and_score():
    sae = quick(SAEEncoder(max_iter=2))
    with config_context(enable_metadata_routing=True):
        sae.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(sae, {"alpha": [0.2]}, cv=PredefinedSplit(FOLDS))
        search.fit(X, sample_weight=WEIGHTS)
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(scaler, clone(sae)).fit(X, sample_weight=WEIGHTS)
    train, test = ((X[rows], None, WEIGHTS[rows]) for rows in (FOLDS < 0, FOLDS == 0))
    assert_allclose(search.best_score_, sae.set_params(alpha=0.2).fit(*train).score(*test))
    scaled = StandardScaler().fit(X, None, WEIGHTS).transform(X)
    sae.set_params(**pipeline[-1].get_params()).fit(scaled, None, WEIGHTS)
    assert_allclose(pipeline[-1].components_, sae.components_)


def test_losses_told_are_weighted_means():
    """Of the rows trained on and of those held out, whatever the weights of each part add up to."""
    sae = quick(SAEEncoder(alpha=0.3, batch_size=16, early_stopping=True))
    sae.set_params(max_iter=2, learning_rate=1e-12).fit(X, sample_weight=WEIGHTS)
    codes = sae.transform(X)
    losses = 0.5 * np.square(X - sae.inverse_transform(codes)).sum(1) + 0.3 * codes.sum(1)
    seed = sae.net_.generator.initial_seed()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    for curve, rows in [(sae.loss_curve_, order[6:]), (sae.validation_loss_curve_, order[:6])]:
        assert_allclose(curve[0], np.average(losses[rows], weights=WEIGHTS[rows]))
    assert sae.net_.criterion_.sample_weight is None  # of no batch


def test_partial_fit_takes_weights_as_they_are():
    """Twice the weight is twice the gradient, in the units in which losses are told."""
    heavy = quick(SAEEncoder()).partial_fit(X, sample_weight=np.full(60, 2.0))
    plain = quick(SAEEncoder()).partial_fit(X, sample_weight=1)
    assert_allclose(heavy.loss_curve_, plain.loss_curve_)
    moments = [sae.net_.optimizer_.state[sae._dictionary]["exp_avg"] for sae in (heavy, plain)]
    assert_allclose(moments[0], 2 * moments[1])


@pytest.mark.parametrize("known", [{}, {"codes": CODES}], ids=["", "codes"])
def test_rows_on_disk(known, monkeypatch):
    """A batch of several chunks, read one at a time, has the weights of its rows."""
    sae = quick(SAEEncoder(fit_intercept=True, alpha=0.2, batch_size=60))
    one = clone(sae).fit(X, sample_weight=WEIGHTS, **known)
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 12 * 60)
    monkeypatch.setattr(_data, "_READS_PER_BUFFER", 5)
    other = clone(sae).fit(OnDisk(X, chunks=(7, 8)), sample_weight=WEIGHTS, **known)
    assert_same_model(one, other, rtol=1e-9, atol=1e-12)
    assert_allclose(other.score(OnDisk(X), sample_weight=WEIGHTS), one.score(X, None, WEIGHTS))


def test_many_at_once_are_alone():
    models = fit_many(quick(SAEEncoder()), X, {"alpha": [0.1, 0.3]}, sample_weight=WEIGHTS)
    for model in models:
        alone = clone(model).fit(X, sample_weight=WEIGHTS)
        assert_array_equal(model.components_, alone.components_)


@pytest.mark.parametrize("start", ["samples", "k-means++"])
def test_random_starts_are_rows_that_weigh_something(start):
    generator = torch.Generator().manual_seed(0)
    few = torch.zeros(60, dtype=torch.float64)
    few[[3, 17, 40]] = torch.tensor([1.0, 1.0, 1e9], dtype=torch.float64)
    drawn = drawn_rows(few, 12, generator).tolist()
    assert drawn[0] == 40
    assert sorted(drawn) == [3, 17, 40]
    sae = SAEEncoder(3, dict_init=start, fit_intercept=False, learning_rate=1e-12, max_iter=1)
    atoms = sae.fit(X, sample_weight=few).components_
    rows = X[[3, 17, 40]] / np.linalg.norm(X[[3, 17, 40]], axis=1, keepdims=True)
    assert_allclose(sorted(atoms[:, 0]), sorted(rows[:, 0]))


def test_the_geometric_median_is_pulled_by_weights():
    rows = torch.from_numpy(X)
    weighted = geometric_median(rows, torch.from_numpy(WEIGHTS), tol=1e-9)
    assert_allclose(weighted, geometric_median(rows[REPEATED], tol=1e-9), rtol=1e-6)
    alone = torch.zeros(60, dtype=torch.float64)
    alone[5] = 2.0
    assert_array_equal(geometric_median(rows, alone), rows[5])


def test_feature_weights_see_rows_that_weigh_something():
    y = RNG.integers(0, 3, 60)
    keep = WEIGHTS > 0
    sae = quick(WeightedSAE(feature_weights="consistency", max_iter=1))
    one = clone(sae).fit(X, y, WEIGHTS).feature_weights_
    assert_array_equal(one, clone(sae).fit(X[keep], y[keep]).feature_weights_)
    assert (one != clone(sae).fit(X, y).feature_weights_).any()


class Deaf(ReconstructionLoss):
    """Knows no weights of samples."""

    def equation(self, module, X):
        X_hat, codes = module(X)
        return {"error": self.error(X_hat - X)}, codes


class DeafSAE(SAEEncoder):
    """Has that loss."""

    def _make_loss(self, feature_weights):
        return Deaf(self.alpha_, feature_weights)


def test_a_loss_that_knows_no_weights_is_given_none():
    quick(DeafSAE()).fit(X)
    with pytest.raises(ValueError, match="Deaf knows no weights of samples"):
        quick(DeafSAE()).fit(X, sample_weight=WEIGHTS)


def test_checkpoints_know_the_weights(tmp_path):
    sae = quick(TopKSAE(checkpoint=str(tmp_path), batch_size=20, schedule=None))
    whole = clone(sae).set_params(checkpoint=None).fit(X, sample_weight=WEIGHTS)
    clone(sae).set_params(max_iter=3).fit(X, sample_weight=WEIGHTS)
    other = WEIGHTS.copy()
    other[[1, 2]] = other[[2, 1]] + 1
    for weights in (other, None):
        with pytest.raises(ValueError, match="another run"):
            clone(sae).fit(X, sample_weight=weights, resume=True)
    resumed = clone(sae).fit(X, sample_weight=WEIGHTS, resume=True)
    assert_array_equal(resumed.components_, whole.components_)


BAD = {
    "negative": (-WEIGHTS, "must be finite, >= 0 and not all zero, got values from -3 to"),
    "NaN": (np.where(WEIGHTS == 0, np.nan, WEIGHTS), "must be finite"),
    "infinite": (np.where(WEIGHTS == 0, np.inf, WEIGHTS), "must be finite"),
    "zeros": (np.zeros(60), "not all zero, got values from 0 to 0"),
    "too few": (WEIGHTS[1:], r"shape \(n_samples,\) = \(60,\), got \(59,\)"),
    "a column": (WEIGHTS[:, None], r"got \(60, 1\)"),
    "texts": (["much"] * 60, "must hold numbers, got texts"),
    "a word": ("balanced", "must hold numbers, got 'balanced'; pass an array"),
}


@pytest.mark.parametrize(("weights", "message"), BAD.values(), ids=BAD)
def test_bad_weights_are_refused(weights, message):
    sae = quick(SAEEncoder(max_iter=1)).fit(X)
    for method in (sae.score, sae.partial_fit, sae.fit):
        with pytest.raises((TypeError, ValueError), match=f"SAEEncoder: .*weight.* {message}"):
            method(X, sample_weight=weights)
    with pytest.raises((TypeError, ValueError), match=message):
        fraction_variance_unexplained(X, X, sample_weight=weights)


@pytest.mark.parametrize("weights", [[1e-320, 3e-320], [1e308, 1.7e308], [1, 3]], ids=str)
def test_weights_of_any_size_have_the_mean_one(weights):
    assert_allclose(scaled_to_mean_one(np.array(weights)).mean(), 1)
