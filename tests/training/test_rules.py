import math

import pytest
import torch

from skamort import _triton
from skamort.training import _rules as rules


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def of_each(rule, *stacked):
    """What a rule makes of each model alone; it may work in place."""
    outcomes = []
    for tensors in zip(*(tensor.clone() for tensor in stacked), strict=True):
        outcome = rule(*tensors)
        outcomes.append(tensors[0] if outcome is None else outcome)
    return torch.stack(outcomes)


@pytest.mark.parametrize(
    ("rule", "shapes"),
    [
        (rules.project_on_sphere, [(3, 5, 4), (3, 5, 4)]),
        (rules.normalize_atoms, [(3, 5, 4)]),
        (rules.clipping_factor, [(3, 6), (3,)]),
        (rules.clear_denormals, [(3, 5, 4)]),
        (
            lambda silence, fired: rules.count_firing(silence.long(), silence, fired, 7),
            [(3, 5)] * 2,
        ),
    ],
)
def test_of_many_models_is_of_each(rule, shapes, draw):
    tensors = [draw(*shape) for shape in shapes]
    expected = of_each(rule, *tensors)
    outcome = rule(*tensors)
    torch.testing.assert_close(tensors[0] if outcome is None else outcome, expected)


def test_a_step_along_the_projected_gradient_keeps_norms_to_first_order(draw):
    atoms, gradient = torch.nn.functional.normalize(draw(5, 4), dim=1), draw(5, 4)
    rules.project_on_sphere(gradient, atoms)
    torch.testing.assert_close(
        torch.linalg.vecdot(atoms, gradient), torch.zeros(5, dtype=gradient.dtype)
    )
    moved = atoms - gradient
    rules.normalize_atoms(moved)
    norms = torch.linalg.vector_norm(moved, dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_the_tangent_part_is_what_the_projection_leaves(draw):
    atoms, gradient = torch.nn.functional.normalize(draw(5, 4), dim=1), draw(5, 4)
    tangent = rules.tangent_part(gradient, atoms)
    rules.project_on_sphere(gradient, atoms)
    torch.testing.assert_close(tangent, gradient)


@pytest.mark.parametrize("max_norm", [0.5, 5.0, 7.0, math.inf])
def test_clipped_gradients_are_as_long_as_allowed(max_norm):
    lengths = torch.tensor([3.0, 4.0])
    clipped = lengths * rules.clipping_factor(lengths, max_norm)
    assert torch.linalg.vector_norm(clipped).item() == pytest.approx(min(max_norm, 5.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_only_denormal_numbers_are_cleared(dtype):
    tiny = torch.finfo(dtype).tiny
    values = torch.tensor([tiny / 2, -tiny / 2, tiny, -tiny, 0.0, 1.0], dtype=dtype)
    rules.clear_denormals(values)
    assert values.tolist() == [0, 0, tiny, -tiny, 0, 1]


@pytest.mark.parametrize("n_copies", [1, 100])
@pytest.mark.parametrize("by_kernel", [False, True])
def test_silence_is_counted_from_the_last_batch_in_which_a_latent_fired(
    by_kernel, n_copies, monkeypatch
):
    launches = []
    if by_kernel:
        pytest.importorskip("triton", "3.6" if torch.cuda.is_available() else "3.9")
        monkeypatch.setattr(rules, "has_triton", lambda device: True)
        real = _triton.launch
        monkeypatch.setattr(_triton, "launch", lambda *a, **s: launches.append(real(*a, **s)))
    device = "cuda" if by_kernel and torch.cuda.is_available() else "cpu"
    memory = torch.zeros(2, 3 * n_copies + 1, dtype=torch.int64).to(device)
    counts, silence = memory[:, :-1]
    for fired in ([1, 0, 0], [0, 2, 0], [0, 3, 0]):
        rules.count_firing(counts, silence, torch.tensor(fired * n_copies).to(device), 10)
    assert len(launches) == 3 * by_kernel
    assert counts.tolist() == [1, 5, 0] * n_copies
    assert silence.tolist() == [20, 0, 30] * n_copies
    assert not memory[:, -1].any()  # nothing beyond them


def test_mean_of_batches_is_the_mean_of_the_rows(draw):
    rows = draw(10, 2).numpy()
    parts = rows[:4], rows[4:8], rows[8:]
    means, sizes = [part.mean(axis=0) for part in parts], [len(part) for part in parts]
    assert rules.mean_of_batches(means, sizes) == pytest.approx(rows.mean(axis=0))


def test_a_loss_as_low_as_the_lowest_is_not_lower():
    before = [{"loss": 3.0, "loss_best": True}, {"loss": 2.0, "loss_best": True}, {"loss": 4.0}]
    for loss, is_lowest in ((1.9, True), (2.0, False), (2.5, False)):
        assert rules.is_lowest("loss", [*before, {"loss": loss}]) == is_lowest
    assert rules.is_lowest("loss", [{"loss": 3.0}])
