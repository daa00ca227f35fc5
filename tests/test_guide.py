"""Python on the pages of the documentation runs, each page from top to bottom.

`.. testsetup::` holds what a page takes for granted, and is not shown. A comment before a block
says what it `needs:`, packages that may be missing, or why it is `not run:`.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest

from skamort.estimators import _auto

ROOT = Path(__file__).parents[1]
DOC = ROOT / "doc"
BLOCK = re.compile(
    r"^(?:\.\. (?P<word>needs|not run): (?P<what>.+)\n\n)?"
    r"\.\. (?:testsetup::|code-block:: python)\n\n(?P<code>(?: +.*\n|\n)+)",
    re.MULTILINE,
)
# Its classes are tested too: tests/test_extending.py.
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOC.glob("*.rst"))}
BLOCKS = {name: list(BLOCK.finditer(page)) for name, page in PAGES.items() if name != "extending"}


def runs(block):
    """Whether a block is one to run, here."""
    missing = [name for name in (block["what"] or "").split() if find_spec(name) is None]
    return block["word"] is None or (block["word"] == "needs" and not missing)


@pytest.mark.parametrize("page", [name for name, blocks in BLOCKS.items() if blocks])
@pytest.mark.filterwarnings("ignore::UserWarning")  # of fits as short as these
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch's own exporter
def test_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_auto, "_STEPS", 40)
    names = {"__name__": page}
    for block in filter(runs, BLOCKS[page]):
        line = PAGES[page].count("\n", 0, block.start("code"))
        exec(compile("\n" * line + dedent(block["code"]), f"{page}.rst", "exec"), names)


def test_no_block_is_overlooked():
    directive = re.compile(r"^ *(?:\.\. )?(?:code-block:: python|testsetup::)", re.MULTILINE)
    for name, blocks in BLOCKS.items():
        assert len(directive.findall(PAGES[name])) == len(blocks), name


def test_commands_of_the_papers_exist():
    named = {Path(path).name for path in re.findall(r"[\w/]+\.py", PAGES["papers"])}
    assert named
    assert named <= {path.name for path in ROOT.glob("[bet]*/**/*.py")}
