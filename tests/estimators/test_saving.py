"""An estimator that was saved and loaded is the one that it was, and nothing foreign is loaded."""

import json
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_array_equal
from power_failure import assert_same_bits
from safetensors.numpy import load_file
from sklearn.base import clone
from sklearn.decomposition import DictionaryLearning, MiniBatchDictionaryLearning
from sklearn.linear_model import LinearRegression
from skorch.callbacks import EarlyStopping

import skamort
from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, MLPEncoder, SAEEncoder, TopKSAE
from skamort.training import ResampleDead, Schedule, TeachDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DATA = Path(__file__).parents[1] / "data"
X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)


def every_kind():
    """Return one estimator of each class, and of what it is made, with little to do."""
    found = [clone(e).set_params(random_state=0) for e in fast_estimators()]
    for estimator in found:
        if isinstance(estimator, ITOCoder):
            estimator.set_params(estimator=SAEEncoder(8, max_iter=2, random_state=0))
        elif "max_iter" in estimator.get_params() and not isinstance(estimator, AmortizedCoder):
            estimator.set_params(max_iter=2)
    return found


def saved_and_loaded(estimator, tmp_path):
    estimator.save(tmp_path / "saved")
    return skamort.load(tmp_path / "saved")


def by_pickle(estimator, tmp_path):
    return pickle.loads(pickle.dumps(estimator))


def by_joblib(estimator, tmp_path):
    joblib.dump(estimator, tmp_path / "saved.joblib")
    return joblib.load(tmp_path / "saved.joblib", mmap_mode="r")


CARRIERS = [saved_and_loaded, by_pickle, by_joblib]


def assert_same(ours, theirs):
    """Two estimators hold the same, to the bit."""
    assert ours.get_params().keys() == theirs.get_params().keys()
    assert vars(ours).keys() == vars(theirs).keys()
    assert_array_equal(ours.transform(X), theirs.transform(X))
    assert_array_equal(ours.components_, theirs.components_)
    if hasattr(ours, "net_"):
        net = ours.net_
        for name, value in theirs.net_.module_.state_dict().items():
            assert_array_equal(net.module_.state_dict()[name].numpy(), value.numpy())


BUSY = [
    TopKSAE(12, k=2, max_iter=3, batch_size=16, dead_latents=TeachDead(window=20)),
    SAEEncoder(12, max_iter=3, batch_size=16, dead_latents=ResampleDead(20), early_stopping=True),
    MLPEncoder(12, max_iter=3, schedule=Schedule(decay=0.5), dictionary=np.eye(12, 6) + 0.1),
    *every_kind(),
]


@pytest.mark.parametrize("estimator", BUSY, ids=lambda e: type(e).__name__)
def test_nothing_changes_on_the_way_and_fits_go_on_to_the_same_bits(estimator, tmp_path):
    stayed = clone(estimator).set_params(random_state=0).fit(X)
    came = [carry(stayed, tmp_path) for carry in CARRIERS]
    for one in came:
        assert_same(one, stayed)
    for step in (lambda e: e.partial_fit(X), lambda e: e.set_params(warm_start=True).fit(X)):
        if not hasattr(stayed, "partial_fit"):
            break
        step(stayed)
        for one in came:
            assert_same(step(one), stayed)
            if hasattr(one, "net_"):
                assert_same_bits(one, stayed)


@pytest.mark.parametrize("estimator", every_kind(), ids=lambda e: type(e).__name__)
def test_skops_needs_to_trust_few_types(estimator):
    io = pytest.importorskip("skops.io")
    fitted = clone(estimator).fit(X)
    stored = io.dumps(fitted)
    trusted = io.get_untrusted_types(data=stored)
    assert all(name.startswith("skamort.") for name in trusted), trusted
    assert len(trusted) <= 6
    assert_same(io.loads(stored, trusted=trusted), fitted)


