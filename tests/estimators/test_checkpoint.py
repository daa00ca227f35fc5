"""A fit that was killed goes on to the same bits; what cannot be resumed is refused."""

import errno
import functools
import json
import math
import operator
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from on_disk import OnDisk
from power_failure import PowerFailure, assert_same_bits
from safetensors.torch import load_file
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skamort import (
    BatchTopKSAE,
    JumpReLUSAE,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    WeightedSAE,
    _rows,
)
from skamort.training import Checkpoint, ResampleDead, Schedule

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


ENCODERS = [
    SAEEncoder(12, dead_latents="resample", fit_intercept=True),
    JumpReLUSAE(12, dead_latents="resample"),
    SAEEncoder(12, schedule=Schedule(warmup=0.3, decay=0.6, alpha_warmup=0.7)),
    LISTAEncoder(12, n_layers=2),
    MLPEncoder(12, hidden_layer_sizes=(8,), early_stopping=True),
    TopKSAE(12, k=2, dead_latents="auxk"),
    BatchTopKSAE(12, k=2),
    TopKSAE(12, k=2, multi_topk=True, n_stages=2, schedule=Schedule(decay=1.0), max_grad_norm=0.1),
    WeightedSAE(12),
]


@pytest.fixture(params=ENCODERS, ids=lambda encoder: type(encoder).__name__)
def encoder(request):
    common = {"batch_size": 32, "max_iter": 9, "tol": 0.5, "n_iter_no_change": 9}
    return clone(request.param).set_params(**common)


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.standard_normal((100, 6))


def killed(encoder, X, after, unit="epochs", **fit_params):
    """Fit until the power fails."""
    with pytest.raises(MemoryError):
        clone(encoder).set_params(callbacks=[PowerFailure(after, unit)]).fit(X, **fit_params)


@pytest.fixture(params=["in_memory", "by_chunks"])
def data(request, X, monkeypatch):
    if request.param == "in_memory":
        return X
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 47 * 6)  # a buffer of 47 rows
    return OnDisk(X, (10, 6))


def test_a_fit_resumed_after_an_epoch_ends_in_the_same_bits(encoder, data, tmp_path):
    undisturbed = clone(encoder).set_params(random_state=3).fit(data)
    encoder.set_params(checkpoint=tmp_path)
    killed(clone(encoder).set_params(random_state=3), data, 5, resume=True)
    killed(encoder, data, 3, resume=True)  # random_state=None: the seed is part of the checkpoint
    assert_same_bits(encoder.fit(data, resume=True), undisturbed)


def test_a_fit_resumed_within_an_epoch_ends_in_the_same_bits(encoder, data, tmp_path):
    undisturbed = clone(encoder).set_params(random_state=3).fit(data)
    encoder.set_params(checkpoint=Checkpoint(tmp_path, every_seconds=0), random_state=3)
    for steps in (2, 9, 0):
        killed(encoder, data, steps, "steps", resume=True)
    assert "batch" in max(tmp_path.iterdir()).name
    assert_same_bits(encoder.fit(data, resume=True), undisturbed)


def test_what_was_counted_and_drawn_within_an_epoch_lasts(X, tmp_path):
    """Killed in the second epoch and in the last, each after latents have been resampled."""
    common = {"batch_size": 20, "max_iter": 3, "tol": 0, "random_state": 0}
    encoder = TopKSAE(40, k=1, dead_latents=ResampleDead(window=20), **common)
    undisturbed = clone(encoder).fit(X)
    encoder.set_params(checkpoint=Checkpoint(tmp_path, every_seconds=0))
    for steps in (8, 5):
        killed(encoder, X, steps, "steps", resume=True)
    assert_same_bits(encoder.fit(X, resume=True), undisturbed)


def test_a_schedule_is_resumed_with_the_length_it_had(X, tmp_path):
    encoder = SAEEncoder(12, max_iter=6, schedule=Schedule(decay=0.5), checkpoint=tmp_path)
    killed(encoder, X, 2)
    with pytest.raises(ValueError, match=r"of another run \(max_iter: 6 then, 9 now\)"):
        encoder.set_params(max_iter=9).fit(X, resume=True)


