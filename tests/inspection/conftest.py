import pytest
from browser import start


@pytest.fixture(autouse=True)
def _no_windows():
    """Draw in memory, and leave no figure open."""
    pytest.importorskip("matplotlib").use("agg")
    yield
    pytest.importorskip("matplotlib.pyplot").close("all")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()
