"""The script that measures a GPU goes on where a piece hangs or fails."""

import json
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
print('{"piece": "%s", "found": 1}' % sys.argv[2], flush=True)
time.sleep(60) if sys.argv[2] == "hangs" else sys.exit(sys.argv[2] == "fails")
"""


@pytest.fixture
def bench_card(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return pytest.importorskip("bench_card")


@pytest.mark.parametrize(
    ("piece", "limit", "end"),
    [("works", 20, "done"), ("fails", 20, "failed"), ("hangs", 1, "time")],
)
def test_a_piece_tells_what_it_found_and_how_it_ended(
    bench_card, piece, limit, end, tmp_path, monkeypatch
):  # fmt: skip
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(bench_card, "__file__", str(script))
    monkeypatch.setattr("sys.argv", ["bench_card.py"])
    lines = []
    assert bench_card.run_apart(piece, limit, lines.append) == end
    found, told = map(json.loads, lines)
    assert found == {"piece": piece, "found": 1}
    assert told["ended"] == end


def test_all_pieces_together_take_eight_minutes_at_most(bench_card):
    assert sum(bench_card.PIECES.values()) <= 480
    assert {"many", "layouts", "crossing", "learning", "pursuits", "encode", "fits"} <= {
        piece.__name__ for piece in bench_card.PIECES
    }
