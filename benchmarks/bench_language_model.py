"""What encoders keep of a language model's activations, and how well n-grams explain their latents.

SmolLM2-135M reads the King James Bible; rows are what a block returns, position 0 of each context
left out. Four experiments:

    encoders   one block, every encoder with as many atoms and as near as can be as many codes a
               row; then "ITO of X", the best k-sparse codes that are found for X's atoms
    weights    several blocks, TopKSAE with errors weighted by the variance of each feature to the
               power a
    sparsity   encoders again with fewer and with more codes
    inference  as many codes of one TopK's atoms by several algorithms, from its own codes where
               they take them, and of one whose atoms learned through two stages of "gomp"

On contexts that none has seen: the fraction of variance unexplained (FVU), L0, dead latents, the
cross-entropy of the model with reconstructions (CE) and the share of what the mean activation loses
that they recover, with its interval of 95 % over contexts; and the F1 of patterns of tokens, made
from training contexts, that predict where a latent fires, for latents drawn from those in use. The
model runs in bfloat16. Seconds are the CPU's, of one thread: of the fit, and of coding a row.

"LCA" learns its dictionary from codes of 100 steps a batch, at the weight that its SAE has, and is
judged by codes of the weight that gives the L0 wanted.

    python benchmarks/bench_language_model.py [PARTS] [--small] [--results FOLDER]

Every row is written to results.jsonl as soon as it is there, and a second run goes on after it.
The model and the text come from packages that `_smollm.py` names.
"""

import argparse
import json
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from time import process_time

import joblib
import numpy as np
import torch
from _language_model_tables import write_tables
from _smollm import load_contexts, load_model
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from torch.nn import functional

from skamort import (
    BatchTopKSAE,
    GradSparseCoder,
    ITOCoder,
    JumpReLUSAE,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
)
from skamort.hooks import collect_activations, last_code, splice
from skamort.inspection import explain_by_ngrams
from skamort.metrics import dead_fraction, fraction_variance_unexplained, mean_l0
from skamort.solvers import LCA, alpha_for_l0


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    n_train: int = 96  # contexts of 256 tokens
    n_test: int = 12
    n_components: int = 1152
    k: int = 32
    other_k: tuple = (16, 64)
    epochs: int = 6
    lca_rows: int = 8192
    n_latents: int = 20
    n_contexts: int = 5  # that patterns are made from
    pattern_length: int = 8
    blocks: tuple = (14, 24, 4, 19, 9, 28)
    group_blocks: tuple = (14, 24, 28)
    weights_train: int = 48
    weights_epochs: int = 8


INFERENCE = ("encoder", "topk_refined", "gomp", "omp", "ormp", "exchange")
SMALL = Sizes(8, 4, 576, 16, (8,), 1, 1024, 3, 2, 4, (4, 28), (28,), 8, 1)


class Subject:
    """A model that reads, and where its activations are taken.

    Parameters
    ----------
    sizes : Sizes
        How much it reads.
    folder : Path
        Where activations are kept.
    """

    def __init__(self, sizes, folder):
        model, self.tokenizer = load_model()
        self.model = model.bfloat16()
        self.sizes, self.folder = sizes, folder
        contexts = load_contexts(self.tokenizer, sizes.n_train + sizes.n_test)
        self.train, self.test = contexts[: sizes.n_train], contexts[sizes.n_train :]

    def at(self, block, n_train):
        """Return the activations of a block in training and in test contexts."""
        return Activations(self, f"model.layers.{block}", self.train[:n_train])