@pytest.mark.parametrize(
    "estimator",
    [
        ITOCoder(estimator=SAEEncoder(8, max_iter=2, random_state=0), alpha=0.1),
        ITOCoder(estimator=DictionaryLearning(8, max_iter=2, random_state=0), alpha=0.1),
        ITOCoder(dictionary=np.eye(8, 6, dtype=np.float32) + 0.1, fit_intercept="mean"),
        AmortizedCoder(
            teacher=MiniBatchDictionaryLearning(
                8,
                max_iter=2,
                fit_algorithm="cd",
                positive_code=True,
                random_state=0,
                transform_algorithm="lasso_cd",
            ),
            encoder=SAEEncoder(max_iter=2),
            random_state=np.random.RandomState(0),
        ),
        GradSparseCoder(8, max_iter=2, dict_init=np.asfortranarray(np.eye(8, 6) + 0.1)),
    ],
)
def test_estimators_within_estimators(estimator, tmp_path):
    fitted = estimator.fit(X)
    loaded = saved_and_loaded(fitted, tmp_path)
    assert_same(loaded, fitted)
    for name in ("estimator_", "teacher_"):
        if getattr(fitted, name, None) is not None:
            again, part = getattr(loaded, name), getattr(fitted, name)
            assert type(again) is type(part)
            assert_array_equal(again.transform(X), part.transform(X))


def test_one_array_in_two_places_is_saved_once_and_stays_one(tmp_path):
    atoms = np.random.default_rng(1).standard_normal((12, 6)).astype(np.float32)
    sae = SAEEncoder(12, dictionary=atoms, max_iter=2, random_state=0).fit(X)
    loaded = saved_and_loaded(sae, tmp_path)
    assert loaded.dictionary is loaded._made_with["dictionary"]
    arrays = load_file(tmp_path / "saved" / "arrays.safetensors")
    assert sum(np.array_equal(array, atoms) for array in arrays.values()) == 1


def test_weights_are_readable_by_name(tmp_path):
    sae = SAEEncoder(12, max_iter=2, random_state=0).fit(X)
    sae.save(tmp_path / "sae")
    arrays = load_file(tmp_path / "sae" / "arrays.safetensors")
    assert_array_equal(arrays["net_.module.decoder.dictionary"], sae.components_)
    about = json.loads((tmp_path / "sae" / "estimator.json").read_text())
    assert about["skamort"] == skamort.__version__
    assert {"numpy", "scikit-learn", "torch"} <= about["versions"].keys()


