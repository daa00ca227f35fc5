import sys

import numpy as np

from skamort.inspection._table import Table, make_frame


def test_texts_stand_beside_figures():
    table = Table({"a": {"note": "exact", "l0": 12.0}, "second": {"note": "", "l0": np.nan}})
    lines = repr(table).splitlines()
    assert [line.split() for line in lines] == [
        ["note", "l0"],
        ["a", "exact", "12"],
        ["second", "nan"],
    ]
    assert len(set(map(len, lines))) == 1


def test_columns_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    table = make_frame(row=np.array([3, 1]), code=np.array([0.5, 0.25]))
    assert list(table) == ["row", "code"]
    lines = [line.split() for line in repr(table).splitlines()]
    assert lines == [["row", "code"], ["0", "3", "0.5"], ["1", "1", "0.25"]]