SCRIPT = """
import os, random, signal, sys, warnings
import numpy as np, torch
from skorch.callbacks import Callback
from skamort import TopKSAE, _rows
from skamort.training import Checkpoint, ResampleDead

torch.set_num_threads(1)
warnings.simplefilter("ignore")
random.seed(0)
steps = 12 * 19

class Killer(Callback):
    def __init__(self, step):
        self.step = step
    def on_batch_end(self, net, **kwargs):
        self.step -= 1
        if self.step < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def fit(step, **checkpoint_params):
    encoder = TopKSAE(12, k=2, batch_size=16, max_iter=12, tol=0, random_state=0,
                      dead_latents=ResampleDead(window=100), callbacks=[Killer(step)])
    return encoder.set_params(**checkpoint_params).fit(X, resume=bool(checkpoint_params))

def check(**checkpoint_params):
    expected = fit(steps)  # first, so that the children find all modules imported
    for _ in range(10):
        child = os.fork()
        if child == 0:
            fit(random.randrange(steps // 5), **checkpoint_params)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else "ended", end=" ")
    resumed = fit(steps, **checkpoint_params)
    assert resumed.n_iter_ == expected.n_iter_ == 12
    assert resumed.loss_curve_ == expected.loss_curve_
    for name, value in resumed.net_.module_.state_dict().items():
        assert torch.equal(value, expected.net_.module_.state_dict()[name]), name
    print("same bits")

X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)
check(checkpoint=sys.argv[1] + "/by_epochs")
np.save(sys.argv[1] + "/X.npy", X)
X = np.load(sys.argv[1] + "/X.npy", mmap_mode="r")
_rows.BLOCK_ELEMENTS = 100 * 6
check(checkpoint=Checkpoint(sys.argv[1] + "/by_seconds", every_seconds=0.005))
"""


