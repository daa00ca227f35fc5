"""Rows of figures as a pandas DataFrame, or as the next best thing where there is no pandas."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from .._given import check_given

Rows: TypeAlias = Mapping[Any, Mapping[str, float | str]]


class Table(dict):
    """Columns by name, each an array, with the names of the rows in `index`.

    What a pandas DataFrame does with ``table[column]``, ``column in table`` and ``table.index``,
    this does as well.
    """

    def __init__(self, rows: Rows):
        columns = next(iter(rows.values()))
        super().__init__({c: np.array([row[c] for row in rows.values()]) for c in columns})
        self.index = list(rows)

    @classmethod
    def from_columns(cls, columns: Mapping[str, np.ndarray]) -> Table:
        """Return columns as a table whose rows are numbered."""
        table = cls({"": {}})
        table.update(columns)
        table.index = list(map(str, range(len(next(iter(columns.values()))))))
        return table

    def __repr__(self) -> str:
        cells = [["", *self], *([name, *self._row(i)] for i, name in enumerate(self.index))]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in cells
        )

    def _row(self, i: int) -> list[str]:
        return [_text(column[i]) for column in self.values()]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, Real) else str(value)


def check_table(table: Any, owner: str) -> None:
    """Refuse what is no table with a row an encoder or a value."""
    is_table = hasattr(table, "index") and hasattr(table, "keys") and len(table.index)
    check_given(is_table, table, f"{owner}: table", "a DataFrame with named rows, one or more")


def make_table(rows: Rows) -> Any:
    """A DataFrame with one row a name."""
    try:
        import pandas as pd
    except ImportError:
        return Table(rows)
    return pd.DataFrame.from_dict(rows, orient="index")


def make_frame(**columns: np.ndarray) -> Any:
    """A DataFrame of these columns, its rows numbered."""
    try:
        import pandas as pd
    except ImportError:
        return Table.from_columns(columns)
    return pd.DataFrame(columns)
