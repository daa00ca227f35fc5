"""What other packages have trained and saved is the same here: `benchmarks/check_interop.py` made
the files of `tests/data/interop` with them."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file

import skamort
from skamort import ITOCoder, interop
from skamort.metrics import amortization_gap

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DATA = Path(__file__).parents[1] / "data" / "interop"
FOLDERS = sorted(DATA.iterdir())
CLASSES = {
    "standard": "SAEEncoder",
    "standard-not-centered": "SAEEncoder",
    "new": "SAEEncoder",
    "topk": "TopKSAE",
    "topk-rescaled": "TopKSAE",
    "unnormalized": "TopKSAE",
    "tied": "TopKSAE",
    "jumprelu": "JumpReLUSAE",
    "gated": "GatedSAE",
    "batchtopk": "BatchTopKSAE",
    "matryoshka": "MatryoshkaSAE",
}


def loaded(folder):
    package, _, _ = folder.name.partition("-")
    more = {}
    if package == "overcomplete":
        beside = {name: value.item() for name, value in np.load(folder / "beside.npz").items()}
        more = {"threshold": beside["threshold"]} if "threshold" in beside else {}
        if "k" in beside and not more:
            more = {"k": int(beside["k"])}
    return getattr(interop, f"from_{package}")(folder, **more)


def expected_of(folder):
    return dict(np.load(folder / "expected.npz"))


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def folder(request):
    return request.param


def test_codes_and_reconstructions_are_theirs(folder):
    estimator, expected = loaded(folder), expected_of(folder)
    package, _, kind = folder.name.partition("-")
    name = CLASSES[kind]
    if package == "saelens" and kind in ("batchtopk", "matryoshka"):
        name = "JumpReLUSAE"  # as which it saves them
    assert type(estimator).__name__ == name
    codes = estimator.transform(expected["X"])
    theirs, reconstruction = expected["codes"], expected["reconstruction"]
    assert (theirs > 0).any()
    assert_allclose(codes > 0, theirs > 0)
    assert_allclose(estimator.inverse_transform(codes), reconstruction, atol=1e-5)
    norms = np.linalg.norm(estimator.components_, axis=1)
    if folder.name not in ("sparsify-unnormalized", "saelens-topk"):  # where norms decide nothing
        assert_allclose(norms, 1, atol=1e-5)
    factors = (codes * theirs).sum(0) / np.maximum(np.square(theirs).sum(0), 1e-30)
    assert_allclose(codes, theirs * factors, atol=1e-5)


def test_they_are_judged_saved_and_go_on_learning(folder, tmp_path):
    estimator, X = loaded(folder), expected_of(folder)["X"]
    gap = amortization_gap(estimator, X, alpha=0.1)
    assert 0 <= gap.gap <= gap.gap_upper
    best = ITOCoder(estimator=estimator, alpha=0.1).fit(X).transform(X)
    assert best.shape == estimator.transform(X).shape
    estimator.save(tmp_path / "saved")
    again = skamort.load(tmp_path / "saved")
    assert_allclose(again.transform(X), estimator.transform(X))
    before = estimator.components_
    assert not np.array_equal(estimator.partial_fit(X).components_, before)
    assert estimator.n_iter_ == 1
    assert_allclose(np.linalg.norm(estimator.components_, axis=1), 1, atol=1e-5)


def test_state_dicts_do_as_files_do():
    X = expected_of(DATA / "saelens-jumprelu")["X"]
    for name, file, more in [
        ("saelens-jumprelu", "sae_weights.safetensors", "cfg.json"),
        ("sparsify-topk", "sae.safetensors", "cfg.json"),
    ]:
        state, cfg = load_file(DATA / name / file), json.loads((DATA / name / more).read_text())
        half = {key: tensor.half() for key, tensor in state.items()}
        load = getattr(interop, f"from_{name.partition('-')[0]}")
        assert_allclose(load(state, cfg).transform(X), loaded(DATA / name).transform(X))
        assert load(half, cfg).components_.dtype == np.float32
        with pytest.raises(TypeError, match=r"needs cfg="):
            load(state)


def test_a_penalty_is_found_once_it_is_needed():
    sae, X = loaded(DATA / "saelens-standard"), expected_of(DATA / "saelens-standard")["X"]
    assert sae.alpha_ is None
    with pytest.raises(ValueError, match="has no L1 weight of its own"):
        amortization_gap(sae, X)
    assert sae.partial_fit(X).alpha_ > 0
    assert amortization_gap(sae, X).alpha == sae.alpha_


GEMMA = {
    "W_enc": np.array([[1, 0, 2, -1], [0, 1, 2, 0]], dtype=np.float32),
    "W_dec": np.array([[1, 0], [0, 1], [3, 4], [-1, 0]], dtype=np.float32),
    "b_enc": np.array([0, 0.5, -1, 0.25], dtype=np.float32),
    "b_dec": np.array([0.5, -0.5], dtype=np.float32),
    "threshold": np.array([1, 0.25, 0, 0.5], dtype=np.float32),
}


def test_gemma_scope_does_not_center_and_keeps_what_exceeds(tmp_path):
    np.savez(tmp_path / "params.npz", **GEMMA)
    X = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    A = X @ GEMMA["W_enc"] + GEMMA["b_enc"]
    codes = np.where(GEMMA["threshold"] < A, A, 0).clip(0)
    sae = interop.from_gemma_scope(tmp_path)
    assert_allclose(sae.transform(X), codes * [1, 1, 5, 1], atol=1e-5)
    reconstruction = codes @ GEMMA["W_dec"] + GEMMA["b_dec"]
    assert_allclose(sae.inverse_transform(sae.transform(X)), reconstruction, atol=1e-5)


def openai_state(activation, **more):
    torch.manual_seed(0)
    linear = {"encoder.weight": torch.randn(5, 3), "decoder.weight": torch.randn(3, 5)}
    biases = {"pre_bias": torch.randn(3), "latent_bias": torch.randn(5)}
    kind = {"activation": activation, "activation_state_dict": more}
    return {**linear, **biases, **kind, "stats_last_nonzero": torch.zeros(5, dtype=torch.long)}


@pytest.mark.parametrize("activation", ["ReLU", "TopK"])
def test_openai(activation, tmp_path):
    more = {"k": 2, "postact_fn": "ReLU"} if activation == "TopK" else {}
    state = openai_state(activation, **more)
    torch.save(state, tmp_path / "3.pt")
    X = torch.randn(20, 3)
    A = (X - state["pre_bias"]) @ state["encoder.weight"].T + state["latent_bias"]
    codes = A.relu()
    if activation == "TopK":
        with pytest.raises(ValueError, match="each row is normalized, which no estimator does"):
            interop.from_openai(tmp_path / "3.pt")
        kept = A.topk(2)
        codes = torch.zeros_like(A).scatter(1, kept.indices, kept.values.relu())
    sae = interop.from_openai(tmp_path / "3.pt", rows_are_normalized=True)
    reconstruction = codes @ state["decoder.weight"].T + state["pre_bias"]
    found = sae.inverse_transform(sae.transform(X.numpy()))
    assert_allclose(found, reconstruction.numpy(), atol=1e-5)


# -- What is refused -------------------------------------------------------------------------------


def test_what_has_no_estimator_is_refused_by_name():
    state = load_file(DATA / "saelens-standard" / "sae_weights.safetensors")
    with pytest.raises(ValueError, match=r"architecture='temporal' is none of standard"):
        interop.from_saelens(state, {"architecture": "temporal"})
    cfg = {"architecture": "standard", "normalize_activations": "layer_norm"}
    with pytest.raises(ValueError, match=r"'layer_norm' normalizes each row.*wrap"):
        interop.from_saelens(state, cfg)
    assert interop.from_saelens(state, cfg, rows_are_normalized=True).components_.shape == (12, 6)
    with pytest.raises(ValueError, match="no estimator here has transcode"):
        interop.from_sparsify({}, {"k": 3, "transcode": True})
    with pytest.raises(ValueError, match="has activation='groupmax'"):
        interop.from_sparsify({}, {"k": 3, "activation": "groupmax"})
    with pytest.raises(ValueError, match="the encoder is not linear"):
        interop.from_overcomplete(
            {"dictionary._weights": torch.eye(2), "encoder.mlp_blocks.0.weight": torch.eye(2)}
        )
    with pytest.raises(ValueError, match="neither ReLU nor TopK"):
        interop.from_openai(openai_state("JumpReLU"))


def test_weights_that_do_not_tell_the_architecture_are_asked_about(tmp_path):
    shutil.copy(DATA / "dictionary_learning-topk" / "ae.pt", tmp_path)
    with pytest.raises(ValueError, match="have the same weights, and dict_class is ''"):
        interop.from_dictionary_learning(tmp_path)
    state = torch.load(tmp_path / "ae.pt", weights_only=True)
    assert state["threshold"].isinf()  # of AutoEncoderTopK, which does not use it
    state["threshold"] = torch.tensor(0.5)
    for kind, name in {"AutoEncoderTopK": "TopKSAE", "BatchTopKSAE": "BatchTopKSAE"}.items():
        config = {"trainer": {"dict_class": kind}}
        found = interop.from_dictionary_learning(state, config)
        assert type(found).__name__ == name
    del state["threshold"]  # as before the package had one
    found = interop.from_dictionary_learning(state, {"trainer": {"dict_class": "AutoEncoderTopK"}})
    assert type(found).__name__ == "TopKSAE"
    with pytest.raises(ValueError, match="threshold"):
        interop.from_dictionary_learning(state, config)
    for kind in ("standard", "gated", "jumprelu", "matryoshka", "new"):
        folder = DATA / f"dictionary_learning-{kind}"
        found = interop.from_dictionary_learning(folder / "ae.pt", config={})
        assert type(found).__name__ == CLASSES[kind]


@pytest.mark.parametrize("name", ["gemma_scope", "openai", "sparsify", "saelens", "overcomplete"])
def test_files_that_are_not_there_are_named(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"from_{name}: there is no file"):
        getattr(interop, f"from_{name}")(tmp_path)


def test_weights_that_are_missing_or_do_not_fit_are_named():
    with pytest.raises(ValueError, match="threshold not found among W_dec"):
        interop.from_gemma_scope({k: v for k, v in GEMMA.items() if k != "threshold"})
    with pytest.raises(ValueError, match=r"the bias must be finite and of shape \(4,\)"):
        interop.from_gemma_scope({**GEMMA, "b_enc": np.zeros(3)})
    with pytest.raises(ValueError, match="the decoder must be finite"):
        interop.from_gemma_scope({**GEMMA, "W_dec": np.full((4, 2), np.nan)})
    with pytest.raises(TypeError, match="takes a path or a state dict, got int"):
        interop.from_gemma_scope(3)


GATED = {
    "W_enc": torch.eye(2, 4),
    "W_dec": torch.eye(4, 2),
    "b_dec": torch.zeros(2),
    **{name: torch.zeros(4) for name in ("b_gate", "r_mag", "b_mag")},
}
CENTERED = {"W_dec": torch.eye(4, 2), "b_dec": torch.zeros(2)}
TOPK = {**CENTERED, "W_enc": torch.eye(2, 4), "b_enc": torch.zeros(4)}
SPARSIFY = {**CENTERED, "encoder.weight": torch.eye(4, 2), "encoder.bias": torch.zeros(4)}
OVERCOMPLETE = {"dictionary._weights": torch.eye(4, 2)}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(4,), (3,), ()])
def test_every_weight_must_be_finite_and_fit(value, shape):
    wrong = np.full(shape, value, dtype=np.float32)
    wrong_shape = np.ones((2, *shape), dtype=np.float32)
    for one in (wrong, wrong_shape):
        with pytest.raises(ValueError, match=r"the threshold must be finite and of shape \(4,\)"):
            interop.from_gemma_scope({**GEMMA, "threshold": one})
        for name, told in {"r_mag": "log_scale", "b_mag": "mag_bias", "b_gate": "bias"}.items():
            with pytest.raises(ValueError, match=rf"the {told} must be finite and of shape"):
                interop.from_saelens({**GATED, name: one}, {"architecture": "gated"})
    with pytest.raises(ValueError, match=r"the threshold must be finite and of shape \(\)"):
        interop.from_overcomplete(OVERCOMPLETE, threshold=float(value), k=2)
    with pytest.raises(ValueError, match="the decoder must be a matrix"):
        interop.from_gemma_scope({**GEMMA, "W_dec": np.ones(shape)})


@pytest.mark.parametrize("k", [None, 0, -3, 5, 2.5, "2", True])
def test_how_many_codes_are_kept_is_told_or_asked_for(k):
    for load in (
        lambda: interop.from_saelens(TOPK, {"architecture": "topk", "k": k}),
        lambda: interop.from_sparsify(SPARSIFY, {"k": k}),
        lambda: interop.from_openai(
            openai_state("TopK", k=6 if k == 5 else k), rows_are_normalized=True
        ),
    ):
        with pytest.raises(ValueError, match="k, how many codes are kept, must be a whole number"):
            load()
    with pytest.raises(ValueError, match="got None"):
        interop.from_sparsify(SPARSIFY, {})


def test_a_configuration_is_a_mapping():
    with pytest.raises(TypeError, match=r"needs cfg=, a mapping .* got str"):
        interop.from_saelens(TOPK, "topk")
    with pytest.raises(TypeError, match=r"needs cfg=, a mapping .* got int"):
        interop.from_sparsify(SPARSIFY, 3)
    for config in ("x", {"trainer": "x"}):
        with pytest.raises(TypeError, match=r"from_dictionary_learning: .* a mapping"):
            interop.from_dictionary_learning(SPARSIFY, config)


def test_texts_among_arrays_are_passed_over_and_what_is_not_there_is_told(tmp_path):
    np.savez(tmp_path / "params.npz", **GEMMA, model=np.array("gemma"))
    assert interop.from_gemma_scope(tmp_path).components_.shape == (4, 2)
    with pytest.raises(ValueError, match="not found among no tensors at all; give a state dict"):
        interop.from_gemma_scope({})


JUNK = [b"", b"junk", b"\x00\xff" * 40, b"[1]", b"PK\x03\x04 junk", pickle.dumps("text")]


@pytest.mark.parametrize("junk", [*JUNK, b"joke{" * 20])
@pytest.mark.parametrize(
    ("package", "broken", "whole"),
    [
        ("saelens", "cfg.json", None),
        ("saelens", "sae_weights.safetensors", "cfg.json"),
        ("sparsify", "cfg.json", None),
        ("sparsify", "sae.safetensors", "cfg.json"),
        ("dictionary_learning", "config.json", None),
        ("dictionary_learning", "ae.pt", "config.json"),
        ("gemma_scope", "params.npz", None),
        ("openai", "autoencoder.pt", None),
        ("overcomplete", "model.pt", None),
    ],
)
def test_files_that_are_damaged_are_named(package, broken, whole, junk, tmp_path):
    (tmp_path / broken).write_bytes(junk)
    if whole:
        (tmp_path / whole).write_text("{}")
    with pytest.raises(
        ValueError, match=rf"from_{package}: .*{broken}' is no .* or damaged.*fetch it anew"
    ) as refusal:
        getattr(interop, f"from_{package}")(tmp_path)
    assert "allow_pickle" not in str(refusal.value)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was run",))


def test_nothing_in_a_file_is_run(tmp_path):
    np.savez(tmp_path / "params.npz", **{**GEMMA, "b_dec": np.array([Bomb()], dtype=object)})
    with pytest.raises(ValueError, match=r"params.npz' is no npz file.*nothing of it was run"):
        interop.from_gemma_scope(tmp_path)
    (tmp_path / "ae.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"ae.pt' is no state dict.*nothing of it was run"):
        interop.from_dictionary_learning(tmp_path)
    torch.save({"bias": Bomb()}, tmp_path / "ae.pt")
    with pytest.raises(ValueError, match="nothing of it was run"):
        interop.from_dictionary_learning(tmp_path)
