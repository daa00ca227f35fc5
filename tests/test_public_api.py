"""What the package promises as a whole: its public names, its arrows, its manners on import."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import skamort

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "skamort").rglob("*.py"))
ROOMS = sorted(p.name for p in (ROOT / "skamort").iterdir() if (p / "__init__.py").exists())

# Which room may import which; itself and the private modules beside the rooms always.
# Estimators score themselves with the metrics, which in turn know no estimator.
ARROWS = {
    "skamort": {
        "datasets",
        "estimators",
        "hooks",
        "inspection",
        "interop",
        "metrics",
        "modules",
        "solvers",
        "training",
    },
    "estimators": {"training", "modules", "solvers", "metrics"},
    "training": {"modules"},
    "modules": set(),
    "solvers": set(),
    "metrics": {"solvers"},
    "datasets": set(),
    "hooks": set(),
    "inspection": {"metrics", "solvers"},
    "interop": {"estimators", "modules"},
}


def relative(path):
    return str(path.relative_to(ROOT))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in SOURCES}
# Rooms within rooms too.
PACKAGES = [module_name(path) for path in SOURCES if path.name == "__init__.py"]


def room_of(module):
    """The room of `skamort.room.module`; None for a private module beside the rooms."""
    parts = module.split(".")
    if parts == ["skamort"]:
        return "skamort"
    return None if parts[1].startswith("_") else parts[1]


def is_private(name):
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def imported_names(path):
    """Modules and names that a file imports, with dots, wherever in it the import stands."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path.parent)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package) if node.level else base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imported_modules(path):
    """Every skamort module a file imports."""
    for name in imported_names(path):
        if name.partition(".")[0] == "skamort":
            # `from skamort import metrics` names a room, `from skamort import TopKSAE` does not.
            base, _, last = name.rpartition(".")
            yield name if name in MODULES or is_private(last) else base


def test_rooms_are_the_ones_with_arrows():
    assert {"skamort", *ROOMS} == set(ARROWS)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_follow_the_arrows(path):
    room = room_of(module_name(path))
    allowed = {None, room} | ARROWS.get(room, set())
    against = {name for name in imported_modules(path) if room_of(name) not in allowed}
    assert not against, f"{relative(path)} imports {sorted(against)} against the arrows"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_rooms_import_only_what_another_hands_out(path):
    own = {None, room_of(module_name(path))}
    private = {n for n in imported_modules(path) if room_of(n) not in own and is_private(n)}
    assert not private, f"{relative(path)} imports {sorted(private)}, private to another room"


def test_private_names_of_scikit_learn_stand_in_one_file():
    private = {
        relative(path)
        for path in SOURCES
        for name in imported_names(path)
        if name.partition(".")[0] == "sklearn" and is_private(name)
    }
    assert private == {"skamort/_compat.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names(package):
    """`__all__` (whose order ruff keeps) resolves, and nothing public is missing from it."""
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(module.__all__) - {"__version__"}


def test_modules_are_private():
    """Users import from packages; a module's name is free to change."""
    modules = pkgutil.walk_packages(skamort.__path__, "skamort.")
    public = {info.name for info in modules if not info.name.rpartition(".")[2].startswith("_")}
    assert public == set(PACKAGES) - {"skamort"}


def is_docstring(node):
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)


def code_lines(path):
    """Numbers of the lines that are not docstring, comment or blank; and the parsed file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    docstrings = [node for node in ast.walk(tree) if is_docstring(node)]
    prose = {i for node in docstrings for i in range(node.lineno, node.end_lineno + 1)}
    lines = {i: line.strip() for i, line in enumerate(text.splitlines(), 1)}
    return {i for i, line in lines.items() if line and line[0] != "#"} - prose, tree


@pytest.mark.parametrize("folder", ["skamort", "tests", "examples", "benchmarks"])
def test_no_file_is_two_rooms(folder):
    sizes = {relative(path): len(code_lines(path)[0]) for path in (ROOT / folder).rglob("*.py")}
    assert {path: size for path, size in sizes.items() if size > 350} == {}


def body_lengths(path):
    """Lines of code in the body of each function."""
    code, tree = code_lines(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield len(code & set(range(node.body[0].lineno, node.end_lineno + 1)))


def test_functions_are_short():
    lengths = [length for path in SOURCES for length in body_lengths(path)]
    assert np.median(lengths) <= 5
    assert np.percentile(lengths, 95) <= 20


def test_import_has_manners():
    """Importing every package warns of nothing, needs no optional dependency, changes no state; one
    import gives all rooms. Nor does a fit import what torch compiles with, most of a second."""
    script = f"""
        import importlib, os, random, sys

        for optional in ("matplotlib", "pandas", "numba", "triton"):
            sys.modules[optional] = None  # importing it raises ImportError

        import numpy, scipy.linalg, sklearn, torch
        from threadpoolctl import threadpool_info

        def state():
            return {{
                "python": random.getstate(),
                "numpy": [str(part) for part in numpy.random.get_state()],
                "torch": torch.get_rng_state().tolist(),
                "dtype": torch.get_default_dtype(),
                "deterministic": torch.are_deterministic_algorithms_enabled(),
                "grad": torch.is_grad_enabled(),
                "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
                "pools": {{pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}},
                "environment": dict(os.environ),
            }}

        before = state()
        import skamort
        assert set({ROOMS!r}) < set(dir(skamort))
        for package in {PACKAGES!r}:
            importlib.import_module(package)
        after = state()
        after["pools"] = {{path: after["pools"][path] for path in before["pools"]}}
        changed = [name for name in before if before[name] != after[name]]
        assert not changed, changed

        del sys.modules["pandas"]  # None confuses scikit-learn 1.6
        X = numpy.eye(8, dtype=numpy.float32)
        for encoder in skamort.SAEEncoder(4, tol=1e9), skamort.TopKSAE(4, k=1, tol=1e9):
            state = encoder.fit(X).net_.optimizer_.state_dict()
            encoder.net_.optimizer_.load_state_dict(state)
        slow = {{"torch._dynamo", "torch.utils.flop_counter", "sympy"}}
        assert not slow & sys.modules.keys()
    """
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
