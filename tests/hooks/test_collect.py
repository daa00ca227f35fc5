"""Rows are the layer's, in their places, in memory or in a folder, whatever interrupts."""

import json

import numpy as np
import pytest
import torch
from language_model import WIDTH, make_texts
from numpy.testing import assert_allclose, assert_array_equal

from skamort import TopKSAE
from skamort.hooks import collect_activations, open_activations

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning"
)


def activations_of(model, texts):
    model.eval()
    with torch.no_grad():
        return torch.cat([model.blocks[0](model.embed(batch), None)[0] for batch in texts]).numpy()


def rows_of(found):
    return [np.asarray(part) for part in (found.rows, found.text, found.position)]


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_rows_are_those_of_the_layer(model, texts, skip):
    found = collect_activations(model, "blocks.0", texts, dtype="float32", skip=skip)
    values = activations_of(model, texts)
    assert_array_equal(found.position, np.tile(np.arange(skip, 7), 12))
    assert_array_equal(found.text, np.repeat(np.arange(12), 7 - skip))
    assert_allclose(found.rows, values[found.text, found.position], atol=1e-6)
    assert "from 12 texts" in repr(found)


@pytest.mark.parametrize(
    "form",
    [
        lambda ids: {"input_ids": ids},
        lambda ids: (ids, torch.ones_like(ids)),
        lambda ids: ids.numpy(),
        lambda ids: ids.tolist(),
    ],
)
def test_a_batch_is_an_input_keywords_or_several_inputs(model, texts, form):
    expected = collect_activations(model, "blocks.1", texts)
    found = collect_activations(model, "blocks.1", [form(batch) for batch in texts])
    assert_allclose(found.rows, expected.rows, atol=1e-3)


def test_padding_and_what_the_mask_says_are_left_out(model, texts):
    attended = torch.tensor([[0, 1, 1, 1, 1, 1, 0]] * 4)
    batches = [{"input_ids": texts[0], "attention_mask": attended}]
    found = collect_activations(model, "embed", batches)
    assert_array_equal(found.position, [2, 3, 4, 5] * 4)
    even = lambda batch: (batch["input_ids"] % 2 == 0).numpy()  # noqa: E731
    chosen = collect_activations(model, "embed", batches, mask=even)
    assert 0 < len(chosen) < len(found)
    assert (texts[0][chosen.text, chosen.position] % 2 == 0).all()


def test_rows_without_positions():
    X = torch.arange(12.0).reshape(6, 2)
    found = collect_activations(torch.nn.ReLU(), "", [X[:4], X[4:]], dtype="float64")
    assert_array_equal(found.rows, X)
    assert_array_equal(found.text, range(6))
    assert not found.position.any()


def test_a_folder_holds_what_memory_would(model, texts, tmp_path):
    expected = collect_activations(model, "blocks.1", texts)
    found = collect_activations(model, "blocks.1", texts, tmp_path / "new" / "folder")
    again = open_activations(tmp_path / "new" / "folder")
    for one, two, three in zip(*map(rows_of, (expected, found, again)), strict=True):
        assert_array_equal(one, two)
        assert_array_equal(one, three)
    assert isinstance(found.rows, np.memmap)
    assert TopKSAE(4, k=2, max_iter=1).fit(found.rows).n_features_in_ == WIDTH


def interrupted(texts, n_before):
    yield from texts[:n_before]
    raise KeyboardInterrupt


@pytest.mark.parametrize("n_before", [0, 1, 2])
def test_it_goes_on_where_it_was_interrupted(model, texts, tmp_path, n_before):
    expected = collect_activations(model, "blocks.0", texts, skip=0)
    with pytest.raises(KeyboardInterrupt):
        collect_activations(model, "blocks.0", interrupted(texts, n_before), tmp_path, skip=0)
    with open(tmp_path / "rows.bin", "ab") as file:  # of a batch that was cut off
        file.write(b"x" * 37)
    before = model.blocks[0].n_calls
    found = collect_activations(model, "blocks.0", texts, tmp_path, skip=0)
    assert model.blocks[0].n_calls - before == len(texts) - n_before
    for one, two in zip(rows_of(expected), rows_of(found), strict=True):
        assert_array_equal(one, two)