class Activations:
    """What one block returns, and what the model makes of reconstructions.

    Parameters
    ----------
    subject : Subject
        The model and its texts.
    layer : str
        The block's name.
    train : Tensor of shape (n_contexts, length)
        The contexts that encoders learn from.
    """

    def __init__(self, subject, layer, train):
        self.subject, self.layer, self.texts = subject, layer, train

    @cached_property
    def train(self):
        """Activations that encoders learn from."""
        return self._collect(self.texts, "train")

    @cached_property
    def test(self):
        """Activations that judge."""
        return self._collect(self.subject.test, "test")

    @cached_property
    def X(self):
        """The training rows."""
        return self.train.rows.astype(np.float32)

    @cached_property
    def X_test(self):
        """The rows that judge."""
        return self.test.rows.astype(np.float32)

    def _collect(self, texts, name):
        folder = self.subject.folder / f"{self.layer}_{name}_{len(texts)}"
        return collect_activations(self.subject.model, self.layer, texts.split(8), folder)

    @torch.no_grad()
    def losses(self, estimator=None):
        """Return the cross-entropy of each test context, with reconstructions or as it is."""
        if estimator is not None:
            with splice(self.subject.model, self.layer, estimator):
                return self.losses()
        found = []
        for texts in self.subject.test.split(8):
            logits = self.subject.model(texts).logits[:, :-1].transpose(1, 2).float()
            losses = functional.cross_entropy(logits, texts[:, 1:], reduction="none")
            found += losses.mean(1).tolist()
        return found

    def f1(self, encoder, codes, codes_test):
        """Return how well n-grams predict each of some latents."""
        sizes, often = self.subject.sizes, (codes != 0).sum(0)
        used = (often >= sizes.n_contexts) & ((codes_test != 0).sum(0) >= sizes.n_contexts)
        drawn = np.random.default_rng(0).permutation(codes.shape[1])
        return {
            int(latent): self._f1_of(encoder, int(latent), codes[:, latent], codes_test[:, latent])
            for latent in drawn[used[drawn]][: sizes.n_latents]
        }

    def _f1_of(self, encoder, latent, codes, codes_test):
        sizes, padding = self.subject.sizes, self.subject.tokenizer.eos_token_id
        strongest = np.argsort(-codes, kind="stable")[: 20 * sizes.n_contexts]
        _, first = np.unique(self.train.text[strongest], return_index=True)
        ends = [self._context(row) for row in strongest[np.sort(first)[: sizes.n_contexts]]]
        activate = last_code(
            self.subject.model, self.layer, encoder, latent, padding=padding, batch_size=256
        )
        try:
            explanation = explain_by_ngrams(
                ends, activate, padding=padding, max_length=sizes.pattern_length
            )
        except ValueError:  # it hangs on more than the last tokens
            return 0.0
        true = np.full(self.subject.test.shape, np.nan)
        true[self.test.text, self.test.position] = codes_test
        return explanation.score(self.subject.test.tolist(), list(true))["f1"]

    def _context(self, row):
        text, end = self.train.text[row], self.train.position[row] + 1
        return self.texts[text, max(1, end - self.subject.sizes.pattern_length) : end].tolist()

    def judge(self, encoder, with_f1=True):
        """Return what there is to say about a fitted encoder."""
        start = process_time()
        codes_test = encoder.transform(self.X_test)
        seconds = process_time() - start
        row = {
            "FVU": float(
                fraction_variance_unexplained(self.X_test, encoder.inverse_transform(codes_test))
            ),
            "L0": float(mean_l0(codes_test)),
            "dead": float(dead_fraction(codes_test)),
            "losses": self.losses(encoder),
            "us_a_row": 1e6 * seconds / len(codes_test),
        }
        if with_f1:
            rows = slice(20_000)
            row["f1"] = self.f1(encoder, encoder.transform(self.X[rows]), codes_test)
        return row


class Mean:
    """The mean row in place of every row."""

    def fit(self, X):
        """Take the mean."""
        self.mean = X.mean(0)
        return self

    def transform(self, X):
        """Return codes that tell nothing."""
        return np.zeros((len(X), 1), np.float32)

    def inverse_transform(self, codes):
        """Return the mean for each row."""
        return np.tile(self.mean, (len(codes), 1))


