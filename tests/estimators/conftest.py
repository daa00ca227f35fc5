from functools import partial

import pytest

from skamort import SAEEncoder
from skamort.estimators import _ito_coder


@pytest.fixture
def quick_inner_encoder(monkeypatch):
    """Keep the autoencoder that `ITOCoder` fits by default from training until it converges."""
    monkeypatch.setattr(_ito_coder, "SAEEncoder", partial(SAEEncoder, max_iter=5))
