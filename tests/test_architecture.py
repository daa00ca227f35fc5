"""The page on the architecture shows the rooms and arrows that the tests enforce."""

import re

from test_public_api import ARROWS, ROOT


def test_rooms_and_arrows_are_the_enforced_ones():
    page = (ROOT / "doc" / "architecture.rst").read_text(encoding="utf-8")
    rows = re.findall(r"\* - ``(\w+)``\n +- (nothing|``.*``)\n", page)
    shown = {room: set(re.findall(r"\w+", imports)) - {"nothing"} for room, imports in rows}
    assert shown == {room: arrows for room, arrows in ARROWS.items() if room != "skamort"}
