import pytest


@pytest.fixture(autouse=True)
def _no_windows():
    """Draw in memory, and leave no figure open."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    yield
    matplotlib.pyplot.close("all")
