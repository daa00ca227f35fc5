"""Every public loss with every public activation and encoder: it works, or is refused at once."""

import inspect
import re

import numpy as np
import pytest
import torch

from skamort import modules, training
from skamort.modules import (
    Activation,
    BatchTopK,
    Decoder,
    Gated,
    JumpReLU,
    LinearEncoder,
    ReLU,
    SparseAutoencoder,
    TopK,
    make_encoder,
)
from skamort.solvers import GOMP
from skamort.training import GatedLoss, Loss, MatryoshkaLoss, SparseCodingLoss, SparseNet

N, M = 8, 6
X = torch.randn(20, M, generator=torch.Generator().manual_seed(0))
ATOMS = torch.nn.functional.normalize(torch.randn(N, M, generator=torch.Generator().manual_seed(1)))
# What stands for each argument without a default, by its name.
ARGUMENTS = {
    "k": 2, "n_components": N, "n_active": 2, "start": 0.5, "bandwidth": 0.5, "threshold": 0.1,
    "unit": 1.0, "prefix_sizes": [3, N], "solver": GOMP(n_nonzero_coefs=2),
    "log_probabilities": lambda rows: rows.log_softmax(1),
}  # fmt: skip
WRONG = {
    "k": [0, -1, 1.5, "2", None], "n_components": [0, 2.5, None], "n_active": [0, 1.5],
    "start": [0.0, -1.0, np.inf], "bandwidth": [0.0, np.nan], "alpha": [-1.0, np.nan, "much", None],
    "prefix_sizes": [[], [3, 3], [5, 2], [0, N], [1.5, N]], "kind": ["cosinus", None],
    "feature_weights": [np.ones(M), [1.0] * M, torch.ones(M, M), torch.ones(M, dtype=int), 3],
    "solver": [None, GOMP(), "gomp"], "log_probabilities": [None, 3, X],
}  # fmt: skip
REFUSED = r"requires .* of the model and its loss, which offer|has no value; define its equation"


def public_parts(base, *rooms):
    """Public classes of this kind, but for the base."""
    parts = [getattr(room, name) for room in rooms for name in room.__all__]
    return [p for p in parts if inspect.isclass(p) and issubclass(p, base) and p is not base]


ACTIVATIONS, LOSSES = public_parts(Activation, modules), public_parts(Loss, training)


def make(part, **given):
    parameters = inspect.signature(part).parameters
    needed = [n for n, p in parameters.items() if p.default is p.empty and "args" not in n]
    return part(**{name: ARGUMENTS[name] for name in needed} | given)


def model_of(activation, hidden=()):
    encoder = make_encoder(M, N, hidden, generator=torch.Generator().manual_seed(2))
    return SparseAutoencoder(encoder, activation, Decoder(ATOMS, torch.zeros(M)))


def target_of(loss):
    return (torch.ones(20, N),) if isinstance(loss, training.CodeRegressionLoss) else ()


@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("part", LOSSES, ids=lambda part: part.__name__)
def test_a_loss_works_with_an_activation_or_is_refused(part, hidden):
    options = [{}, {"multi_topk": True}][: 1 + ("multi_topk" in inspect.signature(part).parameters)]
    refusals = []
    for activation, given in ((a, o) for a in ACTIVATIONS for o in options):
        module, loss = model_of(make(activation), hidden), make(part, **given)
        try:
            SparseNet(module, loss, generator=torch.Generator()).initialize()
            outcome = loss.backward(module, X, *target_of(loss))
        except (ValueError, NotImplementedError) as error:
            refusals.append(str(error))
            with pytest.raises(type(error), match=REFUSED):
                loss.backward(module, X, *target_of(loss))
            continue
        assert torch.isfinite(outcome.loss)
        told = loss.evaluate(module.eval(), X, *target_of(loss)).loss
        assert torch.isfinite(told)
        assert all(p.grad is not None for p in module.encoder.parameters())
    assert all(re.search(REFUSED, told) for told in refusals)


def test_each_loss_has_an_activation():
    """Of those that are not abstract; no activation learns nothing."""
    pairs = [(GatedLoss(), Gated(N)), (training.JumpReLULoss(), JumpReLU(N, 0.5, 0.5))]
    for loss, activation in [*pairs, (MatryoshkaLoss([2, N]), BatchTopK(3))]:
        module = model_of(activation)
        loss.backward(module, X)
        assert all(p.grad is not None for p in activation.parameters())


@pytest.mark.parametrize("part", [*ACTIVATIONS, *LOSSES], ids=lambda part: part.__name__)
def test_a_part_is_not_made_of_what_it_cannot_be(part):
    for name in WRONG.keys() & inspect.signature(part).parameters.keys():
        for value in WRONG[name]:
            if not (name == "feature_weights" and value is None):
                with pytest.raises((TypeError, ValueError), match=name.split("_")[0]):
                    make(part, **{name: value})


