"""What the README and CONTRIBUTING.md say works when pasted, and points at what exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md"]
ON_THE_WEB = (
    "https://(?:raw.githubusercontent.com/skamort/skamort|github.com/skamort/skamort/blob)/main/"
)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", read("README.md"), flags=re.DOTALL)
    names = {}
    exec(example, names)
    assert names["best"].shape == names["codes"].shape == (1797, 128)


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page):
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", read("Makefile"), flags=re.MULTILINE))
    commands = re.findall(r"(?:^|`)make ([a-z-]+)", read(page), flags=re.MULTILINE)
    assert commands
    assert set(commands) <= targets


def test_the_package_index_shows_the_readme():
    """There only whole addresses lead anywhere; those into the repository lead to its files."""
    addresses = re.findall(r"\]\((.*?)\)", read("README.md"))
    files = [re.sub(ON_THE_WEB, "", address) for address in addresses]
    assert all(address.startswith("https://") for address in addresses)
    assert [name for name in files if "://" not in name and not (ROOT / name).is_file()] == []


def test_links_of_contributing_lead_to_files():
    links = re.findall(r"\]\((?!https://)(.*?)\)", read("CONTRIBUTING.md"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
