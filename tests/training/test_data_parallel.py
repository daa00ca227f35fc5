"""Two processes that share the rows of each batch come to what one process comes to."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skamort import SAEEncoder
from skamort.training import DataParallel

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")

SCRIPT = """
import os, sys, warnings
import numpy as np, torch
from datetime import timedelta
from torch import distributed
from skorch.callbacks import Callback
from skamort import GatedSAE, MLPEncoder, SAEEncoder, TopKSAE
from device import emulated_cuda
from skamort import _rows
from skamort.training import _data_parallel, Checkpoint, DataParallel, ResampleDead, TeachDead
from skamort.training._data_parallel import OneProcess

torch.set_num_threads(1)
_data_parallel._BUCKET = 40 * 6  # numbers of most matrices, which just so go by themselves
warnings.simplefilter("ignore")
folder = sys.argv[1]
X = np.random.default_rng(0).standard_normal((101, 6))  # the last batch is a single row
np.save(folder + "/X.npy", X)
mapped = np.load(folder + "/X.npy", mmap_mode="r")
common = dict(batch_size=20, max_iter=4, tol=0, random_state=0, n_components=40)
fits = dict(
    sae=SAEEncoder(fit_intercept=True, **common),
    topk=TopKSAE(k=2, **common),
    topk_resampled=TopKSAE(k=1, dead_latents=ResampleDead(window=30), **common),
    topk_taught=TopKSAE(k=1, dead_latents=TeachDead(window=30), **common),
    mlp_early_stopping=MLPEncoder(hidden_layer_sizes=(8,), early_stopping=True, **common),
    regression=SAEEncoder(**common),
    cosine=SAEEncoder(**common),
    cosine_early_stopping=SAEEncoder(early_stopping=True, **common),
    mlp_resampled=MLPEncoder(
        hidden_layer_sizes=(8,), dead_latents=ResampleDead(window=30), alpha=1.0,
        learning_rate=0.01, **common
    ),
    sae_by_chunks=SAEEncoder(**common),
    topk_on_a_gpu=TopKSAE(k=2, device="cuda", **common),
    gated=GatedSAE(alpha=0.1, **common),  # whose loss has terms
)

def fit(name, encoder, **fit_params):
    if name in ("regression", "cosine", "cosine_early_stopping"):
        fit_params["codes"] = np.abs(X @ np.random.default_rng(1).standard_normal((6, 40)))
    if name == "regression":
        fit_params["code_loss"] = "squared_error"
    if name == "sae_by_chunks":
        _rows.BLOCK_ELEMENTS = 50 * 6
        return encoder.fit(mapped, **fit_params)
    if name == "topk_on_a_gpu":
        with emulated_cuda():
            encoder.fit(X, **fit_params).net_.move_to(torch.device("cpu"))
            return encoder
    return encoder.fit(X, **fit_params)

def learned(encoder):
    state = {k: v.numpy() for k, v in encoder.net_.module_.state_dict().items()}
    history = encoder.net_.history
    told = {k: history[:, k] for k in history[-1] if k.startswith(("train", "valid"))}
    assert type(encoder.net_.processes_) is type(encoder.net_.criterion_.processes) is OneProcess
    return dict(state, frequency=encoder.latent_frequency_, **told)

def refused(encoder, X, words, **fit_params):
    try:
        encoder.fit(X, **fit_params)
    except ValueError as error:
        assert words in str(error), error
        assert not hasattr(encoder, "net_")
    else:
        raise AssertionError("no error")

class PowerFailure(Callback):
    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise MemoryError

class Astray(Callback):  # begins elsewhere than the first process
    def __init__(self, rank):
        self.rank = rank
    def on_train_begin(self, net, **kwargs):
        torch.rand(self.rank, generator=net.generator)
        for parameter in net.module_.parameters():
            parameter.data.add_(self.rank)

def train(rank):
    distributed.init_process_group("gloo", init_method="file://" + folder + "/store", rank=rank,
                                   world_size=2, timeout=timedelta(seconds=60))
    for name, encoder in fits.items():
        encoder.set_params(callbacks=[Astray(rank), DataParallel()])
        np.savez(f"{folder}/{name}-{rank}.npz", **learned(fit(name, encoder)))
    encoder = fits["sae"].set_params(checkpoint=Checkpoint(folder + "/run", every_seconds=0))
    try:
        encoder.set_params(callbacks=[DataParallel(), PowerFailure()]).fit(X)
    except MemoryError:
        pass
    distributed.barrier()
    resumed = encoder.set_params(callbacks=[DataParallel()]).fit(X, resume=True)
    np.savez(f"{folder}/sae_resumed-{rank}.npz", **learned(resumed))
    plain = SAEEncoder(callbacks=[DataParallel()], **common)
    refused(plain, X + rank, "X must be the same in all processes, got [(101, ")
    refused(plain.set_params(random_state=rank), X, "the seed of random_state must be the same")
    refused(plain.set_params(random_state=0, batch_size=20 + rank), X, "got [20, 21]")
    refused(plain.set_params(batch_size=20, max_iter=4 + rank), X, "got [4, 5]")
    plain.set_params(max_iter=4, checkpoint=f"{folder}/run-of-{rank}").fit(X)
    refused(plain, X, "in checkpoint must be the same in all processes", resume=True)

for name, encoder in fits.items():  # first, so that the children find all modules imported
    np.savez(f"{folder}/{name}-alone.npz", **learned(fit(name, encoder)))
children = []
for rank in range(2):
    children.append(os.fork())
    if children[-1] == 0:
        code = 1
        try:
            train(rank)
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(code)
codes = [os.waitpid(child, 0)[1] for child in children]
sys.exit(max(codes) > 0)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    env = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    return {path.stem: dict(np.load(path)) for path in folder.glob("*-*.npz")}


FITS = [
    "sae",
    "topk",
    "topk_resampled",
    "topk_taught",
    "mlp_early_stopping",
    "mlp_resampled",
    "regression",
    "cosine",
    "cosine_early_stopping",
    "sae_by_chunks",
    "topk_on_a_gpu",
    "gated",
]


@pytest.mark.parametrize("name", FITS)
def test_two_processes_are_as_good_as_one_to_rounding(results, name):
    for key, value in results[f"{name}-alone"].items():
        assert_allclose(results[f"{name}-0"][key], value, rtol=1e-9, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", [*FITS, "sae_resumed"])
def test_both_processes_learn_the_same_bits(results, name):
    for key, value in results[f"{name}-0"].items():
        assert np.array_equal(results[f"{name}-1"][key], value), key


def test_a_run_of_two_processes_can_be_resumed(results):
    for key, value in results["sae-0"].items():
        assert np.array_equal(results["sae_resumed-0"][key], value), key


def test_without_torchrun_it_says_what_is_missing():
    encoder = SAEEncoder(callbacks=[DataParallel()])
    with pytest.raises(ValueError, match=r"start the script by torchrun .*init_process_group"):
        encoder.fit(np.eye(4))
    assert not hasattr(encoder, "net_")
