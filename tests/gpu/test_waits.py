"""What a GPU is asked for: waits, uploads and operators, as budgets.

Each is the difference between a long run and a short one, so that what happens once a run, a start
or an end, does not count.
"""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback

from skamort import BatchTopKSAE, LISTAEncoder, MLPEncoder, SAEEncoder, TopKSAE, WeightedSAE
from skamort.estimators import fit_many
from skamort.solvers import sparse_encode, update_dictionary
from skamort.training import ResampleDead, _step_graph

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Operators a step: what was reached, to be lowered, not raised.
ENCODERS = {
    "TopKSAE, dense": (TopKSAE(12, k=2), 28),
    "TopKSAE, sparse": (TopKSAE(96, k=2), 40),
    "BatchTopKSAE, dense": (BatchTopKSAE(12, k=2), 36),
    "BatchTopKSAE, sparse": (BatchTopKSAE(96, k=2), 56),
    "SAEEncoder": (SAEEncoder(12), 26),
    "MLPEncoder": (MLPEncoder(12, hidden_layer_sizes=(8,)), 34),
    "WeightedSAE": (WeightedSAE(12), 27),
    "LISTAEncoder": (LISTAEncoder(12), 64),
}


@pytest.fixture
def counts(gpu):
    if gpu is None:
        pytest.skip("a real GPU does not count")
    return gpu


def per_unit(counts, run, short, long):
    """Return what one unit more of a run asks for: waits, uploads, operators."""
    totals = []
    for length in (short, long):
        counts.clear()
        run(length)
        totals.append(np.array(counts.totals()))
    return (totals[1] - totals[0]) / (long - short)


@pytest.mark.parametrize(("model", "most"), ENCODERS.values(), ids=ENCODERS)
def test_a_training_step_does_not_wait(counts, model, most, monkeypatch):
    monkeypatch.setattr(_step_graph, "_MOST_NUMBERS", 0)  # by operators, as large models

    def train(n_steps):
        X = np.random.default_rng(0).standard_normal((16 * n_steps, 6))
        model.set_params(max_iter=1, batch_size=16, random_state=0, device="cuda").fit(X)

    waits, uploads, operators = per_unit(counts, train, 8, 16)
    assert waits < 0.2  # a start that waits once more or less is no step that does
    assert uploads < 0.2
    assert operators <= most


class NoWaits(Callback):
    """Let a real GPU refuse waits from the third batch of an epoch to the last but one."""

    def __init__(self, n_batches):
        self.n_batches = n_batches

    def on_batch_end(self, net, training=None, **kwargs):
        n_done = len(net.history[-1]["batches"]) if training else 0
        if n_done == 2:
            torch.cuda.set_sync_debug_mode("error")
        if n_done == self.n_batches - 1:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("model", [model for model, _ in ENCODERS.values()], ids=ENCODERS)
def test_a_real_gpu_is_not_waited_for(gpu, model):
    if gpu is not None:
        pytest.skip("the emulated GPU counts")
    X = np.random.default_rng(0).standard_normal((160, 6))
    settings = {"max_iter": 1, "batch_size": 16, "random_state": 0, "device": "cuda"}
    try:
        clone(model).set_params(callbacks=[NoWaits(10)], **settings).fit(X)
    finally:
        torch.cuda.set_sync_debug_mode("default")


# Models that train together, by what would cost something for each.
MANY = {
    "penalty": SAEEncoder(12),
    "k": TopKSAE(12, k=2),
    "scores": WeightedSAE(12),
    "tied to rows": MLPEncoder(12, hidden_layer_sizes=(8,)),
    "looks for the dead": SAEEncoder(12, dead_latents=ResampleDead(512), alpha=0.1),
}


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("model", MANY.values(), ids=MANY)
def test_a_model_more_asks_for_nothing(counts, model, on_gpu):
    """Of `fit_many`: it starts and ends on the host, where the rows are looked at once."""
    X = np.random.default_rng(0).standard_normal((64, 6))
    X = torch.tensor(X).cuda() if on_gpu else X
    model = clone(model).set_params(max_iter=2, batch_size=64, device="cuda")
    asked = per_unit(counts, lambda n_models: fit_many(model, X, {}, range(n_models)), 3, 6)
    assert_array_equal(asked, 0)


