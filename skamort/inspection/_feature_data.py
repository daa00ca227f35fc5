"""All that a report tells of latents, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._decoder import linear_decoder
from .._matrices import check_labels
from .._numbers import as_array
from .._validation import check_integer
from ._activity import N_SAMPLED, Activity, find_activity, quantile_bins
from ._coded_rows import CodedRows
from ._feature_facts import by_latent, class_shares, histograms, pairs, token_effects
from ._feature_views import view_of
from ._neighbours import nearest
from ._shown import short, shown_by
from ._top_activations import draw_seed

# Tokens, letters of a text, and letters that an image is written in, by which a latent is known in
# the list.
_N_TOKENS, _N_LETTERS, _IMAGE_SIZE = 6, 60, 2000

Told = list[Any]


@dataclass(frozen=True)
class FeatureData:
    """What a page holds.

    Parameters
    ----------
    n_rows : int
        Of the data.
    fields : list of str
        What the list of latents tells.
    latents : list of list
        That, for each latent.
    details : list of dict
        All else, for each latent.
    """

    n_rows: int
    fields: list[str]
    latents: list[Told]
    details: list[dict[str, Any]]


def collect_features(report: Any) -> FeatureData:
    """Find all that a report tells; what costs little is checked first."""
    coded = CodedRows(report.estimator, report.X, "FeatureReport")
    n_rows, n_latents = coded.shape
    view, labels = view_of(report.show, report.X, n_rows), _labels(report.labels, n_rows)
    given = {
        "explanation": _texts(by_latent(report.explanations, n_latents, "explanations")),
        "score": _numbers(by_latent(report.scores, n_latents, "scores")),
    }
    of_atoms = _told_of_atoms(report, n_latents)
    activity, entries, bins = _find_examples(report, coded)
    shown = view._rows_shown(coded, entries["group"], entries["row"])
    examples = _examples(entries, bins, shown, labels, n_latents)
    facts = {
        "active": activity.n_active.tolist(),
        "histogram": histograms(activity),
        "together": pairs(*nearest(activity.together.T.tocsr(), report.n_neighbors)),
        "examples": examples,
        **of_atoms,
    }
    if labels is not None:
        facts["classes"] = class_shares(activity.sample, labels, n_latents)
        strongest = class_shares(activity.top, labels, n_latents)
        given["class"] = [shares[0][0] if shares else None for shares in strongest]
    summary = {
        "frequency": [short(share) for share in activity.n_active / n_rows],
        "largest": _largest(activity),
        **{name: told for name, told in given.items() if told is not None},
        "hint": list(map(_hint, examples)),
        "image": list(map(_image, of_atoms.get("atom", [None] * n_latents), examples)),
    }
    return FeatureData(n_rows, list(summary), _transposed(summary), _named(facts))


def _find_examples(report: Any, coded: CodedRows) -> tuple[Activity, np.ndarray, np.ndarray]:
    """Return what latents do, and entries to show with the bins that they are from."""
    n_top = check_integer(report.n_top, "n_top", 1)
    n_bins = check_integer(report.n_bins, "n_bins", 0)
    n_per_bin = check_integer(report.n_per_bin, "n_per_bin", 1)
    n_sample, seed = max(N_SAMPLED, 4 * n_bins * n_per_bin), draw_seed(report.random_state)
    activity = find_activity(coded, np.arange(coded.shape[1]), n_top, n_sample, seed)
    drawn, bins = quantile_bins(activity, n_bins, n_per_bin)
    entries = np.concatenate([activity.top, drawn])
    return activity, entries, np.concatenate([np.zeros(len(activity.top), dtype=int), bins])


def _examples(
    entries: np.ndarray, bins: np.ndarray, shown: Iterable, labels: Any, n_latents: int
) -> list[Told]:
    """Return what is shown of each latent's rows."""
    found: list[Told] = [[] for _ in range(n_latents)]
    for entry, number, what in zip(entries, bins.tolist(), shown, strict=True):
        row = int(entry["row"])
        example = {"bin": number, "row": row, "code": short(entry["code"]), "shown": what}
        if labels is not None:
            example["label"] = str(labels[row])
        found[entry["group"]].append(example)
    return found


def _told_of_atoms(report: Any, n_latents: int) -> dict[str, Told]:
    """Return neighbours by cosine, effects on tokens and pictures, where there are atoms."""
    n = check_integer(report.n_neighbors, "n_neighbors", 0)
    atoms = _atoms(report.estimator, n_latents)
    wanted = {"show_atom": report.show_atom, "unembedding": report.unembedding}
    missing = [name for name, value in wanted.items() if value is not None and atoms is None]
    if missing:
        raise ValueError(
            f"FeatureReport: {missing[0]} needs atoms, and {type(report.estimator).__name__} has "
            "no components_ with one for each latent."
        )
    if atoms is None:
        return {}
    told: dict[str, Told] = {"cosine": pairs(*nearest(atoms, n))}
    if report.unembedding is not None:
        told["effects"] = token_effects(atoms, report.unembedding, report.vocabulary, n)
    if report.show_atom is not None:
        told["atom"] = [
            shown_by(report.show_atom, atom, f"show_atom of latent {i}")
            for i, atom in enumerate(atoms)
        ]
    return told


def _atoms(estimator: Any, n_latents: int) -> np.ndarray | None:
    """Return one atom for each latent, if the estimator has such."""
    if getattr(estimator, "components_", getattr(estimator, "dictionary", None)) is None:
        return None
    atoms, _ = linear_decoder(estimator)
    return atoms if len(atoms) == n_latents else None


def _labels(labels: Any, n_rows: int) -> np.ndarray | None:
    if labels is None:
        return None
    labels = check_labels(labels, "FeatureReport: labels")
    if len(labels) != n_rows:
        raise ValueError(
            f"FeatureReport: labels must have one class for each of the {n_rows} rows, got "
            f"{len(labels)}."
        )
    return labels


def _texts(given: Told | None) -> Told | None:
    return given and [None if text is None else str(text) for text in given]


def _numbers(given: Told | None) -> Told | None:
    """Return numbers, None where one is missing."""
    if given is None:
        return None
    try:
        values = as_array(given).astype(float).reshape(len(given))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"FeatureReport: scores must be numbers, one for each latent: {error}."
        ) from error
    return [short(value) if np.isfinite(value) else None for value in values]


def _largest(activity: Activity) -> Told:
    """Return the code of largest absolute value of each latent."""
    largest: Told = [None] * len(activity.n_active)
    for entry in activity.top[::-1]:
        largest[entry["group"]] = short(entry["code"])
    return largest


def _hint(examples: Told) -> str:
    """Return what tells a latent from others in a few words, from its strongest rows."""
    shown = [example["shown"] for example in examples if example["bin"] == 0]
    peaks = [what["tokens"][what["at"]] for what in shown if "tokens" in what]
    tokens = Counter(peak.strip() or repr(peak)[1:-1] for peak in peaks)
    if tokens:
        return " · ".join(token for token, _ in tokens.most_common(_N_TOKENS))
    return next((what["text"][:_N_LETTERS] for what in shown if "text" in what), "")


def _image(atom: dict | None, examples: Told) -> str | None:
    """Return a small picture of the atom, else of the strongest row."""
    shown = [atom or {}, *(example["shown"] for example in examples[:1])]
    images = (what["image"] for what in shown if "image" in what)
    return next((image for image in images if len(image) <= _IMAGE_SIZE), None)


def _transposed(columns: dict[str, Told]) -> list[Told]:
    return [list(row) for row in zip(*columns.values(), strict=True)]


def _named(columns: dict[str, Told]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
