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
ENCODERS = [e for e in fast_estimators() if hasattr(e, "early_stopping")]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: type(e).__name__)
def test_codes_are_the_same_in_onnxruntime(encoder, tmp_path):
    encoder = clone(encoder).set_params(n_components=12, random_state=0).fit(X[:40])
    path = str(tmp_path / "encoder.onnx")
    rows = {0: torch.export.Dim("rows")}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(
            encoder.net_.module_,
            (torch.tensor(X),),
            path,
            dynamo=True,
            verbose=False,
            input_names=["X"],
            output_names=["reconstruction", "codes"],
            dynamic_shapes=(rows,),
        )
    session = runtime.InferenceSession(path)
    for some in (X[40:], X[:7]):
        reconstruction, codes = session.run(None, {"X": some})
        ours = encoder.transform(some)
        assert_allclose(codes, ours, atol=1e-5)
        assert_allclose(reconstruction, encoder.inverse_transform(ours), atol=1e-5)
