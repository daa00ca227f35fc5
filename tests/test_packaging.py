"""What is shipped and what is declared: the source distribution, dependencies, `make`, citation."""

import ast
import configparser
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import skamort

ROOT = Path(__file__).parents[1]
# What a user of a release installs, but for "gpu", whose Triton comes with torch; the other extras
# are for who works on skamort.
USER_EXTRAS = ["fast", "plot", "frame"]
BUILD = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(*extras):
    """The requirements of the package and of these extras, by canonical name."""
    config = configparser.ConfigParser()
    config.read_string(read("setup.cfg"))
    texts = [config["options"]["install_requires"]]
    texts += [config["options.extras_require"][extra] for extra in extras]
    found = [Requirement(line) for text in texts for line in text.split("\n") if line]
    return {canonicalize_name(r.name): r for r in found if r.name != "skamort"}


def source_files():
    """Files that stand in the repository, or are about to."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a checkout knows which files belong to it")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    lines = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in lines.splitlines() if (ROOT / name).is_file()}


def test_source_distribution_is_the_repository(tmp_path):
    """All but the hidden files, which only the repository's own machines and editors read."""
    expected = {name for name in source_files() if not name.startswith(".")}
    for name in expected:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    build = [sys.executable, "-c", BUILD, "dist"]
    result = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr

    (archive,) = (tmp_path / "dist").iterdir()
    with tarfile.open(archive) as tar:
        names = {member.name.partition("/")[2] for member in tar if member.isfile()}
    generated = {name for name in names if name.startswith(("PKG-INFO", "skamort.egg-info/"))}
    assert names - generated == expected


def imported_roots(path):
    """First names of what a file imports from outside."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_every_import_is_declared():
    """What comes with another dependency today need not come with it tomorrow."""
    roots = {root for path in (ROOT / "skamort").rglob("*.py") for root in imported_roots(path)}
    roots -= {*sys.stdlib_module_names, "skamort"}
    distributions = importlib.metadata.packages_distributions()
    imported = {canonicalize_name(distributions.get(root, [root])[0]) for root in roots}
    assert imported - set(requirements(*USER_EXTRAS, "gpu")) == set()


@pytest.mark.parametrize("name", sorted(requirements(*USER_EXTRAS)))
def test_oldest_version_is_the_one_tested(name):
    constraints = read("constraints-oldest.txt") + read("constraints-oldest-torch.txt")
    pins = map(Requirement, re.findall(r"^\w.*", constraints, flags=re.MULTILINE))
    (pin,) = (pin for pin in pins if canonicalize_name(pin.name) == name)
    (pinned,), (declared,) = pin.specifier, requirements(*USER_EXTRAS)[name].specifier
    assert (pinned.operator, declared.operator) == ("==", ">=")
    assert Version(pinned.version) == Version(declared.version)


def test_make_help_lists_every_command():
    makefile = read("Makefile")
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, flags=re.MULTILINE))
    steps = {target for target in targets if target.startswith("run-")}
    listed = set(re.findall(r'@echo " *make ([a-z-]+) ', makefile))
    assert listed == targets - steps - {"browser", "help"}


def test_citation_names_the_version():
    assert f"\nversion: {skamort.__version__}\n" in read("CITATION.cff")
