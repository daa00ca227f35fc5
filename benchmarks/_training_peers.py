"""Sparse autoencoders of several packages behind one small interface, for the training benchmarks.

Each package runs in its own process, with the Python that has it installed, through its own
lowest-level training step on raw activations. The process reads commands from standard input, one
JSON object a line, and answers in the same way: to start with settings, as often as one likes, to
train and to evaluate. It is started by `Peer`; run alone it does nothing.
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
        What `Session` passes on to the adapter: train, test and maybe validation (paths of .npy
        files), n_components, k, alpha, learning_rate, batch_size, n_steps, threads, seed, and maybe
        device ("cpu") and precision ("full", "bfloat16").
    """

    def __init__(self, name, python, settings):
        self.name = name
        threads = str(settings["threads"])
        self.process = subprocess.Popen(
            [python, __file__, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not settings.get("debug") else None,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
        self.start(settings)

    def start(self, settings):
        """Begin anew, untrained, in the same process."""
        self._ask({"start": settings})

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
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
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

        shared = {
            "d_in": X.shape[1],
            "d_sae": s["n_components"],
            "apply_b_dec_to_input": True,
            "device": s["device"],
        }
        sae = self.make_sae(shared, s)
        learning_rate = s["learning_rate"] or 3e-4
        config = SAETrainerConfig(
            total_training_samples=s["n_steps"] * s["batch_size"],
            train_batch_size_samples=s["batch_size"],
            lr=learning_rate,
            lr_end=learning_rate,
            # Its tutorial's proportion.
            lr_decay_steps=s["n_steps"] // 5 if s["recipe"] else 0,
            device=s["device"],
            autocast=s["precision"] == "bfloat16",
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
            "device": s["device"],
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
    """sparsify.SparseCoder with the step of sparsify.Trainer (TopK only; on CUDA in bfloat16)."""

    def __init__(self, X, s):
        import torch
        from sparsify import SparseCoder, SparseCoderConfig

        if not s["k"]:
            raise SystemExit("sparsify has no L1 autoencoder")
        config = SparseCoderConfig(num_latents=s["n_components"], k=s["k"])
        self.sae = SparseCoder(X.shape[1], config, device=s["device"])
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
        out = self.sae(X)
        codes = X.new_zeros(len(X), self.sae.num_latents)
        return out.sae_out, codes.scatter_(1, out.latent_indices, out.latent_acts.to(X.dtype))


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

        # The encoder of the other packages: linear, without the default's batch normalization.
        encoder = _PreCodes(torch.nn.Linear(X.shape[1], s["n_components"])).to(s["device"])
        shared = {"encoder_module": encoder, "device": s["device"]}
        if s["k"]:
            self.sae = TopKSAE(X.shape[1], s["n_components"], s["k"], **shared)
        else:
            self.sae = SAE(X.shape[1], s["n_components"], **shared)
        self.k, self.alpha = s["k"], s["alpha"]
        learning_rate = s["learning_rate"] or 5e-4
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=learning_rate)
        self.tracker = DeadCodeTracker(s["n_components"], s["device"])

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
            "device": s["device"],
            "precision": s["precision"],
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
        self.sae.partial_fit(_given(X))

    def fit(self, X, n_steps):
        n_epochs = round(n_steps * self.sae.batch_size / len(X))
        self.sae.set_params(max_iter=n_epochs, n_iter_no_change=n_epochs + 1).fit(_given(X))

    def reconstruct(self, X):
        import torch

        codes = self.sae.transform(_given(X))
        X_hat = torch.from_numpy(self.sae.inverse_transform(codes))
        return X_hat.to(X.device), torch.from_numpy(codes)


ADAPTERS = {
    "skamort": Skamort,
    "sae-lens": SAELens,
    "sae-lens-mp": MatchingPursuit,
    "dictionary-learning": DictionaryLearning,
    "eai-sparsify": Sparsify,
    "overcomplete": Overcomplete,
}


def _given(X):
    """Return a tensor of the GPU, which is used where it lies, or else an array."""
    return X if X.is_cuda else X.numpy()


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
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(len(X))
        for start in range(0, len(X) - batch_size + 1, batch_size):
            yield X[order[start : start + batch_size]]


class Session:
    """One autoencoder: its data on the device that is asked for, trained and evaluated."""

    def __init__(self, name, settings):
        import torch

        settings = {"recipe": False, "device": "cpu", "precision": "full", **settings}
        torch.set_num_threads(settings["threads"])
        torch.manual_seed(settings["seed"])
        self.by_fit = settings["recipe"] and hasattr(ADAPTERS[name], "fit")
        self.is_cuda = settings["device"].startswith("cuda")
        parts = [part for part in ("train", "validation", "test") if part in settings]
        self.parts = {
            part: torch.from_numpy(np.load(settings[part])).to(settings["device"]) for part in parts
        }
        self.adapter = ADAPTERS[name](self.parts["train"], settings)
        self.batches = _batches(self.parts["train"], settings["batch_size"], settings["seed"])

    def train(self, n_steps):
        """Return the seconds that the steps took, the device being waited for at both ends."""
        chosen = [] if self.by_fit else [next(self.batches) for _ in range(n_steps)]
        self._wait()
        begin, cpu_begin = time.perf_counter(), time.process_time()
        if self.by_fit:
            self.adapter.fit(self.parts["train"], n_steps)
        for batch in chosen:
            self.adapter.step(batch)
        self._wait()
        seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin
        return {"seconds": seconds, "cpu_seconds": cpu_seconds}

    def evaluate(self):
        """Return dead, on the train rows, and for each other part of the data its fvu and l0."""
        import torch

        with torch.no_grad():
            fired = sum(codes.count_nonzero(0) for _, _, codes in self._blocks("train"))
            dead = (fired == 0).double().mean().item()
            others = [part for part in self.parts if part != "train"]
            return {"dead": dead, **{part: self._measure(part) for part in others}}

    def _measure(self, part):
        X, error, active = self.parts[part], 0.0, 0
        for block, X_hat, codes in self._blocks(part):
            error += (X_hat - block).double().square().sum().item()
            active += codes.count_nonzero().item()
        total = (X - X.mean(0)).double().square().sum().item()
        return {"fvu": error / total, "l0": active / len(X)}

    def _blocks(self, part):
        for block in self.parts[part].split(1024):
            yield block, *self.adapter.reconstruct(block)

    def _wait(self):
        if self.is_cuda:
            import torch

            torch.cuda.synchronize()


def main():
    """Serve one package."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=ADAPTERS)
    name = parser.parse_args().name
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the package prints is no answer
    session = None
    for line in sys.stdin:
        command = json.loads(line)
        answer = {}
        if "start" in command:
            session = Session(name, command["start"])
        elif "train" in command:
            answer = session.train(command["train"])
        else:
            answer = session.evaluate()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