def test_other_origins_and_other_batches_are_refused(model, texts, tmp_path):
    collect_activations(model, "blocks.0", texts, tmp_path)
    with pytest.raises(ValueError, match=r"another origin: layer 'blocks.0', now 'blocks.1'"):
        collect_activations(model, "blocks.1", texts, tmp_path)
    with pytest.raises(ValueError, match="the first 3 batches are not those"):
        collect_activations(model, "blocks.0", make_texts(seed=1), tmp_path)
    with pytest.raises(ValueError, match="the first 3 batches are not those"):
        collect_activations(model, "blocks.0", texts[::-1], tmp_path)
    for fewer in (texts[:2], make_texts(n_batches=2, seed=1), []):
        with pytest.raises(ValueError, match="the first 3 batches are not those"):
            collect_activations(model, "blocks.0", fewer, tmp_path)
    with torch.no_grad():
        model.embed.weight += 1
    with pytest.raises(ValueError, match="another origin: model"):
        collect_activations(model, "blocks.0", texts, tmp_path)


@pytest.mark.parametrize("name", ["rows.bin", "places.bin"])
def test_files_of_others_stay(model, texts, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ValueError, match=f"holds {name} that collect_activations did not write"):
        collect_activations(model, "embed", texts, tmp_path)
    assert (tmp_path / name).read_bytes() == b"mine"


def test_damaged_folders_are_refused(model, texts, tmp_path):
    with pytest.raises(ValueError, match="does not hold activations"):
        open_activations(tmp_path)
    collect_activations(model, "blocks.0", texts, tmp_path)
    with open(tmp_path / "rows.bin", "r+b") as file:
        file.truncate(50)
    with pytest.raises(ValueError, match="shorter than"):
        open_activations(tmp_path)
    with pytest.raises(ValueError, match="shorter than"):
        collect_activations(model, "blocks.0", texts, tmp_path)
    state = json.loads((tmp_path / "state.json").read_text())
    for damage in ({"n_rows": -1}, {"n_texts": "3"}, {"origin": {"dtype": "O"}}, {"digest": None}):
        (tmp_path / "state.json").write_text(json.dumps(state | damage))
        with pytest.raises(ValueError, match="damaged"):
            open_activations(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps(state | {"version": 99}))
    with pytest.raises(ValueError, match="version 99"):
        open_activations(tmp_path)


@pytest.mark.parametrize(
    ("value", "rule"),
    [(np.nan, "NaN or infinity"), (np.inf, "NaN or inf"), (1e5, "float16; store")],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_row_that_cannot_be_stored_is_named(value, rule):
    X = torch.ones(4, 5, 3)
    X[2, 3, 1] = value
    with pytest.raises(ValueError, match=f"text 6, position 3 of layer '' .*{rule}"):
        collect_activations(torch.nn.Identity(), "", [torch.ones(4, 5, 3), X])


def test_bad_requests(model, texts):
    with pytest.raises(ValueError, match=r"dtype must be one of float16, .*'int8'"):
        collect_activations(model, "embed", texts, dtype="int8")
    with pytest.raises(ValueError, match="no position of layer 'embed' is kept"):
        collect_activations(model, "embed", texts, skip=7)
    with pytest.raises(ValueError, match="no position"):
        collect_activations(model, "embed", [])
    with pytest.raises(ValueError, match="skip must be >= 0"):
        collect_activations(model, "embed", texts, skip=-1)
    with pytest.raises(ValueError, match=r"mask must have an entry .*\(4, 7\), got shape \(3,\)"):
        collect_activations(model, "embed", texts, mask=lambda _: [True] * 3)


def test_progress_is_told(model, texts, capsys, monkeypatch):
    monkeypatch.setattr("skamort.hooks._collect._SECONDS_BETWEEN_REPORTS", 0.0)
    collect_activations(model, "embed", texts, verbose=1)
    assert "batch 3: 72 rows" in capsys.readouterr().out
    collect_activations(model, "embed", texts)
    assert not capsys.readouterr().out
