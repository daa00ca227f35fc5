"""The largest products found by a screen: those of all products, to the bit."""

import pytest
import torch
from engines import needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.modules import (
    BatchTopK,
    Decoder,
    GroupTopK,
    SignedTopK,
    SparseAutoencoder,
    TopK,
    Workspace,
    make_encoder,
)
from skamort.training import MatryoshkaLoss, SparseCodingLoss

pytestmark = needs_numba
N_FEATURES, N_ROWS, K = 40, 256, 4


@pytest.fixture(autouse=True)
def screens(monkeypatch):
    """Small matrices are screened too, in bfloat16 also where the CPU has no instructions."""
    monkeypatch.setattr("skamort.modules._screen._FEWEST_WEIGHTS", 0)
    monkeypatch.setattr("skamort.modules._screen.multiplies_bfloat16", lambda: True)


def problem(seed, kind="normal", size=0, n=35):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, N_FEATURES, generator=generator)
    W = torch.randn(N_ROWS, N_FEATURES, generator=generator) / N_FEATURES**0.5
    bias = torch.randn(N_ROWS, generator=generator) / 5
    if kind == "duplicates":
        half = N_ROWS // 2
        W[half:], bias[half:] = W[:half], bias[:half]
    if kind == "close":  # too close for bfloat16
        W = W[:1] + 1e-4 * W
        bias /= 1e4
    if kind == "few are positive":
        bias -= 0.9 * (X @ W.T + bias).amax()
    if kind == "zero rows":
        X[::3], W[::5], bias[::2] = 0, 0, 0
    if kind == "lengths differ":
        W *= 10 ** torch.empty(N_ROWS, 1).uniform_(-6, 1, generator=generator)
    return X * 10.0**size, W, bias * 10.0**size


def screen_of(X, W, bias):
    from skamort.modules._screen import Screen

    return Screen(X, W, bias, Workspace())


def entries(codes):
    """Codes that are not 0 as (value, column) pairs for each row, in order of columns."""
    csr = codes.to_csr()
    pairs = list(zip(csr.indices.tolist(), csr.data.tolist(), strict=True))
    return [sorted(pairs[a:b]) for a, b in zip(csr.indptr, csr.indptr[1:], strict=False)]


def all_products(X, W, bias):
    """All products, each computed as those that are kept."""
    from skamort.modules._screen_numba import _multiply

    products, places = torch.empty(len(X), N_ROWS + 4), torch.arange(N_ROWS + 4)
    for x, row in zip(X, products, strict=True):
        _multiply(x.numpy(), W.numpy(), places.numpy(), 0, N_ROWS, row.numpy())
    return products[:, :N_ROWS] + bias


def first_largest(A, k, size=torch.relu):
    """Of each row the k largest by size, of equal ones the first, as pairs."""
    columns = size(A).sort(dim=1, descending=True, stable=True).indices[:, :k]
    kept = torch.zeros_like(A).scatter_(1, columns, 1) * (size(A) > 0)
    return [[(j, row[j]) for j in range(len(row)) if row[j]] for row in (A * kept).tolist()]


KINDS = ["normal", "duplicates", "close", "few are positive", "zero rows", "lengths differ"]
problems = given(st.integers(0, 2**31), st.sampled_from(KINDS), st.integers(-12, 12))