def test_ten_kills_at_random_steps_change_no_bit(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.endswith("same bits")
        assert line.split().count("9") >= 5


@pytest.fixture
def sae(tmp_path):
    return SAEEncoder(
        12, max_iter=8, tol=0.5, random_state=0, checkpoint=Checkpoint(tmp_path / "run")
    )


def test_weights_are_readable_by_name(sae, X):
    killed(sae, X, 4)
    path = max(sae.checkpoint.path.glob("epoch-*"))
    assert path.name == "epoch-000004"
    weights = load_file(path / "weights.safetensors")
    assert weights["decoder.dictionary"].shape == (12, 6)


def test_the_newest_two_are_kept_at_the_intervals_asked_for(sae, X):
    killed(sae.set_params(checkpoint__every_epochs=3), X, 7)
    names = sorted(path.name for path in sae.checkpoint.path.iterdir())
    assert names == ["epoch-000003", "epoch-000006"]


def test_time_may_set_the_interval(sae, X):
    killed(sae.set_params(checkpoint__every_seconds=3600), X, 7)
    assert not list(sae.checkpoint.path.iterdir())


def test_without_a_checkpoint_resume_starts_anew(sae, X):
    fitted = sae.fit(X, resume=True)
    plain = clone(sae).set_params(checkpoint=None).fit(X)
    assert_array_equal(fitted.components_, plain.components_)
    assert fitted.partial_fit(X).n_iter_ == plain.n_iter_ + 1  # and saves nothing


def test_checkpoints_of_an_earlier_run_are_not_overwritten(sae, X):
    killed(sae, X, 4)
    with pytest.raises(ValueError, match=r"holds checkpoints of an earlier run; .*resume=True"):
        sae.fit(X)


def test_a_grid_search_over_one_directory_is_told_what_to_do(sae, X, tmp_path):
    path = tmp_path / "shared"
    one = clone(sae).set_params(checkpoint=Checkpoint(path), max_iter=2)
    search = GridSearchCV(one, {"checkpoint__every_epochs": [1, 2]}, error_score="raise")
    with pytest.raises(ValueError, match=r"grid search or of cross-v.* set checkpoint=None"):
        search.fit(X)


@pytest.mark.parametrize("begun", [0, 2])
def test_fits_at_the_same_time_do_not_mix_their_checkpoints(sae, X, begun):
    other = clone(sae)

    class Meanwhile(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == begun + 1:
                other.fit(X, resume=True)

    sae.set_params(callbacks=[Meanwhile()])
    with pytest.raises(ValueError, match=r"holds epoch-0*\d of another fit that runs at the same"):
        sae.fit(X)


SPOILERS = [
    lambda content: content[:-1],
    lambda content: content[:9] + b"\0" + content[10:],
    lambda content: content[:-9].replace(b"0", b"1") + content[-9:],
    lambda content: b"[]",
    None,
]


@pytest.mark.parametrize("file", ["weights.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_corrupt_checkpoint_is_refused_and_the_one_before_offered(sae, X, file, spoil):
    killed(sae, X, 4)
    newest = sae.checkpoint.path / "epoch-000004"
    path = newest / file
    if spoil is None:
        path.unlink()
    else:
        path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=r"epoch-000004 is corrupt; .*go on from epoch-000003"):
        sae.fit(X, resume=True)
    for part in newest.iterdir():
        part.unlink()
    newest.rmdir()
    fitted = sae.fit(X, resume=True)
    plain = clone(sae).set_params(checkpoint=None).fit(X)
    assert_array_equal(fitted.components_, plain.components_)


def numbers_in(value, place=()):
    """Places of the numbers in what JSON holds."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, item in items for found in numbers_in(item, (*place, key))]
    return [place] if isinstance(value, int | float) and math.isfinite(value) else []


def test_a_number_that_was_changed_is_noticed(sae, X):
    killed(sae, X, 3)
    path = sae.checkpoint.path / "epoch-000003" / "state.json"
    written = path.read_bytes()
    places = [p for p in numbers_in(json.loads(written)) if p != ("format",)]
    assert ("seed",) in places
    assert ("state", "dict", "learning_rates", 0) in places
    for *outer, last in places:
        state = json.loads(written)
        functools.reduce(operator.getitem, outer, state)[last] += 1
        path.write_text(json.dumps(state))
        with pytest.raises(ValueError, match="epoch-000003 is corrupt"):
            sae.fit(X, resume=True)


@pytest.mark.parametrize("name", ["epoch-0-export", "epoch-000001.bak", "epoch-12", "epoch-notes"])
def test_what_others_keep_there_is_left_alone(sae, X, name):
    for theirs in (name, f".{name}"):
        (sae.checkpoint.path / theirs).mkdir(parents=True)
    (sae.checkpoint.path / "epoch-000000").write_text("a file")
    fitted = clone(sae).fit(X)
    found = {path.name for path in sae.checkpoint.path.iterdir()}
    assert found > {name, f".{name}", "epoch-000000"}
    assert len(found) == 5  # and the newest two checkpoints
    assert_same_bits(clone(sae).fit(X, resume=True), fitted)


def test_what_a_crash_left_is_cleared(sae, X):
    leftover = sae.checkpoint.path / ".epoch-000002-batch-000000003"
    leftover.mkdir(parents=True)
    sae.fit(X)
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"alpha": 0.2}, r"alpha: auto then, 0\.2 now"),
        ({"n_components": 13}, "n_components: 12 then, 13 now"),
        ({"dictionary": np.eye(12, 6) + 1}, "dictionary: None then"),
    ],
)
def test_another_run_is_refused(sae, X, change, told):
    killed(sae, X, 4)
    with pytest.raises(ValueError, match=told):
        sae.set_params(**change).fit(X, resume=True)


def test_another_estimator_other_data_and_other_versions_are_refused(sae, X):
    killed(sae, X, 4)
    with pytest.raises(ValueError, match="estimator: SAEEncoder then, WeightedSAE now"):
        WeightedSAE(12, checkpoint=sae.checkpoint).fit(X, resume=True)
    with pytest.raises(ValueError, match=r"run \(some rows: of sha256 \w+ then, of sha256 \w+ now"):
        sae.fit(X + 1, resume=True)
    with pytest.raises(ValueError, match="n_samples: 100 then, 50 now"):
        sae.fit(X[:50], resume=True)
    with pytest.raises(ValueError, match=r"dtype: torch\.float64 then, torch\.float32 now"):
        sae.fit(X.astype(np.float32), resume=True)
    with pytest.raises(ValueError, match="codes: unknown then, known now"):
        sae.fit(X, codes=np.ones((100, 12)), resume=True)
    path = sae.checkpoint.path / "epoch-000004" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(ValueError, match="format: 99 then, 4 now"):
        sae.fit(X, resume=True)


def test_max_iter_may_grow_where_no_schedule_goes_by_it(sae, X):
    killed(sae.set_params(schedule=None), X, 4)
    longer = sae.set_params(max_iter=11).fit(X, resume=True)
    plain = clone(sae).set_params(checkpoint=None).fit(X)
    assert longer.loss_curve_ == plain.loss_curve_


def test_a_full_disk_loses_nothing(sae, X, monkeypatch):
    from skamort import _folder

    def write(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    killed(sae, X, 4)
    monkeypatch.setattr(_folder, "_write_synced", write)
    with pytest.warns(RuntimeWarning, match="No space left on device.*Training goes on"):
        fitted = sae.fit(X, resume=True)
    plain = clone(sae).set_params(checkpoint=None).fit(X)
    assert_array_equal(fitted.components_, plain.components_)
    names = sorted(path.name for path in sae.checkpoint.path.iterdir())
    assert names == ["epoch-000003", "epoch-000004"]


def test_a_file_cut_short_is_no_checkpoint(sae, X):
    """A file cannot grow beyond a limit: as on a full disk, it comes after some bytes."""
    resource = pytest.importorskip("resource")
    killed(sae, X, 4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match="File too large.*Training goes on"):
            fitted = clone(sae).fit(X, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    names = sorted(path.name for path in sae.checkpoint.path.iterdir())
    assert names == ["epoch-000003", "epoch-000004"]
    assert_same_bits(sae.fit(X, resume=True), fitted)


class Spoil(Callback):
    """Makes a weight infinite."""

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 3:
            net.module_.encoder.weight.data[0, 0] = float("inf")


def test_weights_that_have_diverged_are_not_saved(sae, X):
    with pytest.raises(ValueError, match=r"loss became .* in epoch 3"):
        clone(sae).set_params(checkpoint__every_seconds=0, batch_size=20, callbacks=[Spoil()]).fit(
            X
        )
    assert max(sae.checkpoint.path.iterdir()).name == "epoch-000001-batch-000000005"


def test_a_place_where_nothing_can_be_written_is_refused_before_training(sae, X):
    sae.checkpoint.path.write_text("a file")
    with pytest.raises(OSError, match=r"run' must be a directory that can be written .*Choose"):
        sae.fit(X)
    with pytest.raises(OSError, match="'/proc/run' must be a directory"):
        sae.set_params(checkpoint="/proc/run").fit(X)
    assert not hasattr(sae, "net_")


def test_resume_needs_a_place_and_a_fresh_start(sae, X):
    with pytest.raises(ValueError, match="resume=True needs the checkpoint of the run"):
        SAEEncoder(12).fit(X, resume=True)
    plain = SAEEncoder(12, tol=0.5, warm_start=True).fit(X)
    with pytest.raises(ValueError, match="checkpoint is for a fit from the start"):
        plain.set_params(checkpoint=sae.checkpoint).fit(X)


def test_a_million_epochs_come_after_fewer(tmp_path):
    counts = ["000009", "999999", "999999-batch-000000002", "1000000", "1000000-batch-1000000000"]
    for count in counts[::-1]:
        (tmp_path / f"epoch-{count}").mkdir()
    checkpoint = Checkpoint(tmp_path)
    checkpoint.folder_ = tmp_path
    assert [path.name for path in checkpoint._written()] == [f"epoch-{c}" for c in counts]
