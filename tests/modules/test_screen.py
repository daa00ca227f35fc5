"""The k largest products found by a screen: those of all products, to the bit."""

import pytest
import torch
from engines import needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.modules import Decoder, SparseAutoencoder, TopK, Workspace, make_encoder
from skamort.training import SparseCodingLoss

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


def in_order(values, columns):
    """The result with zeros taken out and columns in order, as pairs for each row."""
    return [
        sorted((c, v) for v, c in zip(*row, strict=True) if v)
        for row in zip(values.tolist(), columns.tolist(), strict=True)
    ]


def of_all_products(X, W, bias, k):
    """The k largest of all products, each computed as those that are kept; ties to the first."""
    from skamort.modules._screen_numba import _multiply

    products, places = torch.empty(N_ROWS + 4), torch.arange(N_ROWS + 4)
    for x in X:
        _multiply(x.numpy(), W.numpy(), places.numpy(), 0, N_ROWS, products.numpy())
        yield (products[:N_ROWS] + bias).relu().sort(descending=True, stable=True)


KINDS = ["normal", "duplicates", "close", "few are positive", "zero rows", "lengths differ"]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(KINDS), st.integers(-12, 12), st.sampled_from([1, 4]))
def test_are_the_largest_of_all_products(seed, kind, size, k):
    from skamort.modules._screen import largest_products

    X, W, bias = problem(seed, kind, size)
    found = in_order(*largest_products(X, W, bias, k, Workspace()))
    for row, (values, columns) in zip(found, of_all_products(X, W, bias, k), strict=True):
        assert row == in_order(values[None, :k], columns[None, :k])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_has_the_codes_that_it_has_in_a_batch(kind):
    from skamort.modules._screen import largest_products

    X, W, bias = problem(1, kind)
    values, columns = largest_products(X, W, bias, K, Workspace())
    for i in range(len(X)):
        alone = largest_products(X[i : i + 1], W, bias, K, Workspace())
        assert (alone[0][0] == values[i]).all()
        assert (alone[1][0] == columns[i]).all()


def test_columns_are_all_different_and_in_order():
    from skamort.modules._screen import largest_products

    for kind in KINDS:
        _, columns = largest_products(*problem(2, kind), K, Workspace())
        assert (columns.diff(dim=1) > 0).all()


def test_a_row_of_which_too_many_are_left_is_looked_at_again(monkeypatch):
    from skamort.modules import _screen

    X, W, bias = problem(3)
    expected = in_order(*_screen.largest_products(X, W, bias, K, Workspace()))
    monkeypatch.setattr(_screen, "_TOLERABLE", 8 / N_ROWS)
    rows = _screen._Rows(W, bias, K, Workspace())
    _, _, done = rows.by_bfloat16(X)
    assert 0 < done.sum() < len(X)
    assert in_order(*_screen.largest_products(X, W, bias, K, Workspace())) == expected


@pytest.mark.parametrize("spoil", [1e32, float("inf"), float("nan")])
@pytest.mark.parametrize("which", range(3))
def test_what_has_no_bounds_is_not_screened(spoil, which):
    from skamort.modules._screen import largest_products

    parts = problem(4)
    parts[which][3:4] = spoil
    assert largest_products(*parts, K, Workspace()) is None


def test_bfloat16_leaves_few():
    from skamort.modules import _screen

    generator = torch.Generator().manual_seed(0)
    X, W = torch.randn(40, 600, generator=generator), torch.randn(2048, 600, generator=generator)
    x, slopes = _screen.round_rows(X)
    rows = _screen._Rows(W, torch.zeros(2048), 16, Workspace())
    screen = rows._multiply(x, W.bfloat16())
    *_, done = rows._select(X, screen, slopes, _screen.SLACK * _screen.ROUNDING, most=40)
    assert done.all()


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
def test_codes_are_those_of_the_plain_product(module):
    X = problem(5)[0]
    found = module.find(X)[1]
    plain = module.activation(module.encoder(module.center(X)))
    torch.testing.assert_close(found.to_dense(), plain)
    assert (module.encode(X) == found.to_dense()).all()
    assert (module.encode_compactly(X).to_dense() == found.to_dense()).all()


@pytest.mark.parametrize("dead", [None, torch.arange(7, 250, 9)])
@pytest.mark.parametrize("multi_topk", [False, True])
def test_gradients_are_those_of_the_plain_product(module, multi_topk, dead, monkeypatch):
    X, loss = problem(6)[0], SparseCodingLoss(multi_topk=multi_topk)
    loss.dead = dead
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
