import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from skamort.inspection import GramDisplay

plt = pytest.importorskip("matplotlib.pyplot")


def test_gram_of_a_dictionary():
    dictionary = np.random.default_rng(0).normal(size=(5, 3))
    display = GramDisplay.from_dictionary(dictionary, name="random")
    gram = dictionary @ dictionary.T
    assert_allclose(display.im_.get_array(), gram)
    assert display.im_.get_clim() == (-np.abs(gram).max(), np.abs(gram).max())
    norms = np.linalg.norm(dictionary, axis=1)
    cosines = np.abs(gram / np.outer(norms, norms))[~np.eye(5, dtype=bool)]
    assert display.ax_.get_title() == f"random: mutual coherence {cosines.max():.2f}"
    assert len(display.figure_.axes) == 2  # the matrix and its scale


def test_orthogonal_atoms_have_no_coherence():
    X = np.random.default_rng(0).normal(size=(20, 4))
    figure, ax = plt.subplots()
    display = GramDisplay.from_estimator(PCA(3).fit(X), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert display.ax_.get_title() == "PCA: mutual coherence 0.00"


def test_without_a_scale_and_with_a_zero_atom():
    display = GramDisplay([[1.0, 0.0], [0.0, 0.0]]).plot(colorbar=False)
    assert len(display.figure_.axes) == 1
    assert display.ax_.get_title() == "mutual coherence 0.00"


def test_bad_input():
    with pytest.raises(ValueError, match=r"gram must be square, got \(2, 3\)"):
        GramDisplay(np.ones((2, 3))).plot()
    with pytest.raises(ValueError, match="dictionary contains NaN"):
        GramDisplay.from_dictionary([[np.nan]])


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="GramDisplay draws with matplotlib"):
        GramDisplay(np.eye(2)).plot()
