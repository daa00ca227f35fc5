"""The report of features in a real browser."""

import numpy as np
import pytest
from browser import opened, schemes_requested
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from sklearn.preprocessing import FunctionTransformer

from skamort.hooks import Activations
from skamort.inspection import FeatureReport, SafeHTML, TokenContexts, _feature_report

RUN = "document.title = 'run'"
BAD = f'</script><script>{RUN}</script><img src=x onerror="{RUN}">'
TOKENS = [["<s>", "red", " car", BAD, "\n"], ["<s>", "blue", " car", " goes", " on"]]
PLACES = {"text": np.repeat([0, 1], 4), "position": np.tile(np.arange(1, 5), 2)}
# Latent 0 is of "car", 1 of the first token, 2 never active, 3 of either sign, 4 of one row.
CODES = np.array(
    [
        [0, 2, 0, 0, 0],
        [4, 0, 0, 1, 0],
        [1, 0, 0, 0, 3],
        [0, 0, 0, -2, 0],
        [0, 1, 0, 0, 0],
        [3, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ],
    dtype=float,
)


def report(**options):
    show = TokenContexts(TOKENS, Activations(CODES, **PLACES), window=2)
    like = {"show": show, "title": "Some features", "random_state": 0} | options
    return FeatureReport(FunctionTransformer(), CODES, **like)


@pytest.fixture
def page(browser, tmp_path):
    path = tmp_path / "features.html"
    explained = {0: f"cars {BAD}", 1: "the first word"}
    report(explanations=explained, scores={0: 0.75}, labels=[BAD, "b"] * 4).save(path)
    return wait_for(opened(browser, path), 0)


def wait_for(page, latent):
    heading = f"Latent {latent}"
    WebDriverWait(page, 5).until(lambda p: texts(p, "#detail h2") == [heading])
    return page


def texts(page, selector):
    """All at once: what is read one by one may be gone before."""
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.trim())"
    return page.execute_script(script, selector)


def listed(page):
    return texts(page, "#list tbody a")


def press(page, *keys):
    ActionChains(page).send_keys(*keys).perform()


def test_the_strongest_latent_is_in_full(page):
    assert "cars" in texts(page, ".explanation")[0]
    assert texts(page, ".examples .code") == ["4", "3", "1"]
    (first, *_) = page.find_elements(By.CSS_SELECTOR, ".examples .text")
    spans = first.find_elements(By.CSS_SELECTOR, "span")
    assert [span.text.strip() for span in spans] == ["<s>", "red", "car", BAD, "↵"]
    share = "return arguments[0].style.getPropertyValue('--share')"
    assert [page.execute_script(share, span) for span in spans] == ["", "", "70%", "27%", ""]
    assert "peak" in spans[2].get_attribute("class")


def test_keys_go_through_the_latents_that_are_listed(page):
    press(page, Keys.ARROW_DOWN)
    wait_for(page, 1)
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    wait_for(page, 3)
    assert page.find_elements(By.CSS_SELECTOR, ".cold")
    press(page, "/", "word")
    assert listed(page) == ["1"]
    press(page, Keys.ARROW_UP)
    wait_for(page, 1)
    press(page, Keys.ESCAPE, Keys.ARROW_UP)
    wait_for(page, 1)


def test_a_header_sorts_and_what_is_missing_stays_at_the_end(page):
    def click(name):
        page.find_element(By.CSS_SELECTOR, f"#list th.{name} button").click()

    click("frequency")
    assert listed(page) == ["2", "4", "1", "3", "0"]
    click("frequency")
    assert listed(page) == ["0", "1", "3", "4", "2"]
    click("score")
    assert listed(page)[0] == "0"


def test_menus_filter(page):
    def choose(menu, value):
        page.find_element(By.CSS_SELECTOR, f"#{menu} option[value='{value}']").click()

    choose("frequency", "never")
    assert listed(page) == ["2"]
    choose("frequency", "alive")
    assert listed(page) == ["0", "1", "3", "4"]
    choose("class", "b")
    assert listed(page) == ["0", "3"]
    assert texts(page, "#count") == ["2 of 5 latents"]


def test_of_many_latents_those_in_sight_are_in_the_page(browser, tmp_path):
    path = tmp_path / "features.html"
    FeatureReport(FunctionTransformer(), np.eye(400), n_bins=0).save(path)
    page = wait_for(opened(browser, path), 0)
    page.execute_script("location.hash = '398'")
    wait_for(page, 398)
    WebDriverWait(page, 5).until(lambda p: "399" in listed(p))
    assert len(listed(page)) < 100
    inside = (
        "const [list, row] = ['#list', '[aria-current]'].map((s) => document.querySelector(s)"
        ".getBoundingClientRect()); return list.top < row.top && row.bottom <= list.bottom"
    )
    assert page.execute_script(inside)
    press(page, "/", "399", Keys.ARROW_DOWN)
    assert listed(page) == ["399"]
    wait_for(page, 399)


def test_nothing_is_run_that_is_not_the_report_s_own(page):
    wait_for(page, 0)
    assert page.get_log("browser") == []
    assert page.title == "Some features"
    assert schemes_requested(page) <= {"file", "data"}
    assert not page.find_elements(By.CSS_SELECTOR, "img[src=x]")


def test_html_that_is_vouched_for_is_shown_but_not_run(browser, tmp_path):
    path = tmp_path / "features.html"
    report(show=lambda row: SafeHTML(f"<b>{row}</b>{BAD}")).save(path)
    page = wait_for(opened(browser, path), 0)
    assert texts(page, ".examples b") == ["1", "5", "2"]
    assert page.title == "Some features"


def test_images_are_drawn_and_links_lead_to_neighbours(browser, tmp_path):
    path = tmp_path / "features.html"
    report(show=lambda row: np.arange(12).reshape(3, 4) + row).save(path)
    page = wait_for(opened(browser, path), 0)
    image = page.find_element(By.CSS_SELECTOR, ".examples img")
    sizes = page.execute_script(
        "const i = arguments[0]; return [i.naturalWidth, i.naturalHeight, i.width, i.height]", image
    )
    assert sizes == [4, 3, 72, 54]
    assert len(page.find_elements(By.CSS_SELECTOR, "#list tbody img")) == 4  # one is never active
    page.find_element(By.CSS_SELECTOR, ".facts a").click()
    wait_for(page, 4)


def test_many_latents_lie_in_a_folder_that_is_read_as_needed(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(_feature_report, "_MOST_IN_A_PAGE", 4)
    monkeypatch.setattr(_feature_report, "_CHUNK", 2)
    path = tmp_path / "a #1 %20.html"
    report().save(path)
    folder = tmp_path / "a #1 %20.html_files"
    *_, last = sorted(folder.iterdir())
    assert last.name.endswith("-2.js")
    page = wait_for(opened(browser, path), 0)
    press(page, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    wait_for(page, 3)
    assert page.get_log("browser") == []
    last.unlink()
    press(page, Keys.ARROW_DOWN)
    WebDriverWait(page, 5).until(lambda p: texts(p, "#detail [role=alert]"))
    assert f"{folder.name}/{last.name} is not there" in texts(page, "#detail")[0]
