import pytest


@pytest.fixture(autouse=True)
def _no_windows():
    """Draw in memory, and leave no figure open."""
    pytest.importorskip("matplotlib").use("agg")
    yield
    pytest.importorskip("matplotlib.pyplot").close("all")
