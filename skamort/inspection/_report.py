"""A comparison as one HTML file that needs nothing else: tables, figures, settings, versions."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from .._validation import as_path
from . import _html as html
from ._compare import compare_encoders
from ._comparison_display import ComparisonDisplay
from ._matplotlib import import_pyplot
from ._page import make_page, versions
from ._parameters import parameters_of, seeds_of
from ._table import check_table
from ._written import write_text

_COLUMNS = {
    "fvu": "fraction of variance unexplained",
    "l0": "mean number of non-zero codes of a sample",
    "dead_fraction": "share of the atoms that no sample uses",
    "objective": "mean sparse coding objective, 1/2 ||x - z D||² + alpha ||z||₁",
    "gap": "the amortization gap is at least this",
    "gap_upper": "the amortization gap is at most this",
    "fvu_gap": "better codes with as many non-zeros leave less of the variance, at least by this",
    "fvu_gap_upper": "and at most by this, of codes no larger than the best found",
    "latent_mcc": "mean correlation with the true codes",
    "dictionary_mcc": "mean correlation with the true atoms",
    "fit_seconds": "seconds to fit",
    "samples_per_second": "samples encoded in a second",
    "n_parameters": "numbers learned",
    "sign": "what codes may be; codes of any sign have more to choose from",
}
_CERTIFICATE = (
    "Each encoder's codes stand beside the best codes for its own dictionary, a convex problem "
    "whose duality gap bounds what any codes can reach. Better inference alone wins at least the "
    "one share of the objective and cannot win more than the other."
)


class ComparisonReport:
    """Comparison of encoders as one self-contained HTML file.

    The file holds the table of figures, what the certificate says of each encoder, pictures,
    parameters, seeds and versions. A click on the header of a column sorts by it. Nothing is
    loaded from elsewhere, so that the file can be mailed and kept.

    Parameters
    ----------
    table : DataFrame
        One row an encoder, one column a figure, as :func:`compare_encoders` returns it. Further
        columns, of numbers or of text, are shown as they are.
    title : str, default="Comparison of encoders"
        Heading of the report.
    figures : dict, default=None
        Pictures by caption: matplotlib figures, or displays that hold one in `figure_`.
    estimators : dict, default=None
        Estimators by name, for their parameters and seeds.
    settings : dict, default=None
        What else a reader should know, by name: the data, `alpha`, how seconds were measured.

    See Also
    --------
    compare_encoders : Makes the table.
    ComparisonDisplay : Draws it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.decomposition import PCA, TruncatedSVD
    >>> from skamort.datasets import load_image_patches
    >>> from skamort.inspection import ComparisonReport
    >>> X = load_image_patches(500, patch_size=8, random_state=0)
    >>> report = ComparisonReport.from_estimators(
    ...     [PCA(10), TruncatedSVD(10, random_state=0)], X[:400], X[400:], alpha=0.1)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "report.html")
    ...     report.save(path)
    ...     path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    True
    """

    def __init__(
        self,
        table: Any,
        *,
        title: str = "Comparison of encoders",
        figures: Mapping[str, Any] | None = None,
        estimators: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        self.table = table
        self.title = title
        self.figures = figures
        self.estimators = estimators
        self.settings = settings

    @classmethod
    def from_estimators(
        cls,
        estimators: Any,
        X_train: Any,
        X_test: Any,
        *,
        alpha: float,
        codes: Any = None,
        dictionary: Any = None,
        title: str = "Comparison of encoders",
    ) -> ComparisonReport:
        """Compare estimators and report the comparison.

        Parameters
        ----------
        estimators : dict, list of (str, estimator) tuples, list of estimators, or an estimator
            Transformers by name, or named by their classes; what is not fitted is cloned and
            fitted on `X_train`.
        X_train : array-like of shape (n_train_samples, n_features)
            Data to fit on.
        X_test : array-like of shape (n_samples, n_features)
            Data to encode, on which the figures are measured.
        alpha : float
            Weight of the L1 norm in the objective that judges all encoders.
        codes : {array-like, sparse matrix} of shape (n_samples, n_components_true), default=None
            True codes of `X_test`, where they are known.
        dictionary : array-like of shape (n_components_true, n_features), default=None
            True dictionary, where it is known.
        title : str, default="Comparison of encoders"
            Heading of the report.

        Returns
        -------
        report : ComparisonReport
            With the picture of :class:`ComparisonDisplay`; without it where matplotlib is not
            installed, and the report says so.
        """
        table, fitted = compare_encoders(
            estimators,
            X_train,
            X_test,
            alpha=alpha,
            codes=codes,
            dictionary=dictionary,
            return_estimators=True,
        )
        data = {"training data": _shape(X_train), "test data": _shape(X_test)}
        settings = {"alpha": alpha, **data}
        try:
            import_pyplot(cls.__name__)
        except ImportError:
            figures, settings["figures"] = {}, "none, as matplotlib is not installed"
        else:
            figures = {"Measures by encoder": ComparisonDisplay(table).plot()}
        return cls(table, title=title, figures=figures, estimators=fitted, settings=settings)

    def save(self, path: Any) -> None:
        """Write the report.

        Parameters
        ----------
        path : str or path
            File to write, in UTF-8; what stood there is replaced.

        Raises
        ------
        TypeError
            A table without columns or names of rows, or a figure that is none.
        OSError
            A file that cannot be written.
        """
        page = self._page()
        write_text(as_path(path, "ComparisonReport.save: path"), page)

    def _page(self) -> str:
        check_table(self.table, "ComparisonReport")
        sections = [
            _measures(self.table),
            _certificate(self.table),
            *(_picture(caption, figure) for caption, figure in (self.figures or {}).items()),
            _parameters(self.estimators or {}),
            _definitions("Settings", self.settings or {}),
            _definitions("Versions", versions()),
        ]
        return make_page(self.title, sections, ("_sorting.js", "_report.js"))


def _measures(table: Any) -> str:
    columns = {str(name): np.asarray(table[name]) for name in table}
    rows = (
        [html.row_header(encoder), *(html.cell(values[i]) for values in columns.values())]
        for i, encoder in enumerate(table.index)
    )
    numeric = {name: html.is_numeric(values) for name, values in columns.items()}
    said = {name: meaning for name, meaning in _COLUMNS.items() if name in columns}
    legend = html.unfold("What the columns say", html.definitions(said)) if said else ""
    return html.section("Measures", html.sortable({"encoder": False, **numeric}, rows), legend)


def _certificate(table: Any) -> str:
    """Shares of the objective that better inference could win, where the table has the gaps."""
    if not all(column in table for column in ("objective", "gap", "gap_upper")):
        return ""
    objective, gap, gap_upper = (
        np.asarray(table[column], dtype=float) for column in ("objective", "gap", "gap_upper")
    )
    percent = 100 / np.maximum(objective, np.finfo(float).tiny)
    rows = (
        [
            html.row_header(name),
            html.cell(low, _percent(np.floor(100 * low))),
            html.cell(high, _percent(np.ceil(100 * high))),
        ]
        for name, low, high in zip(table.index, percent * gap, percent * gap_upper, strict=True)
    )
    header = {"encoder": False, "could win at least": True, "cannot win more than": True}
    return html.section(
        "What better inference could win",
        html.paragraph(_CERTIFICATE),
        html.sortable(header, rows),
    )


def _percent(hundredths: float) -> str:
    return "–" if np.isnan(hundredths) else f"{hundredths / 100:.2f} %"


def _picture(caption: str, figure: Any) -> str:
    """A figure as SVG within an image, where no script is run."""
    figure = getattr(figure, "figure_", figure)
    if not hasattr(figure, "savefig"):
        raise TypeError(
            f"ComparisonReport: the figure {caption!r} is a {type(figure).__name__}; pass a "
            "matplotlib figure, or a display that is plotted."
        )
    file = BytesIO()
    figure.savefig(file, format="svg", bbox_inches="tight", facecolor="white")
    return html.image("image/svg+xml", base64.b64encode(file.getvalue()).decode(), str(caption))


def _parameters(estimators: Mapping[str, Any]) -> str:
    """What was set on each estimator, with all parameters to unfold, and its seeds."""
    rows = []
    for name, estimator in estimators.items():
        every, changed = parameters_of(estimator)
        said = ", ".join(f"{key}={value}" for key, value in changed.items())
        more = html.unfold(f"all {len(every)}", html.definitions(every)) if every else ""
        kind, seeds = type(estimator).__name__, seeds_of(estimator)
        texts = [html.text_cell(kind), html.text_cell(said, more), html.text_cell(seeds)]
        rows.append([html.row_header(name), *texts])
    header = dict.fromkeys(["encoder", "class", "parameters that were set", "seeds"], False)
    return html.section("Parameters and seeds", html.sortable(header, rows)) if rows else ""


def _definitions(title: str, items: Mapping[str, Any]) -> str:
    return html.section(title, html.definitions(items)) if items else ""


def _shape(data: Any) -> str:
    n_samples, n_features = np.shape(data)
    return f"{n_samples:,} samples of {n_features:,} features"