class LCADictionary:
    """Sparse coding whose codes come from so many steps of LCA a batch.

    Parameters
    ----------
    n_components : int
        Number of atoms.
    alpha : float
        Weight of the L1 penalty.
    n_steps : int
        Steps of LCA.
    """

    def __init__(self, n_components, alpha, n_steps=100):
        self.n_components, self.alpha, self.n_steps = n_components, alpha, n_steps

    def fit(self, X):
        """Learn from batches of 512 rows, less their center."""
        drawn = np.random.default_rng(0).choice(len(X), self.n_components, replace=False)
        coder = GradSparseCoder(self.n_components, dict_init=X[drawn], fit_intercept=False)
        self.components_ = X[drawn] / np.linalg.norm(X[drawn], axis=1, keepdims=True)
        solver = LCA(max_iter=self.n_steps, is_guarded=False)
        for batch in np.array_split(X, len(X) // 512 or 1):
            rows, atoms = map(torch.as_tensor, (batch, self.components_))
            codes = solver.solve(rows, atoms, alpha=self.alpha, positive=True).codes
            self.components_ = coder.partial_fit(batch, codes=codes.numpy()).components_
        return self


def lca(sizes, alpha, X):
    """Return a coder with atoms that LCA learned, and codes of the wanted L0."""
    centered = X[: sizes.lca_rows] - X.mean(0)
    atoms = LCADictionary(sizes.n_components, alpha).fit(centered).components_
    weight = alpha_for_l0(centered[:1000], atoms, sizes.k, positive=True)
    return ITOCoder(dictionary=atoms, fit_intercept=True, alpha=weight)


def encoders(sizes, k):
    """Return functions from fitted encoders and rows to a new one, by name."""
    n, training = sizes.n_components, {"max_iter": sizes.epochs, "random_state": 0}
    by_k = {"k": k, **training}
    by_l0 = {"target_l0": k, **training}
    made = {
        "TopK": lambda *_: TopKSAE(n, **by_k),
        "SAE": lambda *_: SAEEncoder(n, **by_l0),
        "BatchTopK": lambda *_: BatchTopKSAE(n, **by_k),
        "JumpReLU": lambda *_: JumpReLUSAE(n, **by_l0),
    }
    if k == sizes.k:
        made |= {
            "MLP": lambda *_: MLPEncoder(n, hidden_layer_sizes=(n // 2,), **by_l0),
            "group TopK": lambda *_: TopKSAE(n, activation="group_topk", **by_k),
            "k-sparse learning": lambda *_: GradSparseCoder(
                n, n_nonzero_coefs=k, max_iter=4, random_state=0
            ),
            "LCA": lambda fitted, X: lca(sizes, fitted["SAE"].alpha_, X),
        }
    improved = [name for name in made if name not in ("group TopK", "k-sparse learning")]
    for name in improved if k == sizes.k else ["TopK"]:
        made[f"ITO of {name}"] = lambda fitted, _, name=name: ITOCoder(
            estimator=fitted[name], algorithm="ormp", n_nonzero_coefs=k
        )
    return made


class Log:
    """Rows that are written as they come, and fitted encoders beside them.

    Parameters
    ----------
    folder : Path
        Where.
    """

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.file = folder, folder / "results.jsonl"
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.rows = {json.loads(line)["name"]: json.loads(line) for line in lines}

    def add(self, name, make):
        """Add the row that a function makes, unless it is there."""
        if name in self.rows:
            return
        row = self.rows[name] = {"name": name, **make()}
        with self.file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        shown = {k: round(v, 4) for k, v in row.items() if isinstance(v, float)}
        f1, losses = list(row.get("f1", {}).values()), row["losses"]
        print(name, shown, "CE", np.mean(losses), "F1", np.mean(f1) if f1 else None, flush=True)

    def fitted(self, name, make):
        """Return a fitted encoder, and the seconds it took, from the disk where it is."""
        file = self.folder / f"{name.replace(' ', '_').replace('/', '_')}.joblib"
        if not file.exists():
            start = process_time()
            joblib.dump((make(), process_time() - start), file)
        return joblib.load(file)


def compare_bounds(rows, log, where=""):
    """Add the rows of the model as it is, and with the mean in place of every row."""
    log.add("clean" + where, lambda: {"losses": rows.losses()})
    log.add("mean" + where, lambda: {"losses": rows.losses(Mean().fit(rows.X))})


def compare_encoders(subject, log, block, every_k):
    """Add the rows of all encoders at one block."""
    sizes, rows = subject.sizes, subject.at(block, subject.sizes.n_train)
    compare_bounds(rows, log)
    for rank in (128, 256):
        log.add(f"PCA {rank}", lambda rank=rank: rows.judge(PCA(rank).fit(rows.X), with_f1=False))
    for k in every_k:
        fitted = {}
        for name, make in encoders(sizes, k).items():
            fitted[name], seconds = log.fitted(
                f"{name} {k}",
                lambda make=make, fitted=fitted: make(fitted, rows.X).fit(rows.X),
            )
            log.add(
                f"{name} {k}",
                lambda coder=fitted[name], seconds=seconds, k=k: {
                    **rows.judge(coder, with_f1=k == sizes.k),
                    "fit_s": seconds,
                },
            )


def compare_inference(subject, log, block):
    """Add the rows of codes by several algorithms for the atoms of two autoencoders."""
    sizes, rows = subject.sizes, subject.at(block, subject.sizes.n_train)
    compare_bounds(rows, log)
    options = {"k": sizes.k, "max_iter": sizes.epochs, "random_state": 0}
    for name, n_stages in {"TopK": None, "TopK, 2 stages": 2}.items():
        sae = TopKSAE(sizes.n_components, n_stages=n_stages, **options)
        fitted, _ = log.fitted(f"{name} {sizes.k}", lambda sae=sae: sae.fit(rows.X))
        for algorithm in INFERENCE if n_stages is None else ("encoder", "gomp", "ormp"):
            coder = fitted
            if algorithm != "encoder":
                ito = ITOCoder(estimator=fitted, algorithm=algorithm, n_nonzero_coefs=sizes.k)
                coder = ito.fit(rows.X)
            log.add(f"inference: {name}: {algorithm}", partial(rows.judge, coder, with_f1=False))


def compare_weights(subject, log):
    """Add the rows of encoders with weighted errors, of several blocks."""
    sizes = subject.sizes
    for block in sizes.blocks:
        rows = subject.at(block, sizes.weights_train)
        compare_bounds(rows, log, f", block {block}")
        kinds = [("topk", a) for a in (0, 0.5, 1)]
        kinds += [("group_topk", a) for a in (0, 1)] if block in sizes.group_blocks else []
        for activation, a in kinds:
            log.add(f"{activation}, a = {a}, block {block}", partial(weighted, rows, activation, a))


def weighted(rows, activation, a):
    """Return the row of one encoder with weighted errors."""
    sizes, start = rows.subject.sizes, process_time()
    sae = TopKSAE(
        sizes.n_components,
        k=sizes.k,
        activation=activation,
        feature_weights=rows.X.var(0, dtype=np.float64) ** a,
        max_iter=sizes.weights_epochs,
        random_state=0,
    ).fit(rows.X)
    seconds = process_time() - start
    return {**rows.judge(sae), "fit_s": seconds}


def main():
    """Collect, fit, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", default=["encoders", "weights", "sparsity"])
    parser.add_argument("--small", action="store_true", help="few contexts and atoms")
    parser.add_argument("--block", type=int, default=15, help="of the encoders")
    parser.add_argument("--results", type=Path, default=Path("results/language_model"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    sizes = SMALL if options.small else Sizes()
    folder = options.results / ("small" if options.small else "full")
    log, subject = Log(folder), Subject(sizes, folder)
    if "encoders" in options.parts:
        compare_encoders(subject, log, options.block, [sizes.k])
    if "weights" in options.parts:
        compare_weights(subject, log)
    if "inference" in options.parts:
        compare_inference(subject, log, options.block)
    if "sparsity" in options.parts:
        compare_encoders(subject, log, options.block, sizes.other_k)
    write_tables(log.rows, sizes, folder)


if __name__ == "__main__":
    main()
