import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from skamort import (
    AmortizedCoder,
    GradSparseCoder,
    ITOCoder,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
)
from skamort.datasets import make_published_signal
from skamort.metrics import flops
from skamort.solvers import sparse_encode

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N, M, SAMPLES, EPOCHS, N_STEPS = 16, 8, 96, 3, 9
TRAINED = [
    SAEEncoder(),
    MLPEncoder(hidden_layer_sizes=(24, 12)),
    LISTAEncoder(n_layers=1),
    LISTAEncoder(n_layers=4),
    TopKSAE(k=3),  # dense: three of sixteen are too many for the sparse products
]
X, D, Z = make_published_signal(n_samples=SAMPLES)


def counted(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def trained(encoder, *, codes=None, **params):
    encoder.set_params(n_components=N, max_iter=EPOCHS, batch_size=32, **params)
    return encoder.fit(X, codes=codes)


@pytest.mark.parametrize("encoder", TRAINED, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("scenario", ["codes", "dictionary", "neither", "intercept"])
def test_trained_encoders_take_what_torch_counts(encoder, scenario):
    params = {"dictionary": D if scenario == "dictionary" else None}
    params |= {"fit_intercept": scenario == "intercept"}
    codes = Z if scenario == "codes" else None
    trained(encoder, codes=codes, **params)
    assert counted(lambda: encoder.transform(X)) == flops(encoder, SAMPLES)
    expected = flops(encoder, SAMPLES, mode="training")
    # Going on from there: what a fit does before its first step is not training.
    measured = counted(lambda: encoder.set_params(warm_start=True).fit(X, codes=codes))
    encoder.set_params(warm_start=False)
    # Whether it gives finite numbers, and whether these explain its rows.
    measured -= 2 * (flops(encoder, SAMPLES) + SAMPLES * 2 * M * N)
    if scenario == "codes":  # their scale is matched after the last step
        measured -= flops(encoder, SAMPLES)
    if scenario == "intercept" and isinstance(encoder.net_.module_.encoder, nn.Linear):
        measured -= N_STEPS * 2 * M * N  # one product of a vector a step, not one a sample
    assert measured == expected


def test_gradient_descent_on_codes_takes_what_torch_counts(monkeypatch):
    known = {"alpha": 0.1, "fit_intercept": False}  # to find out about the data is not training
    coder = GradSparseCoder(N, algorithm="adam", max_iter=5, random_state=0, **known)
    monkeypatch.setattr("skamort.estimators._grad_sparse_coder.warn_of_codes", lambda *args: None)
    measured = counted(lambda: coder.fit(X)) - 2 * M * N  # whether a first atom sees a row
    assert measured == flops(coder, SAMPLES, mode="training")


def test_published_formulas():
    """The published counts of the base case: 40,000 steps on 1024 samples."""
    steps = 1024 * 40_000 / EPOCHS
    sae = trained(SAEEncoder(), dictionary=None, fit_intercept=False)
    published = {"formula": "published", "mode": "training"}
    assert steps * flops(sae, 1, **published) == pytest.approx(7.1e10, rel=0.01)
    for width, count in [(32, 2.3e11), (256, 1.6e12)]:
        mlp = trained(MLPEncoder(hidden_layer_sizes=width))
        assert steps * flops(mlp, 1, **published) == pytest.approx(count, rel=0.05)
    assert flops(sae, 10, formula="published") == 10 * (4 * M * N + N)
    ito = ITOCoder(dictionary=D).fit(X)
    iteration = 4 * M * N + 2 * M + 11 * N
    assert flops(ito, 2, n_iter=7, formula="published") == 2 * (M * N + N + 7 * iteration)
    coder = GradSparseCoder(N, algorithm="adam", max_iter=5, random_state=0).fit(X)
    assert 8000 * flops(coder, 1024, **published) == pytest.approx(8.26e10, rel=0.001)
    assert flops(coder, 1024, n_iter=10_000, formula="published") == 7209107456


def test_gradient_steps_bound_rounds_of_coordinate_descent():
    shared = {"alpha": 0.05, "positive": True, "tol": 1e-4, "return_info": True}
    codes, rounds = sparse_encode(X, D, algorithm="cd", **shared)
    _, steps = sparse_encode(X, D, algorithm="fista", **shared)
    # A round refreshes the correlations from the non-zeros, by rows of the Gram matrix.
    refreshes = 2 * M * N + (rounds.n_iter * 2 * N * (codes > 0).sum(1)).mean()
    bound = flops(ITOCoder(dictionary=D).fit(X), 1, n_iter=steps.n_iter.mean())
    assert refreshes < bound


def test_every_start_costs():
    coder = GradSparseCoder(N, n_init=3, max_iter=5, random_state=0).fit(X)
    assert coder.n_iter_all_starts_ == 15
    one = GradSparseCoder(N, max_iter=5, random_state=0).fit(X)
    cost = {"mode": "training", "n_iter": 2}
    assert flops(coder, SAMPLES, **cost) == 3 * flops(one, SAMPLES, **cost)


def test_parts_add_up():
    encoder = SAEEncoder(max_iter=EPOCHS)
    coder = AmortizedCoder(
        teacher=GradSparseCoder(N, max_iter=5), encoder=encoder, n_augmented=4, random_state=0
    ).fit(X)
    assert flops(coder, SAMPLES) == flops(coder.encoder_, SAMPLES)
    assert flops(coder, SAMPLES, mode="training", n_iter=9) == (
        flops(coder.teacher_, SAMPLES, mode="training", n_iter=9)
        + flops(coder.teacher_, SAMPLES + 4, n_iter=9)
        + flops(coder.encoder_, SAMPLES + 4, mode="training")
    )
    sae = trained(SAEEncoder(), dictionary=None)
    ito = ITOCoder(estimator=sae).fit(X)
    assert flops(ito, SAMPLES, n_iter=0) == flops(sae, SAMPLES) + SAMPLES * 2 * M * N
    assert flops(ito, 1, mode="training") == flops(sae, 1, mode="training")
    assert flops(ITOCoder(dictionary=D).fit(X), 1, mode="training") == 0


def test_sparse_products_cost_what_is_active():
    topk = TopKSAE(128, k=2, max_iter=1, random_state=0).fit(X)
    assert flops(topk, 1, mode="training") == 2 * 128 * M + 4 * 2 * 2 * M


@pytest.mark.parametrize("n_stages", [1, 2, 5])
def test_stages_in_training_cost_their_products(n_stages):
    plain = TopKSAE(128, k=5, max_iter=1, random_state=0).fit(X)
    staged = TopKSAE(128, k=5, n_stages=n_stages, max_iter=1, random_state=0).fit(X)
    sizes = {1: [5], 2: [2, 5], 5: [1, 2, 3, 4, 5]}[n_stages]
    added = (n_stages - 1) * 128 * M + sum(s * s for s in sizes) * M + 2 * 5 * M
    training = {"n_samples": 7, "mode": "training"}
    assert flops(staged, **training) == flops(plain, **training) + 7 * 2 * added
    assert flops(staged, 7) == flops(plain, 7)
    with pytest.raises(TypeError, match="choose formula='products'"):
        flops(staged, 7, mode="training", formula="published")


def test_what_has_no_formula_is_refused():
    with pytest.raises(TypeError, match="no formula for PCA"):
        flops(PCA(2).fit(X), 1)
    with pytest.raises(NotFittedError):
        flops(SAEEncoder(), 1)
    with pytest.raises(ValueError, match=r"ITOCoder optimizes its codes.*n_iter.*'fista'"):
        flops(ITOCoder(dictionary=D).fit(X), 1)
    for encoder in (MLPEncoder(hidden_layer_sizes=(4, 4)), LISTAEncoder(n_layers=2)):
        with pytest.raises(TypeError, match="choose formula='products'"):
            flops(trained(encoder), 1, formula="published")
