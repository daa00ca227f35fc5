"""What a language model loses with each encoder's reconstructions in place of its activations.

SmolLM2-135M reads the King James Bible; activations are those after one block. Every encoder has as
many atoms, and as near as can be the same number of non-zero codes. On contexts that none has seen:
the fraction of variance unexplained (FVU), L0, dead latents, the cross-entropy of the model with
reconstructions and the share of the loss by mean ablation that they recover, with its interval of
95 % over contexts. Seconds are the CPU's, of one thread: of the fit, and of coding a row.

"ITO of X" is the best that is found of X's atoms: k-sparse codes by order-recursive matching
pursuit where X has a k, else codes of the same L1 weight by optimization.

    python benchmarks/bench_language_model.py [--quick] [--block 15] [--results FOLDER]

The model and the text come from packages that `_smollm.py` names.
"""

import argparse
import warnings
from pathlib import Path
from time import process_time

import pandas as pd
import torch
from _smollm import load_contexts, load_model
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skamort import (
    BatchTopKSAE,
    GradSparseCoder,
    ITOCoder,
    JumpReLUSAE,
    SAEEncoder,
    TopKSAE,
)
from skamort.hooks import collect_activations, loss_recovered
from skamort.metrics import dead_fraction, fraction_variance_unexplained, mean_l0

TRAINING = {"max_iter": 10, "random_state": 0}


def encoders(n_components, k):
    """Return the encoders by name; each sees those that were fitted before."""
    return {
        "PCA": lambda _: PCA(4 * k, random_state=0),
        "TopK": lambda _: TopKSAE(n_components, k=k, **TRAINING),
        "ITO of TopK": lambda fitted: improved(fitted["TopK"], k),
        "k-sparse dictionary": lambda _: GradSparseCoder(
            n_components, n_nonzero_coefs=k, max_iter=4, random_state=0
        ),
        "BatchTopK": lambda _: BatchTopKSAE(n_components, k=k, **TRAINING),
        "JumpReLU": lambda _: JumpReLUSAE(n_components, target_l0=k, **TRAINING),
        "SAE": lambda _: SAEEncoder(n_components, target_l0=k, **TRAINING),
        "ITO of SAE": lambda fitted: improved(fitted["SAE"]),
    }


def improved(encoder, k=None):
    """Return a coder with an encoder's atoms."""
    if k is None:
        return ITOCoder(estimator=encoder)
    return ITOCoder(estimator=encoder, algorithm="ormp", n_nonzero_coefs=k)


def batches_of(contexts, size=8):
    """Return contexts as the model takes them."""
    return list(contexts.split(size))


def judge(name, encoder, X, model, layer, texts):
    """Return a row of the table."""
    start = process_time()
    codes = encoder.transform(X)
    seconds = process_time() - start
    losses = loss_recovered(model, layer, encoder, texts)
    share = losses.recovered
    return {
        "encoder": name,
        "FVU": fraction_variance_unexplained(X, encoder.inverse_transform(codes)),
        "L0": mean_l0(codes),
        "dead": dead_fraction(codes),
        "CE": losses.spliced.mean,
        "recovered": share.mean,
        "low": share.low,
        "high": share.high,
        "KL": losses.kl.mean,
        "us a row": 1e6 * seconds / len(X),
        "CE clean": losses.clean.mean,
        "CE mean": losses.mean_ablated.mean,
    }


def main():
    """Collect, fit, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few contexts and atoms")
    parser.add_argument("--block", type=int, default=15)
    parser.add_argument("--results", type=Path, default=Path("results/language_model"))
    options = parser.parse_args()
    n_train, n_test, n_components, k = (8, 4, 576, 32) if options.quick else (160, 16, 2304, 32)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)

    model, tokenizer = load_model()
    contexts = load_contexts(tokenizer, n_train + n_test)
    layer = f"model.layers.{options.block}"
    folder = options.results / f"{n_train}_contexts_block_{options.block}"
    train, test = batches_of(contexts[:n_train]), batches_of(contexts[n_train:])
    rows = collect_activations(model, layer, train, folder / "train", verbose=1).rows
    X = torch.as_tensor(rows.astype("float32")).numpy()
    X_test = collect_activations(model, layer, test, folder / "test").rows.astype("float32")

    fitted, table = {}, []
    for name, make in encoders(n_components, k).items():
        start = process_time()
        fitted[name] = make(fitted).fit(X)
        seconds = process_time() - start
        table.append(judge(name, fitted[name], X_test, model, layer, test) | {"fit, s": seconds})
        print(pd.DataFrame(table[-1:]).to_string(index=False, header=len(table) == 1), flush=True)
    pd.DataFrame(table).to_csv(options.results / f"block_{options.block}.csv", index=False)


if __name__ == "__main__":
    main()
