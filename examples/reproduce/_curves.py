"""Curves of training: the published ones, and those of the published method."""

import json
import time
from pathlib import Path

import numpy as np
import torch
from _common import DEVICE, inference_steps, published_rate, to_tensor
from _published import PublishedAutoencoders, PublishedSparseCoding

_FILE = Path(__file__).with_name("_published_curves.json")
PUBLISHED_CURVES = json.loads(_FILE.read_text(encoding="utf-8"))
# The published operations a step of sparse coding count terms of the batch once a sample; these are
# the formulas of the authors' code and of the text, with the terms counted once.
SPARSE_CODING_FLOPS = {
    "published": 52_477_952,
    "code": 1024 * (3 * (5 * 128 + 16) + 2 * 8 + 2 * 16) + 128,
    "text": 1024 * (3 * (3 * 128 + 16) + 2 * 8 + 2 * 16) + 128,
}


def published_end(scenario, name):
    """Return the published latent MCC after the last step, mean and standard deviation."""
    curve = PUBLISHED_CURVES[scenario][name]
    return curve["latent MCC"][-1], curve["latent MCC std"][-1]


def look_steps(n_steps, n_looks=40):
    """Return step numbers that lie evenly on a log scale, 0 and the last among them."""
    return sorted({0, *np.geomspace(min(10, n_steps), n_steps, n_looks).astype(int).tolist()})


class Looks:
    """A callback of the published training that keeps what `measure` finds.

    Parameters
    ----------
    steps : sequence of int
        When to look.
    measure : callable
        Returns figures by name, a list, one a run, of the codes where training finds codes.

    Attributes
    ----------
    curve : dict of list
        "step", "seconds" of the processor without those of looking, and the figures.
    """

    def __init__(self, steps, measure):
        self.steps, self.measure = set(steps), measure
        self.curve = {"step": [], "seconds": []}
        self.begin = time.process_time()

    def __call__(self, step, find=None):
        if step not in self.steps:
            return
        now = time.process_time()
        figures = self.measure(find and find()) | {"step": step, "seconds": now - self.begin}
        for name, values in figures.items():
            self.curve.setdefault(name, []).append(values)
        self.begin += time.process_time() - now


def with_flops(scenario, name, curve):
    """Return a curve with the operations of its steps, by the published formulas."""
    if name == "sparse coding":
        per_step = SPARSE_CODING_FLOPS["code"]
    else:
        per_step = PUBLISHED_CURVES[scenario][name]["flops_per_step"]
    return curve | {"flops": [per_step * step for step in curve["step"]]}


def train_autoencoders(case, hidden, scenario, *, n_steps, n_runs, n_looks=40, ito=False):
    """Train autoencoders as published, and look at the codes of test data.

    With `ito` at codes that a descent for the dictionary of the moment makes of them.
    """
    X, X_test, atoms, codes = map(
        to_tensor, (case.X_train, case.X_test, case.dictionary, case.codes_train)
    )
    runs = PublishedAutoencoders(
        (X.shape[1], *hidden, len(atoms)),
        dictionary=atoms if scenario == "dictionary" else None,
        bias=scenario == "codes",
        n_runs=n_runs,
        device=DEVICE,
    )

    @torch.no_grad()
    def measure(_):
        found, learned = runs.encode(X_test), runs.dictionary.detach()
        if scenario == "codes":
            return {
                "latent MCC": [case.latent_mcc(z, matched=True) for z in found.numpy(force=True)]
            }
        if ito:
            found = optimize(X_test, learned, found)
        return case.measure(found, learned.expand(n_runs, -1, -1))

    looks = Looks(look_steps(n_steps, n_looks), measure)
    known = codes if scenario == "codes" else None
    rate = published_rate(1e-3)
    runs.fit(X, codes=known, n_steps=n_steps, learning_rate=rate, callback=looks)
    return looks.curve


def optimize(X, dictionary, start=None):
    """Return codes by the published descent, from those of an encoder where there are any."""
    runs = PublishedSparseCoding(*dictionary.shape[1:], dictionary=dictionary.clone())
    n_steps = inference_steps() if start is None else inference_steps() * 3 // 10
    return runs.encode(X, start=start, n_steps=n_steps, learning_rate=published_rate(3e-3))


def train_sparse_coding(case, *, n_steps, n_runs, n_looks=9):
    """Learn codes and atoms by descent as published, and look at codes of test data anew."""
    runs = PublishedSparseCoding(*case.dictionary.shape, n_runs=n_runs, device=DEVICE)
    X, X_test = to_tensor(case.X_train), to_tensor(case.X_test)

    def measure(_):
        return case.measure(optimize(X_test, runs.dictionary), runs.dictionary)

    looks = Looks(look_steps(n_steps, n_looks), measure)
    runs.fit(
        X,
        n_steps=n_steps,
        learning_rate=published_rate(1e-3),
        callback=lambda step, _: looks(step),
    )
    return looks.curve


def optimize_codes(case, *, n_steps):
    """Optimize codes of test data for the true dictionary, and look at them in between."""
    dictionary = to_tensor(case.dictionary)[None]
    runs = PublishedSparseCoding(*case.dictionary.shape, dictionary=dictionary)
    looks = Looks(look_steps(n_steps), lambda found: case.measure(found, dictionary))
    rate = published_rate(1e-3)
    runs.encode(to_tensor(case.X_test), n_steps=n_steps, learning_rate=rate, callback=looks)
    return looks.curve
