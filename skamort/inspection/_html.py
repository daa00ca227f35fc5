"""Pieces of HTML. All text that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np


def section(title: str, *body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(body)}</section>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def image(media_type: str, base64: str, caption: str) -> str:
    text = escape(caption)
    source = f"data:{media_type};base64,{base64}"
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def definitions(items: Mapping[str, Any]) -> str:
    pairs = (f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in items.items())
    return f"<dl>{''.join(pairs)}</dl>"


def unfold(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def sortable(header: Mapping[str, bool], rows: Iterable[list[str]]) -> str:
    """A table whose headers are buttons, which the script makes sort.

    `header` says of each column whether it holds numbers, which stand to the right.
    """
    cells = (
        f'<th scope="col"{_RIGHT if numeric else ""}>'
        f'<button type="button">{escape(text).replace("_", "_<wbr>")}</button></th>'
        for text, numeric in header.items()
    )
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(cells)}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def row_header(name: Any) -> str:
    return f'<th scope="row">{escape(str(name))}</th>'


def cell(value: Any, text: str | None = None) -> str:
    """A number carries its full value, by which the table is sorted, whatever the text shows."""
    if not is_numeric(np.asarray(value)):
        return text_cell(str(value))
    number = float(value)
    shown = in_digits(number) if text is None else escape(text)
    return f'<td class="number" data-number="{number!r}">{shown}</td>'


def text_cell(text: str, more: str = "") -> str:
    """Text, and beneath it more that is HTML already."""
    return f"<td>{escape(text)}{more}</td>"


def in_digits(number: float) -> str:
    """Four digits; counts and large numbers in full, with separators."""
    if np.isnan(number):
        return "–"
    if abs(number) >= 1000 and np.isfinite(number):
        return f"{number:,.0f}"
    return f"{number:.4g}"


def is_numeric(values: np.ndarray) -> bool:
    return values.dtype.kind in "iuf"


_RIGHT = ' class="number"'
