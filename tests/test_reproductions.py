"""The published training that the examples share; the examples themselves run in the gallery."""

import importlib.util
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from device import emulated_cuda

from skamort._rows import Rows
from skamort.datasets import make_published_signal
from skamort.estimators import _dictionary
from skamort.estimators._learned_dictionary import LearnedDictionary
from skamort.estimators._published_descent import PublishedDescent

FOLDER = Path(__file__).parents[1] / "examples" / "reproduce"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


published, figures = load("_published"), load("_published_figures")
compiled = load("_compiled")
X = torch.tensor(make_published_signal(n_samples=64)[0])


def test_sparse_coding_descends_as_the_estimator_does():
    runs = published.PublishedSparseCoding(16, 8, n_runs=2, seed=3)
    rows, alone = Rows(X.numpy(), "X"), [LearnedDictionary(D.clone()) for D in runs.dictionary]
    runs.fit(X, lam=torch.tensor([0.01, 0.5]), learning_rate=0.1, n_steps=60)
    for learned, lam, atoms in zip(alone, (0.01, 0.5), runs.dictionary, strict=True):
        alpha = lam * 8 / (2 * 16)
        PublishedDescent(alpha, learning_rate=0.1, max_iter=60).learn(rows, learned)
        torch.testing.assert_close(atoms, learned.atoms, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("hidden", [(), (12,)])
def test_autoencoders_side_by_side_are_autoencoders_alone(hidden):
    lams = (0.01, 0.5)
    both = published.PublishedAutoencoders((8, *hidden, 16), n_runs=2)
    alone = []
    for index in range(2):
        one = published.PublishedAutoencoders((8, *hidden, 16), n_runs=1)
        for mine, theirs in zip(one.parameters, both.parameters, strict=True):
            mine.data = theirs.data[index : index + 1].clone()
        alone.append(one)
    both.fit(X, lam=torch.tensor(lams), learning_rate=1e-2, n_steps=20)
    for one, lam, codes in zip(alone, lams, both.encode(X), strict=True):
        one.fit(X, lam=lam, learning_rate=1e-2, n_steps=20)
        torch.testing.assert_close(one.encode(X)[0], codes, rtol=1e-3, atol=1e-4)


def test_each_step_of_batches_draws_rows_anew_and_is_looked_at():
    rows = torch.cat([torch.zeros(1, 8), X])  # of the first row alone there is nothing to learn
    runs, looks = published.PublishedAutoencoders((8, 16), n_runs=1, bias=False), []
    before = runs.parameters[0].detach().clone()
    runs.fit(rows, lam=0.0, n_steps=3, batch_size=4, callback=looks.append)
    assert looks == [0, 1, 2, 3]
    assert not torch.equal(runs.parameters[0], before)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("n_features", [8, 24])
@pytest.mark.parametrize("known", ["codes", "dictionary", None])
def test_compiled_gradients_are_those_of_torch(known, n_features, monkeypatch):
    sizes = {"n_samples": 128, "n_components": 32, "n_features": n_features}
    X, D, Z = map(torch.tensor, make_published_signal(1, **sizes))
    fixed = {"dictionary": D, "bias": False} if known == "dictionary" else {}
    settings = {"codes": Z if known == "codes" else None, "lam": torch.tensor([0.01, 0.5])}
    for hidden in (), (16,):
        found = []
        for module in None, compiled:
            monkeypatch.setattr(published, "COMPILED", module)
            runs = published.PublishedAutoencoders((n_features, *hidden, 32), n_runs=2, **fixed)
            runs.fit(X, n_steps=1, **settings)
            layers = [each for layer in runs.layers for each in layer]
            found.append([each.grad for each in (*layers, runs.dictionary)])
        for theirs, mine in zip(*found, strict=True):
            if theirs is not None:
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("bias", [False, True])
def test_compiled_sparse_coding_is_that_of_torch(bias, monkeypatch):
    lam, found = torch.tensor([0.01, 0.5]), []
    for module in None, compiled:
        monkeypatch.setattr(published, "COMPILED", module)
        runs = published.PublishedSparseCoding(16, 8, n_runs=2, bias=bias)
        runs.fit(torch.stack([X, -X]), lam=lam, n_steps=8, learning_rate=1.0)
        codes = runs.encode(X, lam=lam, n_steps=9, learning_rate=1.0)
        found.append([runs.dictionary, runs.offset, codes])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_subnormal_numbers_outlive_the_compiled_gradients():
    compiled.library()
    assert torch.finfo(torch.float64).smallest_normal / torch.tensor(2.0, dtype=torch.float64) > 0


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_sizes_that_the_compiled_gradients_do_not_have(monkeypatch):
    monkeypatch.setattr(published, "COMPILED", compiled)
    with pytest.raises(ValueError, match="got 64, 8 and 12"):
        published.PublishedAutoencoders((8, 12), n_runs=1).fit(X, n_steps=1)


@pytest.mark.parametrize("batch_size", [None, 16])
def test_a_gpu_replays_the_steps_that_a_cpu_takes(batch_size):
    found = []
    with nullcontext() if torch.cuda.is_available() else emulated_cuda() as counts:
        for device in ("cpu", "cuda"):
            runs = published.PublishedAutoencoders((8, 16), n_runs=2, device=device)
            runs.fit(X.to(device), learning_rate=1e-2, n_steps=60, batch_size=batch_size)
            found.append(runs.encode(X.to(device)).detach().cpu())
    if counts is not None:
        replays = (n for (name, _), n in counts.operators.items() if name == "replay")
        assert sum(replays) == 40
    torch.testing.assert_close(*found, rtol=1e-2, atol=1e-3)


def test_bias_and_top_k_lower_the_error():
    runs = published.PublishedSparseCoding(16, 8, n_runs=1, bias=True)
    runs.fit(X, learning_rate=0.1, n_steps=200)
    assert runs.offset.abs().max() > 0
    errors = []
    for k in (1, 4, None):
        codes = runs.encode(X, k=k, learning_rate=0.1, n_steps=300)
        assert (codes > 0).sum(2).max() <= (k or 16)
        errors.append(float((X - runs.offset - codes @ runs.dictionary).square().mean()))
    assert errors[0] > errors[1] > errors[2]


def test_figures_are_complete():
    assert len(figures.REGIMES) == 4 * 3 * 3
    assert set(figures.REGIMES) - set(figures.LARS) == {s for s in figures.REGIMES if s[2] == 15}
    assert {len(sweep) for sweep in figures.L1_SWEEP.values()} == {9}
    assert all(len(widths) == 6 for widths in figures.WIDTH.values())


def test_columns_without_figures_are_not_drawn(monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(_dictionary, "DRAWN_IN", _dictionary.DRAWN_IN)  # which the module sets
    rows = {"SAE": {"published method": [0.4, 0.6], "better method": 0.9}, "ITO": {}}
    figure, ax = pyplot.subplots()
    load("_common").draw_bars(ax, rows)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["published method, cut short", "better method"]
    drawn = [c for c in ax.containers if isinstance(c, pyplot.matplotlib.container.BarContainer)]
    centers = [bars[0].get_x() + bars[0].get_width() / 2 for bars in drawn]
    assert sum(centers) == pytest.approx(0)
    assert [bars[0].get_height() for bars in drawn] == [0.5, 0.9]
    pyplot.close(figure)
