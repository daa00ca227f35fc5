"""Sparse autoencoders of several packages behind one small interface, for the training benchmarks.

Each package runs in its own process, with the Python that has it installed, through its own
lowest-level training step on raw activations. The process reads commands from standard input, one
JSON object a line, and answers in the same way. It is started by `Peer`; run alone it does nothing.
"""

import argparse
import ast
import contextlib
import json
import os
import subprocess
import sys
import time

import numpy as np

# -- The benchmark's side ------------------------------------------------------------------------


class Peer:
    """A package in a process of its own.

    Parameters
    ----------
    name : str
        A key of `ADAPTERS`.
    python : str
        The interpreter that has the package.
    settings : dict
        What `main` passes on to the adapter: train, test and maybe validation (paths of .npy
        files), n_components, k, alpha, learning_rate, batch_size, n_steps, threads, seed.
    """

    def __init__(self, name, python, settings):
        self.name = name
        threads = str(settings["threads"])
        self.process = subprocess.Popen(
            [python, __file__, name, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not settings.get("debug") else None,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
        self._answer()

    def train(self, n_steps):
        """Take n_steps steps; return the seconds they took, and the processor's seconds."""
        answer = self._ask({"train": n_steps})
        return answer["seconds"], answer["cpu_seconds"]

    def evaluate(self):
        """Return dead, on the train rows, and for each other part of the data its fvu and l0."""
        return self._ask({"evaluate": True})

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: its process ended; run with --debug to see why.")
        return json.loads(line)


def add_arguments(parser):
    """Declare the options that say which packages run, and with which interpreter."""
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PACKAGE=PATH",
        help="interpreter of a package's own environment; packages: " + ", ".join(ADAPTERS),
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--debug", action="store_true", help="show what the packages print")


def interpreters(arguments):
    """Return the interpreter of each package that is to run; skamort runs in this one."""
    given = dict(pair.split("=", 1) for pair in arguments.python)
    unknown = given.keys() - ADAPTERS.keys()
    if unknown:
        raise SystemExit(f"unknown packages: {', '.join(unknown)}; known: {', '.join(ADAPTERS)}")
    ours = {name: sys.executable for name in ADAPTERS if name.startswith("skamort")}
    return {**ours, **given}


def parsed(text):
    """Return the Python value that the text of an option is, or the text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


# -- The packages' side --------------------------------------------------------------------------


class SAELens:
    """sae_lens.training.sae_trainer.SAETrainer.step."""

    def __init__(self, X, s):
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        shared = {"d_in": X.shape[1], "d_sae": s["n_components"], "apply_b_dec_to_input": True}
        sae = self.make_sae(shared, s)
        learning_rate = s["learning_rate"] or 3e-4
        config = SAETrainerConfig(
            total_training_samples=s["n_steps"] * s["batch_size"],
            train_batch_size_samples=s["batch_size"],
            lr=learning_rate,
            lr_end=learning_rate,
            # Its tutorial's proportion.
            lr_decay_steps=s["n_steps"] // 5 if s["recipe"] else 0,
        )
        self.trainer = SAETrainer(config, sae, data_provider=iter(()))

    def make_sae(self, shared, s):
        from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
        from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

        if s["k"]:
            return TopKTrainingSAE(TopKTrainingSAEConfig(k=s["k"], **shared))
        # Its loss is ||.||^2 + l1 |z|: twice ours, so twice our alpha.
        config = StandardTrainingSAEConfig(
            l1_coefficient=2 * s["alpha"],
            l1_warm_up_steps=s["n_steps"] // 20 if s["recipe"] else 0,
            **shared,
        )
        return StandardTrainingSAE(config)

    def step(self, X):
        self.trainer.step(X)
        self.trainer.n_training_steps += 1

    def reconstruct(self, X):
        codes = self.trainer.sae.encode(X)
        return self.trainer.sae.decode(codes), codes


class MatchingPursuit(SAELens):
    """The same step for its autoencoder by matching pursuit, of k steps."""

    def make_sae(self, shared, s):
        from sae_lens.saes.matching_pursuit_sae import (
            MatchingPursuitTrainingSAE,
            MatchingPursuitTrainingSAEConfig,
        )

        if not s["k"]:
            raise SystemExit("sae-lens has no matching pursuit with a penalty")
        config = MatchingPursuitTrainingSAEConfig(
            max_iterations=s["k"], residual_threshold=0.0, **shared
        )
        return MatchingPursuitTrainingSAE(config)


class DictionaryLearning:
    """dictionary_learning.trainers: TopKTrainer.update, StandardTrainerAprilUpdate.update."""

    def __init__(self, X, s):
        from dictionary_learning.trainers.standard import StandardTrainerAprilUpdate
        from dictionary_learning.trainers.top_k import TopKTrainer

        n_steps = s["n_steps"]
        shared = {
            "steps": n_steps,
            "activation_dim": X.shape[1],
            "dict_size": s["n_components"],
            "layer": 0,
            "lm_name": "none",
            "device": "cpu",
            "seed": s["seed"],
            # The package's proportions for a short run: 1000 steps are its default warm-up.
            "warmup_steps": min(1000, n_steps // 20) if s["recipe"] else 0,
            "decay_start": int(0.8 * n_steps) if s["recipe"] else None,
        }
        if s["k"]:
            self.trainer = TopKTrainer(k=s["k"], lr=s["learning_rate"], **shared)
        else:
            self.trainer = StandardTrainerAprilUpdate(
                lr=s["learning_rate"] or 1e-3,
                l1_penalty=2 * s["alpha"],
                sparsity_warmup_steps=shared["warmup_steps"] or None,
                **shared,
            )
        self.n_steps = 0

    def step(self, X):
        self.trainer.update(self.n_steps, X)
        self.n_steps += 1

    def reconstruct(self, X):
        return self.trainer.ae(X, output_features=True)


class Sparsify:
    """sparsify.SparseCoder with the step of sparsify.Trainer (TopK only)."""

    def __init__(self, X, s):
        import torch
        from sparsify import SparseCoder, SparseCoderConfig

        if not s["k"]:
            raise SystemExit("sparsify has no L1 autoencoder")
        torch.manual_seed(s["seed"])
        config = SparseCoderConfig(num_latents=s["n_components"], k=s["k"])
        self.sae = SparseCoder(X.shape[1], config)
        self.sae.b_dec.data = X.mean(0)
        learning_rate = s["learning_rate"] or 2e-4 / (s["n_components"] / 2**14) ** 0.5
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=learning_rate)
        self.schedule = _linear_schedule(self.optimizer, s) if s["recipe"] else None

    def step(self, X):
        self.sae.set_decoder_norm_to_unit_norm()
        self.sae(X).fvu.backward()
        self.sae.remove_gradient_parallel_to_decoder_directions()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.schedule:
            self.schedule.step()

    def reconstruct(self, X):
        import torch

        out = self.sae(X)
        codes = torch.zeros(len(X), self.sae.num_latents)
        return out.sae_out, codes.scatter_(1, out.latent_indices, out.latent_acts)


class Overcomplete:
    """overcomplete.sae: the body of train_sae with monitoring off."""

    def __init__(self, X, s):
        from unittest.mock import MagicMock

        import torch

        # Only its vision models need torchvision, whose builds must match those of torch; its plots
        # need matplotlib < 3.9, OpenCV and scikit-image.
        for unused in ("torchvision", "overcomplete.visualization"):
            sys.modules.setdefault(unused, MagicMock())
        from overcomplete.sae import SAE, TopKSAE
        from overcomplete.sae.trackers import DeadCodeTracker

        torch.manual_seed(s["seed"])
        # The encoder of the other packages: linear, without the default's batch normalization.
        options = {"encoder_module": torch.nn.Linear(X.shape[1], s["n_components"])}
        if s["k"]:
            encoder = _PreCodes(options["encoder_module"])
            self.sae = TopKSAE(X.shape[1], s["n_components"], s["k"], encoder_module=encoder)
        else:
            encoder = _PreCodes(options["encoder_module"])
            self.sae = SAE(X.shape[1], s["n_components"], encoder_module=encoder)
        self.k, self.alpha = s["k"], s["alpha"]
        learning_rate = s["learning_rate"] or 5e-4
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=learning_rate)
        self.tracker = DeadCodeTracker(s["n_components"], "cpu")

    def step(self, X):
        import torch

        self.optimizer.zero_grad()
        _, codes, X_hat = self.sae(X)
        loss = (X - X_hat).square().mean()
        if not self.k:
            loss = loss + 2 * self.alpha / X.shape[1] * codes.sum(1).mean()
        self.tracker.update(codes)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.sae.parameters(), 1.0)
        self.optimizer.step()

    def reconstruct(self, X):
        _, codes, X_hat = self.sae(X)
        return X_hat, codes


class Skamort:
    """partial_fit of TopKSAE and SAEEncoder, or of another that is named; by a recipe, fit."""

    def __init__(self, X, s):  # noqa: ARG002
        import skamort
        from skamort.training import ResampleDead, Schedule

        made_by = {"dead_latents": ResampleDead, "schedule": Schedule}  # of what JSON can hold
        shared = {
            "n_components": s["n_components"],
            "learning_rate": s["learning_rate"] or 1e-3,
            "batch_size": s["batch_size"],
            "fit_intercept": True,
            "dict_init": None,
            "schedule": None,
            "dead_latents": None,
            "device": "cpu",
            "random_state": s["seed"],
            **{
                name: made_by[name](**value) if isinstance(value, dict) else value
                for name, value in s.get("options", {}).items()
            },
        }
        sparsity = {"k": s["k"]} if s["k"] else {"alpha": s["alpha"]}
        name = s.get("estimator") or ("TopKSAE" if s["k"] else "SAEEncoder")
        self.sae = getattr(skamort, name)(**{**sparsity, **shared})

    def step(self, X):
        self.sae.partial_fit(X.numpy())

    def fit(self, X, n_steps):
        n_epochs = round(n_steps * self.sae.batch_size / len(X))
        self.sae.set_params(max_iter=n_epochs, n_iter_no_change=n_epochs + 1).fit(X)

    def reconstruct(self, X):
        import torch

        codes = self.sae.transform(X.numpy())
        return torch.from_numpy(self.sae.inverse_transform(codes)), torch.from_numpy(codes)


ADAPTERS = {
    "skamort": Skamort,
    "sae-lens": SAELens,
    "sae-lens-mp": MatchingPursuit,
    "dictionary-learning": DictionaryLearning,
    "eai-sparsify": Sparsify,
    "overcomplete": Overcomplete,
}


def _PreCodes(linear):
    """Wrap a linear layer as overcomplete wants its encoders: pre-codes and codes."""
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = linear

        def forward(self, X):
            pre_codes = self.linear(X)
            return pre_codes, pre_codes.relu()

    return Encoder()


def _linear_schedule(optimizer, s):
    """Sparsify's schedule: warm-up, then linear decay to zero."""
    from torch.optim.lr_scheduler import LambdaLR

    n_steps = s["n_steps"]
    n_warm = min(1000, n_steps // 20)
    return LambdaLR(
        optimizer,
        lambda step: min((step + 1) / max(n_warm, 1), (n_steps - step) / (n_steps - n_warm)),
    )


def _batches(X, batch_size, seed):
    """Yield shuffled full batches for ever; the same ones in every package."""
    import torch

    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(len(X))
        for start in range(0, len(X) - batch_size + 1, batch_size):
            yield torch.from_numpy(X[order[start : start + batch_size]])


def _evaluate(adapter, X_train, others):
    import torch

    def blocks(X):
        for block in torch.from_numpy(X).split(1024):
            X_hat, codes = adapter.reconstruct(block)
            yield block, X_hat, codes

    def measure(X):
        error, active = 0.0, 0
        for block, X_hat, codes in blocks(X):
            error += (X_hat - block).double().square().sum().item()
            active += codes.count_nonzero().item()
        total = float(np.square(X - X.mean(0), dtype=np.float64).sum())
        return {"fvu": error / total, "l0": active / len(X)}

    with torch.no_grad():
        fired = sum(codes.count_nonzero(0) for _, _, codes in blocks(X_train))
        dead = (fired == 0).double().mean().item()
        return {"dead": dead, **{name: measure(X) for name, X in others.items()}}


def main():
    """Serve one package."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=ADAPTERS)
    parser.add_argument("settings", type=json.loads)
    arguments = parser.parse_args()
    settings = {"recipe": False, **arguments.settings}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the package prints is no answer

    import torch

    torch.set_num_threads(settings["threads"])
    parts = [name for name in ("train", "validation", "test") if name in settings]
    others = {name: np.load(settings[name]) for name in parts}
    X_train = others.pop("train")
    adapter = ADAPTERS[arguments.name](torch.from_numpy(X_train), settings)
    batches = _batches(X_train, settings["batch_size"], settings["seed"])

    def answer(message):
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    answer({"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        if "train" in command:
            by_fit = settings["recipe"] and hasattr(adapter, "fit")
            chosen = [] if by_fit else [next(batches) for _ in range(command["train"])]
            begin, cpu_begin = time.perf_counter(), time.process_time()
            if by_fit:
                adapter.fit(X_train, command["train"])
            for batch in chosen:
                adapter.step(batch)
            seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin
            answer({"seconds": seconds, "cpu_seconds": cpu_seconds})
        else:
            answer(_evaluate(adapter, X_train, others))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
