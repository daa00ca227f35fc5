"""Anomalies are rows that are reconstructed badly."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skamort import GradSparseCoder, ITOCoder, TopKSAE, _rows


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_another_kind_of_row_scores_lower():
    rng = np.random.default_rng(0)
    D = rng.normal(size=(6, 20))
    normal = np.abs(rng.normal(size=(500, 6))) @ D
    sae = TopKSAE(12, k=6, max_iter=30, random_state=0).fit(normal[:400])
    strange = rng.normal(size=(50, 20)) * normal.std()
    assert sae.score_samples(strange).max() < np.quantile(sae.score_samples(normal[400:]), 0.05)


def test_missing_entries_have_no_part():
    D, X = np.eye(4), np.array([[1.0, 2.0, 3.0, -4.0], [-1.0, np.nan, np.nan, 2.0]])
    coder = ITOCoder(dictionary=D, alpha=0, positive_code=True, missing_values=np.nan)
    assert_allclose(coder.score_samples(X), [-4.0, -0.5], rtol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    X = np.random.default_rng(0).normal(size=(20, 4))
    coder = ITOCoder(dictionary=np.eye(4), alpha=0.1)
    whole = coder.score_samples(X)
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 12)
    assert_allclose(coder.score_samples(X), whole)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_float32_errors_are_measured_in_float64():
    X = np.full((3, 2), 1e25, dtype=np.float32) * [[1], [2], [3]]
    coder = ITOCoder(dictionary=np.eye(2), alpha=1e24).fit(X.astype(np.float32))
    assert np.isfinite(coder.score_samples(X.astype(np.float32))).all()


def test_it_needs_a_fit():
    with pytest.raises(AttributeError, match="not fitted"):
        GradSparseCoder(2).score_samples(np.eye(3))
