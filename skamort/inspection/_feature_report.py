"""Every latent of an estimator on one page: what makes it active, and what is near it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._validation import as_path
from . import _html as html
from ._feature_data import FeatureData, collect_features
from ._page import make_page, versions
from ._parameters import parameters_of
from ._written import check_place, remove_chunks, write_chunks, write_text

# Latents from which on a page no longer holds all of them, and how many are loaded together.
_MOST_IN_A_PAGE, _CHUNK = 2000, 50
_COLUMNS = ("latent", "frequency", "largest", "score", "about")
_FREQUENCIES = {
    "": "any frequency",
    "alive": "active at all",
    "never": "never active",
    "rare": "below 0.1 %",
    "some": "0.1 to 1 %",
    "often": "1 to 10 %",
    "most": "10 % and more",
}


class FeatureReport:
    """Latents of a fitted estimator, one by one, as one HTML file.

    For each latent the page shows how often and how strongly it is active, the rows on which it is
    strongest and some from all of its range, its neighbours by the cosine of the atoms and by being
    active together, and what else is known of it. Latents are found by words, sorted and filtered;
    arrow keys go through them, ``/`` leads to the search. Nothing is loaded from elsewhere, so that
    the file can be mailed and kept. With more than 2,000 latents, what is told of each lies in a
    folder beside the file, which is read as needed.

    Parameters
    ----------
    estimator : object with ``transform``
        Any fitted estimator that turns rows into codes; with ``components_``, neighbours by cosine
        are shown as well.
    X : {array-like, sparse matrix} of shape (n_rows, n_features)
        Data that latents are shown on, in memory or not, read a block of rows at a time.
    show : callable or TokenContexts, default=None
        What a reader sees of a row: a callable that takes its number and returns a text, an image
        or :class:`SafeHTML`, or :class:`TokenContexts` for the tokens of texts. An image is an
        array (height, width) or (height, width, 3): uint8 as it is; other numbers from black for 0
        to white for its largest, or, where some are negative, with grey for 0. None shows the row's
        largest numbers.
    show_atom : callable, default=None
        The same for an atom (n_features,).
    labels : array-like of shape (n_rows,), default=None
        Classes of the rows.
    unembedding : array-like of shape (n_tokens, n_features), default=None
        What turns a row into logits of tokens, such as ``model.lm_head.weight``, times the weights
        of the norm before it; then the tokens that each atom raises and lowers most are shown.
    vocabulary : sequence of str, default=None
        The tokens of the unembedding.
    explanations : dict or sequence of str, default=None
        Of latents, by number or one for each.
    scores : dict or sequence of float, default=None
        How good each explanation is, or any other figure of a latent.
    n_top : int, default=10
        How many of a latent's strongest rows to show.
    n_bins : int, default=4
        Number of quantile bins of a latent's codes to show rows from, as in
        :func:`top_activations`.
    n_per_bin : int, default=3
        How many rows of each.
    n_neighbors : int, default=6
        How many neighbours, and tokens, to show.
    title : str, default="Features"
        Heading of the report.
    settings : dict, default=None
        What else a reader should know, by name.
    random_state : int, RandomState instance or None, default=None
        What draws rows.

    See Also
    --------
    top_activations : The same rows as a table.
    TokenContexts : Rows that are tokens.

    Notes
    -----
    Latents are near by activity if they are active in the same rows: the number of rows with both,
    divided by the geometric mean of those with each, among 10,000 rows drawn at random.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import NMF
    >>> from skamort.inspection import FeatureReport
    >>> X, y = load_digits(return_X_y=True)
    >>> nmf = NMF(8, init="nndsvda", random_state=0).fit(X)
    >>> report = FeatureReport(nmf, X, show=lambda row: X[row].reshape(8, 8), labels=y)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "features.html")
    ...     report.save(path)
    ...     path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    True
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        *,
        show: Any = None,
        show_atom: Callable[[np.ndarray], Any] | None = None,
        labels: Any = None,
        unembedding: Any = None,
        vocabulary: Any = None,
        explanations: Any = None,
        scores: Any = None,
        n_top: int = 10,
        n_bins: int = 4,
        n_per_bin: int = 3,
        n_neighbors: int = 6,
        title: str = "Features",
        settings: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.X = X
        self.show = show
        self.show_atom = show_atom
        self.labels = labels
        self.unembedding = unembedding
        self.vocabulary = vocabulary
        self.explanations = explanations
        self.scores = scores
        self.n_top = n_top
        self.n_bins = n_bins
        self.n_per_bin = n_per_bin
        self.n_neighbors = n_neighbors
        self.title = title
        self.settings = settings
        self.random_state = random_state

    def save(self, path: Any) -> None:
        """Write the report.

        Parameters
        ----------
        path : str or path
            File to write, in UTF-8; what stood there is replaced once the new report is complete.
            With more than 2,000 latents the file reads others, ``skamort-*.js`` in a folder
            beside it, of the same name with ``_files`` at its end (``features.html_files``);
            other files there are left alone. Lone surrogates, which UTF-8 lacks, become U+FFFD.

        Raises
        ------
        ValueError
            NaN or infinity in X or the unembedding, labels or other arguments of another length, a
            callable that raises; the row is named.
        TypeError
            A callable that returns what cannot be shown, an argument of another type.
        OSError
            A file that cannot be written.
        """
        path = as_path(path, "FeatureReport.save: path")
        check_place(path)
        self._check_heading()
        data = collect_features(self)
        starts = range(0, len(data.details), _CHUNK)
        chunks = [_as_json(data.details[start : start + _CHUNK]) for start in starts]
        beside = write_chunks(path, chunks) if len(data.details) > _MOST_IN_A_PAGE else None
        write_text(path, self._page(data, chunks, beside))
        remove_chunks(path, beside)

    def _check_heading(self) -> None:
        if not isinstance(self.title, str):
            raise TypeError(
                f"FeatureReport: title must be a str, got a {type(self.title).__name__}."
            )
        if self.settings is not None and not isinstance(self.settings, Mapping):
            raise TypeError(
                f"FeatureReport: settings must be a dict by name, or None, got a "
                f"{type(self.settings).__name__}."
            )

    def _page(self, data: FeatureData, chunks: list[str], beside: str | None) -> str:
        columns = [c for c in _COLUMNS if c in data.fields or c in ("latent", "about")]
        told = {
            "fields": data.fields,
            "columns": columns,
            "latents": data.latents,
            "rows": data.n_rows,
            "bins": self.n_bins,
            "chunk": _CHUNK,
            "beside": beside,
        }
        inside = [] if beside else chunks
        sections = [
            _frame(columns),
            _data("page", _as_json(told)),
            *(_data(f"chunk-{number}", chunk) for number, chunk in enumerate(inside)),
            html.unfold("Estimator, settings and versions", html.definitions(self._said())),
        ]
        scripts = ("_sorting.js", "_features.js")
        return make_page(
            self.title, sections, scripts, style="_features.css", loads_scripts=bool(beside)
        )

    def _said(self) -> dict[str, Any]:
        every, _ = parameters_of(self.estimator)
        name = type(self.estimator).__name__
        return {"estimator": name, **every, **(self.settings or {}), **versions()}


def _frame(columns: list[str]) -> str:
    """What the script fills: a search, a list, and one latent."""
    options = "".join(f'<option value="{k}">{text}</option>' for k, text in _FREQUENCIES.items())
    heads = "".join(
        f'<th scope="col" class="{"about" if name == "about" else f"number {name}"}">'
        f'<button type="button">{name}</button></th>'
        for name in columns
    )
    return (
        '<div id="features"><div id="side"><div class="controls">'
        '<input type="search" id="search" placeholder="Search ( / )" aria-label="Search">'
        f'<select id="frequency" aria-label="Frequency">{options}</select>'
        '<select id="class" aria-label="Class" hidden><option value="">any class</option></select>'
        '</div><p id="count" role="status"></p><div id="list" tabindex="-1">'
        f"<table><thead><tr>{heads}</tr></thead><tbody></tbody></table></div></div>"
        '<article id="detail"></article></div>'
    )


def _data(name: str, text: str) -> str:
    """JSON as part of a page, no part of which a browser takes for HTML."""
    return f'<script type="application/json" id="{name}">{text}</script>'


def _as_json(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028")
