import numpy as np

from skamort.inspection._table import Table


def test_texts_stand_beside_figures():
    table = Table({"a": {"note": "exact", "l0": 12.0}, "second": {"note": "", "l0": np.nan}})
    lines = repr(table).splitlines()
    assert [line.split() for line in lines] == [
        ["note", "l0"],
        ["a", "exact", "12"],
        ["second", "nan"],
    ]
    assert len(set(map(len, lines))) == 1
