"""Debian's Chromium, steered by selenium."""

import json
import os
import shutil

import pytest

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def found(*names):
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        message = f"none of {names} is installed; apt-get install chromium chromium-driver"
        # Where there is nobody to read that a test was skipped, it must not be.
        (pytest.fail if "CI" in os.environ else pytest.skip)(message)
    return path


def start(profile):
    """Return a browser."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found("chromium", "chromium-browser", "google-chrome")
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=found("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def opened(browser, path):
    """Open a file; what pages before said is forgotten."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(path.as_uri())
    return browser


def schemes_requested(page):
    """Where from the pages have loaded what they needed."""
    events = (json.loads(entry["message"])["message"] for entry in page.get_log("performance"))
    return {
        event["params"]["request"]["url"].partition(":")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
        and event["params"]["documentURL"].startswith("file:")
    }