def test_names_of_features_come_along(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    sae = SAEEncoder(12, max_iter=2, random_state=0).set_output(transform="pandas").fit(frame)
    loaded = saved_and_loaded(sae, tmp_path)
    assert_array_equal(loaded.feature_names_in_, sae.feature_names_in_)
    assert loaded.feature_names_in_.dtype == object
    assert loaded.transform(frame).equals(sae.transform(frame))


def test_what_was_never_fitted_can_be_saved(tmp_path):
    loaded = saved_and_loaded(TopKSAE(12, k=3, schedule=Schedule(decay=0.5)), tmp_path)
    assert repr(loaded) == repr(TopKSAE(12, k=3, schedule=Schedule(decay=0.5)))
    assert loaded.set_params(max_iter=1).fit(X).transform(X).shape == (40, 12)


def test_a_frozen_weight_stays_frozen_and_keeps_its_moments(tmp_path):
    sae = SAEEncoder(12, max_iter=2, random_state=0).fit(X)
    sae.net_.module_.encoder.bias.requires_grad_(False)
    loaded = saved_and_loaded(sae, tmp_path)
    assert not loaded.net_.module_.encoder.bias.requires_grad
    assert len(loaded.net_.optimizer_.state) == len(sae.net_.optimizer_.state)
    assert_same_bits(loaded.partial_fit(X), sae.partial_fit(X))
    for one in (loaded, sae):
        one.net_.module_.encoder.bias.requires_grad_(True)
    assert_same_bits(loaded.partial_fit(X), sae.partial_fit(X))


def test_arrays_keep_the_layout_by_which_sums_go(tmp_path):
    start = np.asfortranarray(np.eye(8, 6) + 0.1)
    loaded = saved_and_loaded(GradSparseCoder(8, dict_init=start), tmp_path)
    assert_array_equal(loaded.dict_init, start)
    assert loaded.dict_init.strides == start.strides


# -- What is refused -------------------------------------------------------------------------------


def test_callbacks_of_others_are_left_out_with_a_warning(tmp_path):
    stop = EarlyStopping("train_loss")
    sae = SAEEncoder(12, max_iter=2, callbacks=[("stop", stop)], random_state=0).fit(X)
    with pytest.warns(UserWarning, match="leaves out callbacks of other packages: EarlyStopping"):
        sae.save(tmp_path / "saved")
    loaded = skamort.load(tmp_path / "saved")
    assert loaded.callbacks == []
    assert "stop" not in dict(loaded.net_.callbacks_)
    assert loaded.partial_fit(X).n_iter_ == 3


def score(X, y):
    return np.ones(X.shape[1])


class Mine(SAEEncoder):
    """Of another package."""


@pytest.mark.parametrize(
    ("estimator", "told"),
    [
        (SAEEncoder(feature_weights=score), r"SAEEncoder\.save: .*feature_weights is a function;"),
        (Mine(), r"Mine\.save: the object itself is a Mine; files hold numbers"),
        (SAEEncoder(dictionary=[[1 + 2j]]), "dictionary.0.0 is a complex; "),
        (ITOCoder(estimator=Mine(12)), "estimator is a Mine; "),
        (SAEEncoder(alpha={1: 2}), "alpha is a dict; files hold .*dicts of these by texts"),
        (
            SAEEncoder(dict_init=np.array(["a", 3], dtype=object)),
            "dict_init is a ndarray of object;",
        ),
        (SAEEncoder(dictionary=np.eye(2, dtype=">f8")), "dictionary is a ndarray of >f8;"),
    ],
)
def test_what_files_do_not_hold_is_refused_before_anything_is_written(estimator, told, tmp_path):
    with pytest.raises(TypeError, match=told):
        estimator.save(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_only_a_saved_estimator_is_replaced(tmp_path):
    first, second = SAEEncoder(4), SAEEncoder(5)
    first.save(tmp_path / "new" / "saved")
    second.save(tmp_path / "new" / "saved")
    assert skamort.load(tmp_path / "new" / "saved").n_components == 5
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("precious")
    for place in ("other", "other/mine.txt"):
        with pytest.raises(FileExistsError, match="is there and holds no saved estimator alone"):
            first.save(tmp_path / place)
    (tmp_path / "link").symlink_to(tmp_path / "new" / "saved")
    with pytest.raises(FileExistsError, match="delete it"):
        first.save(tmp_path / "link")
    assert (tmp_path / "other" / "mine.txt").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "new", "other"]


def note(folder):
    (folder / "README.md").write_text("precious")


def history(folder):
    (folder / ".git").mkdir()


def child(folder):
    SAEEncoder(6).save(folder / "child")


def only_its_name(folder):
    (folder / "estimator.json").write_text('{"mine": 1}')


def a_directory_of_its_name(folder):
    (folder / "estimator.json").unlink()
    (folder / "estimator.json").mkdir()
    (folder / "estimator.json" / "mine.txt").write_text("precious")


def a_directory_of_arrays(folder):
    (folder / "arrays.safetensors").unlink()
    (folder / "arrays.safetensors").mkdir()
    (folder / "arrays.safetensors" / "mine.txt").write_text("precious")


@pytest.mark.parametrize(
    ("put", "told"),
    [
        (note, "holds README.md too"),
        (history, r"holds \.git too"),
        (child, "holds child too"),
        (
            only_its_name,
            r"arrays\.safetensors, estimator\.json, and estimator\.json has no digests",
        ),
        (a_directory_of_its_name, r"estimator\.json is no plain file"),
        (a_directory_of_arrays, r"holds arrays\.safetensors too"),
    ],
)
def test_a_saved_estimator_with_something_else_beside_it_stays(put, told, tmp_path):
    SAEEncoder(4).save(tmp_path / "saved")
    put(tmp_path / "saved")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match=told):
        SAEEncoder(5).save(tmp_path / "saved")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_saved_estimator_that_lost_its_arrays_is_replaced(tmp_path):
    SAEEncoder(4).save(tmp_path / "saved")
    (tmp_path / "saved" / "arrays.safetensors").write_bytes(b"")
    SAEEncoder(5).save(tmp_path / "saved")
    assert skamort.load(tmp_path / "saved").n_components == 5


@pytest.mark.parametrize("place", ["", ".", "..", "saved/.."])
def test_a_place_without_a_name_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"has no name of its own.*'\./sae'"):
        SAEEncoder(4).save(place)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("moved", ["saved", "new"])
