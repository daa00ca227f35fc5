"""Inner products of the atoms of a dictionary: D D^T."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._coherence import coherence_of
from .._decoder import dictionary_of
from .._matrices import check_matrix
from .._pipeline import as_one_coder, atoms_of
from ._matplotlib import check_axes, import_pyplot, on_one_line


class GramDisplay:
    """Inner products of the atoms of a dictionary, D D^T.

    The title tells the mutual coherence, the largest absolute cosine between two atoms: the lower,
    the easier the right atoms are to find.

    Parameters
    ----------
    gram : array-like of shape (n_components, n_components)
        Inner products of the atoms, ``dictionary @ dictionary.T``.
    name : str, default=None
        What the title calls the dictionary.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure that holds the picture.
    ax_ : matplotlib Axes
        The axes that hold it.
    im_ : matplotlib AxesImage
        The matrix.

    See Also
    --------
    DictionaryDisplay : The atoms themselves.
    skamort.metrics.mutual_coherence : The number alone.

    Examples
    --------
    >>> from skamort.inspection import GramDisplay
    >>> display = GramDisplay.from_dictionary([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> display.ax_.get_title()
    'mutual coherence 0.80'
    """

    def __init__(self, gram: Any, *, name: str | None = None):
        self.gram = gram
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Any = None, cmap: Any = "RdBu_r"
    ) -> GramDisplay:
        """Draw the inner products of an estimator's atoms.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `components_` or `dictionary`.
        name : str, default=None
            What the title calls the dictionary. None for the class of the estimator.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours, from negative to positive inner products.

        Returns
        -------
        display : GramDisplay
            Drawn.
        """
        dictionary = dictionary_of(as_one_coder(estimator))
        name = name or type(estimator).__name__
        return cls.from_dictionary(dictionary, name=name, ax=ax, cmap=cmap)

    @classmethod
    def from_dictionary(
        cls, dictionary: Any, *, name: str | None = None, ax: Any = None, cmap: Any = "RdBu_r"
    ) -> GramDisplay:
        """Draw the inner products of the atoms of a dictionary.

        Parameters
        ----------
        dictionary : array-like of shape (n_components, n_features) or fitted estimator
            Atoms, one a row; of an estimator its `components_` count.
        name : str, default=None
            What the title calls the dictionary.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours, from negative to positive inner products.

        Returns
        -------
        display : GramDisplay
            Drawn.
        """
        dictionary = atoms_of(dictionary, "dictionary")
        return cls(dictionary @ dictionary.T, name=name).plot(ax, cmap=cmap)

    def plot(self, ax: Any = None, *, cmap: Any = "RdBu_r", colorbar: bool = True) -> GramDisplay:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours, from negative to positive inner products.
        colorbar : bool, default=True
            Whether to draw a scale of the colours beside the matrix.

        Returns
        -------
        display : GramDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            NaN or infinity, or a matrix that is not square.
        """
        plt = import_pyplot(type(self).__name__)
        gram = check_matrix(self.gram, "gram")
        if gram.shape[0] != gram.shape[1]:
            raise ValueError(
                f"GramDisplay: gram must be square, got {gram.shape}; pass a dictionary to "
                "from_dictionary."
            )
        if ax is None:
            _, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
        check_axes("GramDisplay", ax)
        self.ax_, self.figure_ = ax, ax.figure
        limit = np.abs(gram).max() or 1.0
        self.im_ = ax.imshow(gram, cmap=cmap, vmin=-limit, vmax=limit, interpolation="nearest")
        if colorbar:
            self.figure_.colorbar(self.im_, ax=ax, label="inner product", shrink=0.85)
        ax.set(xlabel="atom", ylabel="atom")
        coherence = coherence_of(np.diagonal(gram), gram.__getitem__)
        name = f"{on_one_line(self.name)}: " if self.name else ""
        ax.set_title(f"{name}mutual coherence {coherence:.2f}", parse_math=False)
        return self
