"""A model and its texts."""

import pytest
from language_model import make_model, make_texts


@pytest.fixture
def model():
    return make_model()


@pytest.fixture
def texts():
    return make_texts()