@pytest.mark.parametrize("part", ACTIVATIONS, ids=lambda part: part.__name__)
def test_an_activation_refuses_what_is_no_matrix_of_its_width(part):
    activation = make(part)
    assert activation(torch.ones(3, N)).shape == (3, N)
    for wrong in (np.ones((3, N)), torch.ones(3, N, dtype=int), None, [[1.0] * N]):
        with pytest.raises(TypeError, match=f"{part.__name__}: pre-activations must be a tensor"):
            activation(wrong)
    if activation.n_kept or list(activation.parameters()):
        with pytest.raises(ValueError, match=rf"{part.__name__}: .*there are 1"):
            activation(torch.ones(3, 1))
        decoder = Decoder(torch.ones(1, M))
        with pytest.raises(ValueError, match=f"{part.__name__}: "):
            SparseAutoencoder(LinearEncoder(M, 1), activation, decoder)


class Shared(Activation):
    """A slope that all latents share."""

    is_masked = False

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, preactivations):
        return self.slope * preactivations.relu()


@pytest.mark.parametrize("n_components", [1, N])
def test_a_number_that_all_latents_share_fits_any_width(n_components):
    A = torch.randn(3, n_components, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(Shared()(A), 2 * A.relu())


def test_blocks_divide_the_latents():
    with pytest.raises(ValueError, match="GroupTopK: k=3 blocks do not divide 8 latents"):
        model_of(modules.GroupTopK(3))


@pytest.mark.parametrize("part", LOSSES, ids=lambda part: part.__name__)
def test_a_loss_refuses_what_is_no_batch_of_the_model(part):
    loss = make(part)
    fitting = {"gates": Gated(N), "thresholds": JumpReLU(N, 0.5, 0.5), "ragged_codes": BatchTopK(2)}
    module = model_of(next((fitting[name] for name in loss.requires), ReLU()))
    wrong = [
        (X, module, TypeError, "SparseAutoencoder"),
        (None, X, TypeError, "SparseAutoencoder"),
        (module, X.numpy(), TypeError, r"X must be a tensor of torch.float32.*ndarray"),
        (module, X.double(), TypeError, r"tensor of torch.float32.*torch.float64; convert"),
        (module, X[:, 1:], ValueError, rf"X must have shape \(n, {M}\)"),
        (module, X[0], ValueError, rf"X must have shape \(n, {M}\)"),
    ]
    for first, second, error, message in wrong:
        for call in (loss.backward, loss.evaluate):
            with pytest.raises(error, match=message):
                call(first, second, *target_of(loss))
    loss.sample_weight = torch.ones(3)
    with pytest.raises(ValueError, match="a weight for each of 20 samples, got shape"):
        loss.evaluate(module, X, *target_of(loss))


def test_losses_of_a_model_are_not_called():
    residual, codes = torch.ones(5, M), torch.ones(5, N)
    for loss in map(make, LOSSES):
        own = type(loss).__name__ in ("SparseCodingLoss", "JumpReLULoss", "CodeRegressionLoss")
        with pytest.raises((TypeError, ValueError), match=r"is not called; eval|shape"):
            loss(residual, codes[:3] if own else codes)
    assert SparseCodingLoss(0.5)(residual, codes) == M / 2 + N / 2


def test_a_loss_and_a_model_of_other_sizes():
    narrow = SparseCodingLoss(feature_weights=torch.ones(M + 1))
    for loss, told in (
        (narrow, f"feature_weights are {M + 1}, but the model has {M} features"),
        (MatryoshkaLoss([2, N - 1]), rf"hold all {N} latents of the model, got error_2, error_7"),
    ):
        with pytest.raises(ValueError, match=told):
            SparseNet(model_of(BatchTopK(2)), loss, generator=torch.Generator()).initialize()


def test_known_codes_are_those_of_the_batch():
    loss, module = training.CodeRegressionLoss("squared_error"), model_of(ReLU())
    with pytest.raises(ValueError, match=r"must have the same shape, got \(20, 8\) and \(20, 1\)"):
        loss.backward(module, X, torch.ones(20, 1))
    with pytest.raises(TypeError, match="the known codes of a batch come after it, got 0"):
        loss.evaluate(module, X)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ((torch.nn.Linear(M, N), ReLU(), Decoder(ATOMS)), "encoder must be .*modules.Encoder"),
        ((LinearEncoder(M, N), torch.nn.ReLU(), Decoder(ATOMS)), "activation must be .*Activation"),
        ((LinearEncoder(M, N), TopK, Decoder(ATOMS)), "activation must be .*the class TopK"),
    ],
)
def test_a_model_is_made_of_its_parts(parts, told):
    with pytest.raises(TypeError, match=told):
        SparseAutoencoder(*parts)


def test_a_decoder_is_made_of_a_dictionary():
    for wrong in (ATOMS.numpy(), ATOMS[0], ATOMS.int(), None):
        with pytest.raises(TypeError, match="Decoder: dictionary must be a tensor of floats"):
            Decoder(wrong)
    for wrong in (torch.ones(N), torch.ones(1, M), 3.0):
        with pytest.raises(ValueError, match=rf"intercept must have shape .*{M},"):
            Decoder(ATOMS, wrong)


def test_encoder_and_decoder_have_as_many_latents():
    module = SparseAutoencoder(LinearEncoder(M, N + 1), ReLU(), Decoder(ATOMS))
    for call in (module.encode, module.encode_compactly):
        with pytest.raises(ValueError, match=r"gives 9 pre-activations .* decoder has 8 atoms"):
            call(X)
    with pytest.raises(ValueError, match="gives 9 pre-activations"):
        SparseCodingLoss().backward(module, X)
