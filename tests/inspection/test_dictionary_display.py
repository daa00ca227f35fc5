import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA, SparseCoder
from sklearn.exceptions import NotFittedError

from skamort.inspection import DictionaryDisplay

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def dictionary():
    return np.random.default_rng(0).normal(size=(7, 12))


def test_every_atom_is_in_the_picture(dictionary):
    display = DictionaryDisplay.from_dictionary(dictionary, image_shape=(3, 4))
    picture = np.asarray(display.im_.get_array().filled(np.nan))
    n_columns = (picture.shape[1] + 1) // 5
    for index, atom in enumerate(dictionary):
        row, column = divmod(index, n_columns)
        shown = picture[4 * row : 4 * row + 3, 5 * column : 5 * column + 4]
        assert_allclose(shown, (atom / np.abs(atom).max()).reshape(3, 4))
    assert display.im_.get_clim() == (-1, 1)
    assert np.isfinite(picture).sum() == dictionary.size
    assert display.ax_.get_title() == "7 atoms"


@pytest.mark.parametrize("n_atoms", [1, 2, 3, 5, 10, 17])
def test_any_number_of_atoms(n_atoms):
    atoms = np.ones((n_atoms, 9))
    picture = DictionaryDisplay.from_dictionary(atoms).im_.get_array()
    assert picture.count() == atoms.size
    assert max(picture.shape) <= 2 * min(picture.shape) + 9


def test_first_atoms_only(dictionary):
    display = DictionaryDisplay(dictionary, image_shape=(3, 4), name="mine").plot(n_atoms=5)
    assert display.ax_.get_title() == "mine: 5 of 7 atoms"
    assert display.im_.get_array().count() == 5 * 12


def test_zero_atoms_are_grey():
    picture = DictionaryDisplay.from_dictionary(np.zeros((4, 4))).im_.get_array()
    assert picture.count() == 16
    assert (picture.compressed() == 0).all()


def test_colours_are_grey_and_more_or_less():
    atoms = np.zeros((3, 2, 4, 3))
    atoms[0, 1, 2] = [2.0, 0.0, -1.0]
    atoms[1] = -0.1
    display = DictionaryDisplay.from_dictionary(atoms.reshape(3, 24), image_shape=(2, 4, 3))
    display.figure_.canvas.draw()
    expected = np.full((8, 4, 3), 1.0)  # white between three images below each other
    expected[:2] = expected[6:] = 0.5
    expected[1, 2] = [1.0, 0.5, 0.25]
    expected[3:5] = 0.0
    assert_allclose(display.im_.get_array(), expected)


def test_estimator_with_the_most_used_atoms_first(dictionary):
    X = np.outer([3.0, 1.0, 2.0], dictionary[4]) + 0.1 * dictionary[2]
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    for split_sign in (False, True):
        coder = SparseCoder(
            dictionary, transform_algorithm="threshold", transform_alpha=0.1, split_sign=split_sign
        )
        usage = np.abs(X @ dictionary.T).clip(0.1).sum(axis=0)
        display = DictionaryDisplay.from_estimator(coder, X, image_shape=(3, 4))
        assert_allclose(display.dictionary, dictionary[np.argsort(-usage)])
        assert display.ax_.get_title() == "SparseCoder: 7 atoms"


def test_axes_given(dictionary):
    figure, ax = plt.subplots()
    display = DictionaryDisplay(dictionary, image_shape=(3, 4))
    assert display.plot(ax) is display
    assert display.ax_ is ax
    assert display.figure_ is figure


def test_bad_input(dictionary):
    with pytest.raises(ValueError, match=r"12 features are no square images; pass image_shape"):
        DictionaryDisplay.from_dictionary(dictionary)
    with pytest.raises(ValueError, match=r"image_shape=\(5, 2\) does not hold 12 features"):
        DictionaryDisplay.from_dictionary(dictionary, image_shape=(5, 2))
    for shape in ((2, 2, 2), (12,), (2, 2, 3, 1)):
        with pytest.raises(ValueError, match=r"does not hold 12 .*\(height, width, 3\) in colour"):
            DictionaryDisplay.from_dictionary(dictionary, image_shape=shape)
    with pytest.raises(ValueError, match="n_atoms must be >= 1"):
        DictionaryDisplay.from_dictionary(dictionary, image_shape=(3, 4), n_atoms=0)
    with pytest.raises(ValueError, match="dictionary contains NaN"):
        DictionaryDisplay.from_dictionary(np.full((2, 4), np.nan))
    with pytest.raises(NotFittedError):
        DictionaryDisplay.from_estimator(PCA())


def test_without_matplotlib(monkeypatch, dictionary):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="DictionaryDisplay draws with matplotlib"):
        DictionaryDisplay.from_dictionary(dictionary)
