"""The modules of all encoders are exported to ONNX, where they give the same codes."""

import warnings

import numpy as np
import pytest
import torch
from discovery import fast_estimators
from numpy.testing import assert_allclose
from sklearn.base import clone

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
ENCODERS = {type(e).__name__: e for e in fast_estimators() if hasattr(e, "early_stopping")}
OUTPUTS = [f"{name}.{output}" for name in ENCODERS for output in ("reconstruction", "codes")]


class SideBySide(torch.nn.ModuleDict):
    """One export of all takes half the time of one for each."""

    def forward(self, X):
        return [output for module in self.values() for output in module(X)]


@pytest.fixture(scope="module")
def fitted():
    settings = {"n_components": 12, "random_state": 0}
    return {name: clone(e).set_params(**settings).fit(X[:40]) for name, e in ENCODERS.items()}


@pytest.fixture(scope="module")
def session(fitted, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("onnx") / "encoders.onnx")
    modules = SideBySide({name: e.net_.module_ for name, e in fitted.items()})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(
            modules,
            (torch.tensor(X),),
            path,
            dynamo=True,
            verbose=False,
            input_names=["X"],
            output_names=OUTPUTS,
            dynamic_shapes=({0: torch.export.Dim("rows")},),
        )
    return runtime.InferenceSession(path)


@pytest.mark.parametrize("rows", [X[40:], X[:7]], ids=len)
def test_codes_are_the_same_in_onnxruntime(fitted, session, rows):
    found = dict(zip(OUTPUTS, session.run(None, {"X": rows}), strict=True))
    for name, encoder in fitted.items():
        codes = encoder.transform(rows)
        assert (codes != 0).any()
        assert_allclose(found[f"{name}.codes"], codes, atol=1e-5)
        reconstruction = encoder.inverse_transform(codes)
        assert_allclose(found[f"{name}.reconstruction"], reconstruction, atol=1e-5)
