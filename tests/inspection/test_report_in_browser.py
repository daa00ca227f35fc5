"""The report in a real browser: Debian's Chromium, steered by selenium."""

import pytest
from browser import opened, schemes_requested

from skamort.inspection import ComparisonDisplay, ComparisonReport
from skamort.inspection._table import Table

ROWS = {
    "b <script>document.title = 'run'</script>": {"fvu": 0.5, "speed": 9.0, "kind": "iterative"},
    "a": {"fvu": 0.25, "speed": 1000.0, "kind": "hybrid"},
    "10 layers": {"fvu": 1e-5, "speed": float("nan"), "kind": "amortized"},
    "9 layers": {"fvu": 0.75, "speed": 80.0, "kind": "amortized"},
}
B, A, TEN, NINE = ROWS


@pytest.fixture
def page(browser, tmp_path):
    path = tmp_path / "report.html"
    figures = {"a figure": ComparisonDisplay(Table({A: {"fvu": 0.1}})).plot()}
    ComparisonReport(Table(ROWS), title="Encoders", figures=figures).save(path)
    return opened(browser, path)


def header(page, column):
    (cell,) = (
        cell for cell in page.find_elements("css selector", "thead th") if cell.text == column
    )
    return cell


def click(page, column):
    header(page, column).find_element("css selector", "button").click()


def order(page):
    return [cell.text for cell in page.find_elements("css selector", "tbody th")]


def sorting(page):
    cells = page.find_elements("css selector", "thead th")
    return [cell.get_attribute("aria-sort") for cell in cells]


def test_a_click_sorts_numbers_and_another_reverses(page):
    assert order(page) == [B, A, TEN, NINE]
    assert sorting(page) == [None] * 4
    click(page, "fvu")
    assert order(page) == [TEN, A, B, NINE]
    assert sorting(page) == [None, "ascending", None, None]
    click(page, "fvu")
    assert order(page) == [NINE, B, A, TEN]
    assert sorting(page) == [None, "descending", None, None]


def test_what_is_missing_stays_at_the_end(page):
    click(page, "speed")
    assert order(page) == [B, NINE, A, TEN]
    click(page, "speed")
    assert order(page) == [A, NINE, B, TEN]


def test_texts_sort_by_keyboard(page):
    button = header(page, "encoder").find_element("css selector", "button")
    button.send_keys("\ue007")  # Enter
    assert order(page) == [NINE, TEN, A, B]
    assert sorting(page) == ["ascending", None, None, None]
    button.send_keys(" ")
    assert order(page) == [B, A, TEN, NINE]


def test_equal_cells_keep_their_order(page):
    click(page, "fvu")
    click(page, "kind")
    assert order(page) == [TEN, NINE, A, B]


def test_no_errors_no_requests_no_foreign_script(page):
    click(page, "fvu")
    assert page.get_log("browser") == []
    assert page.title == "Encoders"
    image = page.find_element("css selector", "img")
    assert page.execute_script("return arguments[0].naturalWidth", image) > 100
    assert schemes_requested(page) == {"file", "data"}


def test_a_script_that_slips_in_is_not_run(page, tmp_path):
    """The policy lets the report's own script run, and no other."""
    path = tmp_path / "slipped.html"
    own = (tmp_path / "report.html").read_text(encoding="utf-8")
    path.write_text(own.replace("<main>", "<main><script>document.title = 'run'</script>"))
    page.get(path.as_uri())
    assert page.title == "Encoders"
    click(page, "fvu")
    assert order(page) == [TEN, A, B, NINE]
