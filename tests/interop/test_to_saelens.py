"""What `to_saelens` writes, decoded here by SAELens's equations, has the estimator's codes."""

import contextlib
import json
import os

import numpy as np
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load_file

from skamort import (
    AmortizedCoder,
    BatchTopKSAE,
    GatedSAE,
    GradSparseCoder,
    JumpReLUSAE,
    MatryoshkaSAE,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
)
from skamort.interop import from_saelens, to_saelens

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).standard_normal((80, 5)) + 0.5
FILES = ("cfg.json", "sae_weights.safetensors")
QUICK = {"n_components": 9, "max_iter": 4, "random_state": 0}


def theirs(folder, X):
    """Codes and reconstructions as the classes of SAELens 6 compute them."""
    cfg, w = (
        json.loads((folder / "cfg.json").read_text()),
        load_file(folder / "sae_weights.safetensors"),
    )
    centered = X - w["b_dec"] * cfg["apply_b_dec_to_input"]
    if cfg["architecture"] == "gated":
        pre = centered @ (w["W_enc"] * np.exp(w["r_mag"])) + w["b_mag"]
        codes = (centered @ w["W_enc"] + w["b_gate"] > 0) * pre.clip(0)
    else:
        pre = centered @ w["W_enc"] + w["b_enc"]
        codes = pre.clip(0) * (pre > w.get("threshold", 0))
    if cfg["architecture"] == "topk":
        codes[codes < np.sort(codes)[:, [-cfg["k"]]]] = 0
    return codes, codes @ w["W_dec"] + w["b_dec"]


@pytest.mark.parametrize(
    "estimator",
    [
        SAEEncoder(**QUICK),
        SAEEncoder(**QUICK, encoder_bias=False, fit_intercept=False),
        WeightedSAE(**QUICK),
        TopKSAE(**QUICK, k=2, transform_k=3),
        BatchTopKSAE(**QUICK, k=2),
        BatchTopKSAE(**QUICK, k=2, transform_threshold=0.3),
        JumpReLUSAE(**QUICK),
        GatedSAE(**QUICK),
        MatryoshkaSAE(**QUICK, k=2),
        AmortizedCoder(
            teacher=GradSparseCoder(9, max_iter=3, fit_intercept=True),
            encoder=SAEEncoder(max_iter=3),
            random_state=0,
        ),
    ],
)
@pytest.mark.parametrize("unit", [1, 1e9])
def test_codes_are_the_same_there_and_when_they_come_back(estimator, unit, tmp_path):
    data, others = X[:40] * unit, X[40:] * unit
    if "transform_threshold" in estimator.get_params() and estimator.transform_threshold:
        estimator.set_params(transform_threshold=0.3 * unit)
    codes = estimator.fit(data).transform(others)
    reconstruction = estimator.inverse_transform(codes)
    assert (codes > 0).any()
    to_saelens(estimator, tmp_path, metadata={"hook_name": "here"})
    again = from_saelens(tmp_path)
    for found, image in [
        theirs(tmp_path, others),
        (again.transform(others), again.inverse_transform(again.transform(others))),
    ]:
        assert_allclose(found, codes, atol=1e-9 * unit)
        assert_allclose(image, reconstruction, atol=1e-9 * unit)
    about = json.loads((tmp_path / "cfg.json").read_text())
    assert about["metadata"]["hook_name"] == "here"
    assert (about["d_in"], about["d_sae"]) == (5, 9)


@pytest.mark.parametrize(
    ("estimator", "told"),
    [
        (MLPEncoder(**QUICK, hidden_layer_sizes=(4,)), "has a MLP, SAELens has linear"),
        (GradSparseCoder(9, max_iter=2), "has no trained encoder"),
    ],
)
def test_what_saelens_has_not_is_refused(estimator, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        to_saelens(estimator.fit(X), tmp_path / "new")
    with pytest.raises(ValueError, match="is not fitted"):
        to_saelens(SAEEncoder(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": float("nan")}, {(1, 2): 3}, ["a"]])
def test_metadata_that_json_does_not_hold_leave_what_was_there(metadata, tmp_path):
    sae = SAEEncoder(**QUICK).fit(X)
    with pytest.raises(TypeError, match="to_saelens: metadata must be a mapping"):
        to_saelens(sae, tmp_path / "new", metadata=metadata)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("n_moves", [0, 1, 2])
def test_an_interruption_leaves_no_mixture(n_moves, tmp_path, monkeypatch):
    def replace(source, target):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        move(source, target)

    left, move = [None] * n_moves, os.replace
    old, new = (SAEEncoder(**QUICK | {"random_state": seed}).fit(X) for seed in (1, 2))
    to_saelens(old, tmp_path)
    (tmp_path / "README.md").write_text("precious")
    monkeypatch.setattr("skamort._folder.os.replace", replace)
    with pytest.raises(KeyboardInterrupt) if n_moves < 2 else contextlib.nullcontext():
        to_saelens(new, tmp_path)
    if n_moves == 2:
        assert_allclose(from_saelens(tmp_path).transform(X), new.transform(X), atol=1e-5)
    else:
        with pytest.raises(FileNotFoundError, match=r"cfg\.json"):
            from_saelens(tmp_path)
    assert {"README.md"} < {path.name for path in tmp_path.iterdir()} <= {"README.md", *FILES}


def test_a_full_disk_leaves_the_earlier_files(tmp_path, monkeypatch):
    def write(path, content):
        path.write_bytes(content[:5])
        raise OSError("No space left on device")

    old, new = (SAEEncoder(**QUICK | {"random_state": seed}).fit(X) for seed in (1, 2))
    to_saelens(old, tmp_path)
    monkeypatch.setattr("skamort._folder._write_synced", write)
    with pytest.raises(OSError, match="No space left"):
        to_saelens(new, tmp_path)
    assert_allclose(from_saelens(tmp_path).transform(X), old.transform(X), atol=1e-5)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