@settings(max_examples=15, deadline=None)
@problems
def test_are_the_largest_of_all_products(seed, kind, size):
    parts = problem(seed, kind, size)
    A, screen = all_products(*parts), screen_of(*parts)
    for k in (1, 4):
        assert entries(screen.largest(k)) == first_largest(A, k)
        assert entries(screen.largest(k, signed=True)) == first_largest(A, k, torch.abs)
    in_groups = A.view(len(A) * 4, -1)
    expected = first_largest(in_groups, 1)
    found = [[] for _ in expected]
    for i, pairs in enumerate(entries(screen.largest(1, n_groups=4))):
        for column, value in pairs:
            found[4 * i + column // 64].append((column % 64, value))
    assert found == expected


@settings(max_examples=15, deadline=None)
@problems
def test_are_the_largest_of_a_batch(seed, kind, size):
    parts = problem(seed, kind, size)
    A, screen = all_products(*parts).relu(), screen_of(*parts)
    for count in (1, 140, 5000):
        codes, threshold = screen.largest_together(count)
        assert threshold == A.flatten().topk(count + 1).values[-1]
        assert torch.equal(codes.to_dense(), torch.where(threshold < A, A, 0))
        above = screen.above(float(threshold))
        assert entries(above) == entries(codes)
        assert (above.rows * N_ROWS + above.indices).diff().gt(0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_has_the_codes_that_it_has_in_a_batch(kind):
    X, W, bias = problem(1, kind)
    bound = float(all_products(X, W, bias).relu().flatten().topk(140).values[-1])
    for call in (
        lambda screen: screen.largest(K),
        lambda screen: screen.largest(K, signed=True),
        lambda screen: screen.largest(1, n_groups=K),
        lambda screen: screen.above(bound),
    ):
        together = entries(call(screen_of(X, W, bias)))
        assert [*together] == [entries(call(screen_of(x[None], W, bias)))[0] for x in X]


def test_columns_are_all_different_and_in_order():
    for kind in KINDS:
        screen = screen_of(*problem(2, kind))
        for codes in (screen.largest(K), screen.largest(1, n_groups=K)):
            assert (codes.indices.diff(dim=1) > 0).all()


def test_a_row_of_which_too_many_are_left_is_looked_at_again(monkeypatch):
    from skamort.modules import _screen

    screen = screen_of(*problem(3))
    calls = [
        lambda: screen.largest(K),
        lambda: screen.above(1.9),
        lambda: screen.largest_together(140)[0],
    ]
    expected = [entries(call()) for call in calls]
    monkeypatch.setattr(_screen, "_TOLERABLE", 8 / N_ROWS)
    assert 0 < screen._select(screen.multiply(), K, False, 1)[2].sum() < len(screen.X)
    assert 0 < screen._collect(screen.multiply(), 1.9)[3].sum() < len(screen.X)
    assert [entries(call()) for call in calls] == expected


def test_a_misleading_sample_costs_time_alone(monkeypatch):
    from skamort.modules import _screen

    parts = problem(9)
    A, screen = all_products(*parts).relu(), screen_of(*parts)
    monkeypatch.setattr(_screen, "sample_places", lambda _: A.flatten().topk(140).indices)
    codes, threshold = screen.largest_together(1000)
    assert torch.equal(codes.to_dense(), torch.where(threshold < A, A, 0))
    assert len(codes.values) == 1000


@pytest.mark.parametrize("spoil", [1e32, float("inf"), float("nan")])
@pytest.mark.parametrize("which", range(3))
def test_what_has_no_bounds_is_not_screened(spoil, which):
    parts = problem(4)
    parts[which][3:4] = spoil
    assert not screen_of(*parts).has_bounds()


def test_bfloat16_leaves_few(monkeypatch):
    from skamort.modules import _screen

    generator = torch.Generator().manual_seed(0)
    X, W = torch.randn(40, 600, generator=generator), torch.randn(2048, 600, generator=generator)
    screen = screen_of(X, W, None)
    monkeypatch.setattr(_screen, "_TOLERABLE", 40 / 2048)
    assert screen._select(screen.multiply(), 16, False, 1)[2].all()


@pytest.fixture
def module():
    generator = torch.Generator().manual_seed(0)
    encoder = make_encoder(N_FEATURES, N_ROWS, generator=generator)
    with torch.no_grad():
        encoder.bias.normal_(generator=generator).mul_(0.3)
    atoms = torch.nn.functional.normalize(torch.randn(N_ROWS, N_FEATURES, generator=generator))
    intercept = torch.randn(N_FEATURES, generator=generator)
    return SparseAutoencoder(encoder, TopK(1), Decoder(atoms, intercept))


@torch.no_grad()
@pytest.mark.parametrize("activation", [TopK(1), SignedTopK(1), GroupTopK(2), BatchTopK(2)])
def test_codes_are_those_of_the_plain_product(module, activation):
    X, module.activation = problem(5)[0], activation
    found = module.find(X)[1]
    plain = module.activation(module.encoder(module.center(X)))
    torch.testing.assert_close(found.to_dense(), plain)
    module.eval()
    activation.rescale(0.99)  # a threshold that no entry of X is equal to but for rounding
    found = module.find(X)[1].to_dense()
    torch.testing.assert_close(found, module.activation(module.encoder(module.center(X))))
    assert (module.encode(X) == found).all()
    assert (module.encode_compactly(X).to_dense() == found).all()


@torch.no_grad()
def test_a_batch_has_the_same_mean_threshold_screened_or_not(module, monkeypatch):
    X, thresholds = problem(6)[0], []
    for fewest in (0, 1 << 30):
        monkeypatch.setattr("skamort.modules._screen._FEWEST_WEIGHTS", fewest)
        module.activation = BatchTopK(2)
        for rows in X.split(10):
            module.encode_compactly(rows)
        thresholds.append(module.activation.threshold)
    torch.testing.assert_close(*thresholds)
    assert thresholds[0] > 0


@torch.no_grad()
def test_batches_of_rows_with_weights_are_not_screened(module):
    X, module.activation = problem(6)[0], BatchTopK(2)
    module.activation.sample_weight = torch.ones(len(X))
    assert module.find(X) is None
    assert module.eval().find(X) is not None


LOSSES = [
    (TopK(1), SparseCodingLoss()),
    (TopK(1), SparseCodingLoss(multi_topk=True)),
    (SignedTopK(1), SparseCodingLoss()),
    (BatchTopK(2), SparseCodingLoss()),
    (BatchTopK(2), MatryoshkaLoss([16, 100, N_ROWS])),
]


@pytest.mark.parametrize("dead", [None, torch.arange(7, 250, 9)])
@pytest.mark.parametrize(("activation", "loss"), LOSSES)
def test_gradients_are_those_of_the_plain_product(module, activation, loss, dead, monkeypatch):
    X, module.activation, loss.dead = problem(6)[0], activation, dead
    outcomes = []
    for fewest in (0, 1 << 30):
        monkeypatch.setattr("skamort.modules._screen._FEWEST_WEIGHTS", fewest)
        module.zero_grad()
        value = loss.backward(module, X).loss
        outcomes.append([value, *(p.grad.clone() for p in module.parameters())])
    for screened, plain in zip(*outcomes, strict=True):
        torch.testing.assert_close(screened, plain)


def test_nothing_is_screened_where_gradients_are_autograds(module):
    assert module.find(problem(7)[0]) is None


@torch.no_grad()
def test_nothing_is_screened_under_autocast_or_in_another_dtype(module):
    X = problem(8)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert module.find(X) is None
    assert module.double().find(X.double()) is None
