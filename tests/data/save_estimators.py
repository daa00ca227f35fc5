"""Makes the folder `saved-VERSION` beside it: estimators as this version of skamort saves them.

    python tests/data/save_estimators.py

Run at a release; `tests/estimators/test_saving.py` loads what every release has left.
"""

from pathlib import Path

import numpy as np

import skamort
from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, SAEEncoder, TopKSAE
from skamort.training import Schedule, TeachDead

if __name__ == "__main__":
    X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    quick = {"max_iter": 2, "tol": 0, "random_state": 0}
    sae = SAEEncoder(6, **quick, schedule=Schedule(decay=0.5), early_stopping=True)
    estimators = {
        "AmortizedCoder": AmortizedCoder(
            teacher=GradSparseCoder(6, **quick), encoder=SAEEncoder(**quick), random_state=0
        ),
        "GradSparseCoder": GradSparseCoder(6, **quick),
        "ITOCoder": ITOCoder(estimator=sae),
        "SAEEncoder": sae,
        "TopKSAE": TopKSAE(6, k=2, dead_latents=TeachDead(10), **quick),
    }
    place = Path(__file__).parent / f"saved-{skamort.__version__}"
    place.mkdir(exist_ok=True)
    codes = {}
    for name, estimator in estimators.items():
        estimator.fit(X).save(place / name)
        codes[name] = estimator.transform(X)
    np.savez(place / "codes.npz", X=X, **codes)
