"""Atoms of a dictionary as images, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, isqrt, prod
from numbers import Integral
from typing import Any

import numpy as np

from .._decoder import dictionary_of
from .._fitted import check_estimator_given
from .._given import check_given
from .._matrices import check_dense_or_csr
from .._pipeline import as_one_coder, atoms_of
from .._validation import check_integer
from ._matplotlib import check_axes, import_pyplot, on_one_line


class DictionaryDisplay:
    """Atoms of a dictionary as images.

    For atoms that are no images, of texts or of tables, `FeatureReport` shows what each stands for.

    Each atom is scaled by its largest absolute value, and zero is mid-grey. In colour that holds of
    red, green and blue: a positive entry has more of it than grey, a negative one less.

    Parameters
    ----------
    dictionary : array-like of shape (n_components, n_features) or fitted estimator
        Atoms, one a row, in the order in which to show them.
    image_shape : tuple of ints, default=None
        Height and width of an atom's image, and 3 where it has colours, which stand side by side in
        each pixel. None for a square.
    name : str, default=None
        What the title calls the dictionary.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure that holds the picture.
    ax_ : matplotlib Axes
        The axes that hold it.
    im_ : matplotlib AxesImage
        All atoms in one image.

    See Also
    --------
    GramDisplay : How atoms correlate.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> from skamort.datasets import load_image_patches
    >>> from skamort.inspection import DictionaryDisplay
    >>> pca = PCA(20).fit(load_image_patches(1000, patch_size=8, random_state=0))
    >>> DictionaryDisplay.from_estimator(pca).ax_.get_title()
    'PCA: 20 atoms'
    """

    def __init__(self, dictionary: Any, *, image_shape: Any = None, name: str | None = None):
        self.dictionary = dictionary
        self.image_shape = image_shape
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        image_shape: Any = None,
        name: str | None = None,
        ax: Any = None,
        n_atoms: int = 144,
        cmap: Any = "gray",
    ) -> DictionaryDisplay:
        """Draw the atoms of an estimator.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `components_` or `dictionary`.
        X : array-like of shape (n_samples, n_features), default=None
            Data to sort atoms by: those that code the most of it come first. None keeps their
            order.
        image_shape : tuple of ints, default=None
            Height and width of an atom's image, and 3 where it has colours, which stand side by
            side in each pixel. None for a square.
        name : str, default=None
            What the title calls the dictionary. None for the class of the estimator.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        n_atoms : int, default=144
            Most atoms to show, the first ones.
        cmap : str or matplotlib Colormap, default="gray"
            Colours, from negative to positive entries of an atom that has none of its own.

        Returns
        -------
        display : DictionaryDisplay
            Drawn.
        """
        dictionary = dictionary_of(as_one_coder(estimator))
        if X is not None:
            check_estimator_given(estimator, cls.__name__)
            codes = check_dense_or_csr(as_one_coder(estimator).transform(X))
            usage = np.asarray(abs(codes).sum(axis=0)).reshape(-1, len(dictionary)).sum(axis=0)
            dictionary = dictionary[np.argsort(-usage, kind="stable")]
        display = cls(dictionary, image_shape=image_shape, name=name or type(estimator).__name__)
        return display.plot(ax, n_atoms=n_atoms, cmap=cmap)

    @classmethod
    def from_dictionary(
        cls,
        dictionary: Any,
        *,
        image_shape: Any = None,
        name: str | None = None,
        ax: Any = None,
        n_atoms: int = 144,
        cmap: Any = "gray",
    ) -> DictionaryDisplay:
        """Draw the atoms of a dictionary.

        Parameters
        ----------
        dictionary : array-like of shape (n_components, n_features) or fitted estimator
            Atoms, one a row; of an estimator its `components_` count.
        image_shape : tuple of ints, default=None
            Height and width of an atom's image, and 3 where it has colours, which stand side by
            side in each pixel. None for a square.
        name : str, default=None
            What the title calls the dictionary.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        n_atoms : int, default=144
            Most atoms to show, the first ones.
        cmap : str or matplotlib Colormap, default="gray"
            Colours, from negative to positive entries of an atom that has none of its own.

        Returns
        -------
        display : DictionaryDisplay
            Drawn.
        """
        display = cls(dictionary, image_shape=image_shape, name=name)
        return display.plot(ax, n_atoms=n_atoms, cmap=cmap)

    def plot(self, ax: Any = None, *, n_atoms: int = 144, cmap: Any = "gray") -> DictionaryDisplay:
        """Draw the atoms.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        n_atoms : int, default=144
            Most atoms to show, the first ones.
        cmap : str or matplotlib Colormap, default="gray"
            Colours, from negative to positive entries of an atom that has none of its own.

        Returns
        -------
        display : DictionaryDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            NaN or infinity, or atoms that do not have the shape of the images.
        """
        plt = import_pyplot(type(self).__name__)
        dictionary = atoms_of(self.dictionary, "dictionary")
        shape = _check_image_shape(self.image_shape, dictionary.shape[1])
        atoms = dictionary[: check_integer(n_atoms, "n_atoms", 1)]
        if ax is None:
            _, ax = plt.subplots(figsize=(5, 5.2), layout="constrained")
        check_axes("DictionaryDisplay", ax)
        self.ax_, self.figure_ = ax, ax.figure
        colours = plt.get_cmap(cmap).with_extremes(bad="white")
        mosaic = _mosaic(atoms.reshape(-1, *shape))
        if mosaic.ndim == 3:  # red, green and blue from 0 to 1
            mosaic = np.nan_to_num((1 + mosaic) / 2, nan=1.0)
        self.im_ = ax.imshow(mosaic, cmap=colours, vmin=-1, vmax=1, interpolation="none")
        ax.set_axis_off()
        shown = f"{len(atoms)} of {len(dictionary)}" if len(atoms) < len(dictionary) else len(atoms)
        name = f"{on_one_line(self.name)}: " if self.name else ""
        ax.set_title(f"{name}{shown} atoms", parse_math=False)
        return self


def _check_image_shape(image_shape: Any, n_features: int) -> tuple[int, ...]:
    if image_shape is None:
        side = isqrt(n_features)
        if side**2 != n_features:
            raise ValueError(
                f"DictionaryDisplay: atoms of {n_features} features are no square images; pass "
                "image_shape=(height, width), or (height, width, 3) in colour."
            )
        return side, side
    shape = tuple(image_shape) if isinstance(image_shape, Iterable) else (image_shape,)
    is_shape = all(isinstance(size, Integral) for size in shape)
    check_given(is_shape, image_shape, "DictionaryDisplay: image_shape", "a tuple of ints")
    is_image = len(shape) >= 2 and min(shape) > 0 and shape[2:] in ((), (3,))
    if not is_image or prod(shape) != n_features:
        raise ValueError(
            f"DictionaryDisplay: image_shape={image_shape!r} does not hold {n_features} features; "
            "choose (height, width), or (height, width, 3) in colour, whose product is n_features."
        )
    return shape


def _mosaic(images: np.ndarray) -> np.ndarray:
    """Images (n, height, width[, 3]) in rows and columns, each from -1 to 1, NaN between them."""
    n_images, height, width, *colours = images.shape
    peak = np.abs(images).max(axis=tuple(range(1, images.ndim)), keepdims=True)
    images = images / np.where(peak > 0, peak, 1)
    # About as high as wide.
    n_columns = min(n_images, max(1, round((n_images * height / width) ** 0.5)))
    n_rows = ceil(n_images / n_columns)
    tiles = np.full((n_rows * n_columns, height + 1, width + 1, *colours), np.nan)
    tiles[:n_images, :-1, :-1] = images
    grid = tiles.reshape(n_rows, n_columns, *tiles.shape[1:]).swapaxes(1, 2)
    return grid.reshape(n_rows * (height + 1), n_columns * (width + 1), *colours)[:-1, :-1]