@pytest.mark.parametrize(
    ("model", "few", "most"),
    [
        (SAEEncoder(12), 32, (1, 1, 1)),  # the rows that become its atoms
        (SAEEncoder(12, early_stopping=True), 4096, (0, 2, 2)),  # those held out, and the others
    ],
)
def test_a_model_more_asks_for_rows_of_its_own(counts, model, few, most, monkeypatch):
    monkeypatch.setattr("skamort._rows._FEW", few)
    X = np.random.default_rng(0).standard_normal((64, 6))
    model = clone(model).set_params(max_iter=2, batch_size=64, device="cuda")
    asked = per_unit(counts, lambda n_models: fit_many(model, X, {}, range(n_models)), 3, 6)
    assert_array_equal(asked, most)


def test_models_that_end_one_by_one(counts):
    """Of eight those that have ended are left out three times, with steps recorded anew."""
    X = np.random.default_rng(0).standard_normal((64, 6))
    model = SAEEncoder(12, batch_size=64, tol=0, schedule=None, device="cuda")
    totals = []
    for n_epochs in ([27] * 8, range(20, 28)):
        counts.clear()
        fit_many(model, X, {"max_iter": n_epochs}, [0])
        totals.append(np.array(counts.totals()))
    waits, _, operators = totals[1] - totals[0]
    assert waits == 2 * 7
    assert operators <= 7 * 7 + 3 * 130


def test_many_models_ask_for_little_more_than_one(counts):
    """Of waits and of operators, beside a loop of fits."""
    X = np.random.default_rng(0).standard_normal((64, 6))
    model = SAEEncoder(12, max_iter=40, batch_size=64, tol=0, random_state=0, device="cuda")
    fit_many(model, X, {}, range(50))
    together = np.array(counts.totals())
    counts.clear()
    model.fit(X)
    assert (50 * np.array(counts.totals()) >= 25 * together).all()


# Waits an iteration, of signed codes; or a non-zero of a k-sparse solver, of codes >= 0 too.
ITERATIONS = {"adam": 0, "cd": 0.3, "fista": 0.3, "iht": 5, "lca": 0.3}
NONZEROS = {
    "exchange": (4.5, 7), "gomp": (1, 2.5), "gradient_pursuit": (0, 0), "mp": (0, 0),
    "omp": (1, 5), "ormp": (1, 4.5), "topk_refined": (0, 1.5),
}  # fmt: skip


@pytest.fixture
def solve(counts):
    """Return the waits of one more iteration, or non-zero."""
    X = torch.tensor(np.random.default_rng(0).standard_normal((30, 16))).cuda()
    dictionary = np.random.default_rng(1).standard_normal((24, 16))

    def of(algorithm, name, lengths, **asked):
        def run(length):
            sparse_encode(X, dictionary, algorithm=algorithm, **asked, **{name: length})

        return per_unit(counts, run, *lengths)[0]

    return of


@pytest.mark.parametrize(("algorithm", "most"), ITERATIONS.items(), ids=ITERATIONS)
def test_waits_of_an_iteration(solve, algorithm, most):
    lengths, asked = (40, 80), {"alpha": 0.1}
    if algorithm == "iht":  # which comes to its end soon
        lengths, asked = (2, 10), {"n_nonzero_coefs": 4}
    assert solve(algorithm, "max_iter", lengths, tol=0, **asked) <= most


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("algorithm", "most"), NONZEROS.items(), ids=NONZEROS)
def test_waits_of_a_nonzero(solve, algorithm, most, positive):
    assert solve(algorithm, "n_nonzero_coefs", (2, 10), positive=positive) <= most[positive]


def test_launches_of_a_dictionary_update(counts):
    def update(n_atoms):
        atoms = torch.eye(n_atoms)[:, :4].contiguous().cuda()
        update_dictionary(atoms, torch.eye(n_atoms).cuda(), torch.zeros(n_atoms, 4).cuda())

    waits, _, operators = per_unit(counts, update, 512, 1536)
    assert waits == 0
    assert operators * 16_896 < 3000


def test_atoms_updated_at_once_fit_the_data(gpu):
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((900, 600)) * (rng.random((900, 600)) < 0.02)
    X, atoms = rng.standard_normal((900, 8)), rng.standard_normal((600, 8))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    there, here, start = torch.tensor(atoms).cuda(), atoms.copy(), atoms
    update_dictionary(there, codes.T @ codes, codes.T @ X)
    update_dictionary(here, codes.T @ codes, codes.T @ X)
    errors = [np.square(X - codes @ a).sum() for a in (start, there.cpu().numpy(), here)]
    assert errors[0] - errors[1] > 0.9 * (errors[0] - errors[2])
