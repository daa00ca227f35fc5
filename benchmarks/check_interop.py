"""Are autoencoders of other packages the same here, and ours the same there?

Each package, in an environment of its own, trains small autoencoders of each of its architectures,
saves them and notes the codes and the reconstructions of a few rows. We load the files and compare;
then SAELens loads what `to_saelens` wrote and we compare again. All must agree up to the rounding
of float32; codes, where atoms were not of unit norm, times their norms.

    python benchmarks/check_interop.py --install     makes the environments, some GB, once
    python benchmarks/check_interop.py               uses those that are there
    python benchmarks/check_interop.py --keep DIR    keeps the files, as tests/data/interop does

It ends with an error where anything differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

from skamort import (
    BatchTopKSAE,
    GatedSAE,
    JumpReLUSAE,
    MatryoshkaSAE,
    SAEEncoder,
    TopKSAE,
    interop,
)

PEERS = Path(__file__).with_name("_interop_peers.py")
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
PACKAGES = {
    "saelens": ["sae-lens"],
    "dictionary_learning": ["dictionary-learning"],
    "sparsify": ["eai-sparsify"],
    "overcomplete": ["overcomplete", "matplotlib<3.9"],
}
_TOLERANCE = 2e-5


def add_environment_options(parser):
    """Declare the options that say where the environments of the packages are."""
    parser.add_argument("--environments", type=Path, default=Path("results/interop"))
    parser.add_argument("--install", action="store_true", help="make the environments")


def interpreters(options):
    """Return the interpreter of each package that has an environment; make them if asked for."""
    found = {}
    for package, requirements in PACKAGES.items():
        place = options.environments / package
        if options.install and not place.exists():
            venv.create(place, with_pip=True)
            pip = str(place / "bin" / "pip")
            limits = ["--constraint", str(CONSTRAINTS)]
            subprocess.run([pip, "install", "-q", *limits, *requirements], check=True)
            # Its builds must be those of torch, and no autoencoder needs it.
            subprocess.run([pip, "uninstall", "-q", "-y", "torchvision"], check=True)
        if (place / "bin" / "python").exists():
            found[package] = place / "bin" / "python"
        else:
            print(f"{package} is not installed in {place}; --install makes its environment.")
    return found


def run(python, *arguments, script=PEERS):
    """Run another script with another interpreter."""
    command = [str(python), str(script), *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def load(folder):
    """Return our estimator of what lies in a folder, by its name."""
    package = folder.name.partition("-")[0]
    if package == "overcomplete":
        beside = dict(np.load(folder / "beside.npz"))
        more = {"k": int(beside["k"])} if "k" in beside else {}
        if "threshold" in beside:
            more = {"threshold": float(beside["threshold"])}
        return interop.from_overcomplete(folder, **more)
    return getattr(interop, f"from_{package}")(folder)


def difference(estimator, expected):
    """Return the largest difference of codes and of reconstructions, relative to their largest."""
    codes = estimator.transform(expected["X"])
    theirs = expected["codes"] * scales(codes, expected["codes"])
    found = estimator.inverse_transform(codes)
    return relative(codes, theirs), relative(found, expected["reconstruction"])


def scales(codes, theirs):
    """Return the factor of each latent, the norm that its atom had."""
    energy = np.square(theirs.astype(float)).sum(0)
    return (codes * theirs.astype(float)).sum(0) / np.where(energy > 0, energy, 1)


def relative(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def check(rows, name, what, differences):
    """Print a line; return whether it is as it must be."""
    agrees = max(differences) < _TOLERANCE
    shown = ", ".join(f"{value:.1e}" for value in differences)
    print(f"{name:34} {what:14} codes, reconstructions differ by {shown}{'' if agrees else '  !'}")
    rows.append(agrees)


def there(folder, python, rows):
    """Save ours as SAELens's, and compare what it makes of them."""
    X = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32) + 1
    settings = {"n_components": 12, "max_iter": 20, "random_state": 0}
    ours = {
        "SAEEncoder": SAEEncoder(**settings),
        "SAEEncoder-no-bias": SAEEncoder(**settings, encoder_bias=False, fit_intercept=False),
        "TopKSAE": TopKSAE(**settings, k=3),
        "BatchTopKSAE": BatchTopKSAE(**settings, k=3),
        "JumpReLUSAE": JumpReLUSAE(**settings),
        "GatedSAE": GatedSAE(**settings),
        "MatryoshkaSAE": MatryoshkaSAE(**settings, k=3),
    }
    for name, estimator in ours.items():
        interop.to_saelens(estimator.fit(X), folder / name)
        np.save(folder / name / "X.npy", X[:40])
    run(python, "encode", folder)
    for name, estimator in ours.items():
        found = dict(np.load(folder / name / "found.npz"))
        codes = estimator.transform(X[:40])
        reconstruction = estimator.inverse_transform(codes)
        both = relative(codes, found["codes"]), relative(reconstruction, found["reconstruction"])
        check(rows, name, "there", both)
        again = interop.from_saelens(folder / name)
        check(rows, name, "and back", difference(again, {"X": X[:40], **found}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_environment_options(parser)
    parser.add_argument("--keep", type=Path, help="where the files are to stay")
    parser.add_argument("--quick", action="store_true", help="ignored: it is as small as can be")
    options = parser.parse_args()
    rows, pythons = [], interpreters(options)
    with tempfile.TemporaryDirectory() as temporary:
        out = options.keep or Path(temporary) / "theirs"
        for package, python in pythons.items():
            run(python, "make", package, out)
        for folder in sorted(out.glob("*")) if pythons else []:
            estimator = load(folder)
            expected = dict(np.load(folder / "expected.npz"))
            what = type(estimator).__name__
            check(rows, folder.name, what, difference(estimator, expected))
        if "saelens" in pythons:
            there(Path(temporary) / "ours", pythons["saelens"], rows)
    print(json.dumps({"compared": len(rows), "agree": sum(rows)}))
    sys.exit(not all(rows))


if __name__ == "__main__":
    main()