def test_an_interruption_leaves_the_old_or_the_new(moved, is_done, tmp_path, monkeypatch):
    from skamort.estimators import _saving

    def replace(source, target):
        if is_done or Path(source).name != moved:
            move(source, target)
        if Path(source).name == moved:
            raise KeyboardInterrupt

    move = _saving.os.replace
    SAEEncoder(4).save(tmp_path / "saved")
    monkeypatch.setattr(_saving.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        SAEEncoder(5).save(tmp_path / "saved")
    is_new = moved == "new" and is_done
    assert skamort.load(tmp_path / "saved").n_components == (5 if is_new else 4)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_what_cannot_be_put_back_is_kept(tmp_path, monkeypatch):
    """Somebody else takes the place between the two moves."""
    from skamort.estimators import _saving

    def replace(source, target):
        move(source, target)
        if Path(source).name == "saved":
            source.mkdir()
            note(source)

    move = _saving.os.replace
    SAEEncoder(4).save(tmp_path / "saved")
    monkeypatch.setattr(_saving.os, "replace", replace)
    with pytest.raises(OSError, match=r"old' -> "):
        SAEEncoder(5).save(tmp_path / "saved")
    (kept,) = tmp_path.glob(".saved-*/old")
    assert skamort.load(kept).n_components == 4
    assert (tmp_path / "saved" / "README.md").read_text() == "precious"


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path, monkeypatch):
    from skamort import _folder

    def write(path, content):
        raise OSError("No space left on device")

    SAEEncoder(4).save(tmp_path / "saved")
    monkeypatch.setattr(_folder, "_write_synced", write)
    with pytest.raises(OSError, match="No space left"):
        SAEEncoder(5).save(tmp_path / "saved")
    assert skamort.load(tmp_path / "saved").n_components == 4
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_what_is_not_ours_is_told_from_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no directory"):
        skamort.load(tmp_path / "nowhere")
    (tmp_path / "cfg.json").write_text("{}")
    with pytest.raises(ValueError, match=r"has no estimator.json.*see skamort\.interop"):
        skamort.load(tmp_path)


def test_a_newer_format_is_refused_with_the_version_that_wrote_it(tmp_path):
    SAEEncoder(4).save(tmp_path / "saved")
    path = tmp_path / "saved" / "estimator.json"
    about = json.loads(path.read_text()) | {"format": 2, "skamort": "9.1"}
    path.write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"by skamort 9\.1 in format 2, .* up to 1; update"):
        skamort.load(tmp_path / "saved")


def test_a_pickle_of_another_version_is_refused_by_name():
    net = SAEEncoder(4, max_iter=1, random_state=0).fit(X).net_
    for state in ({"module_": None}, {}, {**net.__getstate__(), "more": 1}):
        with pytest.raises(
            ValueError, match=r"SparseNet: this pickle is of another version .*save"
        ):
            net.__setstate__(state)


# -- Files of this version, for the versions to come -----------------------------------------------


@pytest.mark.parametrize("path", sorted(DATA.glob("saved-*/*/")), ids=lambda path: path.name)
def test_what_an_older_version_saved_is_loaded(path):
    """Before the first release `tests/data/save_estimators.py` may make the files anew."""
    loaded = skamort.load(path)
    expected = np.load(path.parent / "codes.npz")
    codes = loaded.transform(expected["X"])
    np.testing.assert_allclose(codes, expected[path.name], atol=1e-5)
    if hasattr(loaded, "partial_fit"):
        assert loaded.partial_fit(expected["X"]).n_iter_ > 0


def test_parameters_that_came_later_have_their_defaults(tmp_path):
    sae = SAEEncoder(12, max_iter=2, random_state=0).fit(X)
    for known in (vars(sae), sae._made_with):
        del known["max_grad_norm"]
    loaded = saved_and_loaded(sae, tmp_path)
    assert loaded.max_grad_norm is None
    assert loaded.partial_fit(X).n_iter_ == 3


def test_estimators_of_linear_models_are_no_coders(tmp_path):
    from skamort.estimators._saving import save

    save(LinearRegression(), tmp_path / "saved")
    with pytest.raises(ValueError, match="holds a LinearRegression, no estimator of skamort"):
        skamort.load(tmp_path / "saved")


@pytest.mark.parametrize("path", [5, None, b"bytes"], ids=repr)
def test_a_path_is_one(path):
    sae = SAEEncoder(4, max_iter=1).fit(X)
    with pytest.raises(TypeError, match=r"SAEEncoder.save: path must be a str or a path, got"):
        sae.save(path)
    with pytest.raises(TypeError, match="load: path must be a str or a path, got"):
        skamort.load(path)
