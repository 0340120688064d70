"""Chromium, headless, and the studies that it is shown."""

from __future__ import annotations

import json
import shutil
import time

import numpy as np
import pytest

SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
SWITCHES += ("--disable-background-networking", "--disable-component-update", "--disable-sync")


class Browser:
    """A page in Chromium."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path):
        """Open a page; gives the ms from the navigation to the moment at which all views are drawn."""
        self.driver.get(path.as_uri())
        return int(self.wait(lambda: self.run("return document.documentElement.dataset.readyMs")))

    def wait(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.03)
        return value

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def settled(self):
        """Wait until the page has drawn what it was told."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        )

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def click(self, selector):
        self.find(selector).click()
        self.settled()

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()
        self.settled()

    def view(self, number):
        """What a view says of itself."""
        told = self.run("return {...document.querySelectorAll('.pane')[arguments[0]].dataset}", number)
        return {name: float(told[name]) for name in ("scale", "u", "v", "marks") if name in told}


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Chromium of 1440 x 900 px; skipped where it or selenium is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(programs):
        pytest.skip("no chromium and chromedriver: make test-browser installs them")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    profile = tmp_path_factory.mktemp("profile")
    for switch in (*SWITCHES, f"--user-data-dir={profile}", "--window-size=1440,900"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    """A browser whose page, at the end, has complained of nothing."""
    yield Browser(chromium)
    told = [entry["message"] for entry in chromium.get_log("browser")]
    assert [message for message in told if "willReadFrequently" not in message] == []  # that is about what tests do


@pytest.fixture(scope="session")
def phantom_study(tmp_path_factory):
    """The page of four full-size views of a phantom, its marks the phantom's own with drawn scores; reports by view."""
    from scripts.simulation.phantom import phantom_datalist
    from tests.outputs.study.made import add_marks, written

    folder = tmp_path_factory.mktemp("study")
    options = {"seed": 7, "empty_fraction": 0.0, "progress": False, "workers": 2, "four_views": True}
    items = phantom_datalist(folder / "in", 0, 0, 4, **options)["testing"]
    rng = np.random.default_rng(0)
    for item in items:
        add_marks(folder / "out", item["image"], item["label"], item["image_id"], rng)
    (study,) = written(folder / "out").values()
    reports = {
        image["image_id"]: json.loads((folder / "out" / image["image_id"] / "findings.json").read_text())
        for image in study["images"]
    }
    return next(folder.glob("out/studies/*/study.html")), study, reports
