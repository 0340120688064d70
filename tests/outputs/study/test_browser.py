"""The study page in real Chromium, by clicks and keys: make test-browser."""

import json

import numpy as np
import pytest

from scripts.simulation.phantom.dataset import write_label
from scripts.simulation.phantom.dicom import write_phantom_dicom
from tests.outputs.dicom.drawn import mammogram_file
from tests.outputs.study.made import POINTS, add_failure, add_marks, add_result, four_views, written
from tests.outputs.study.made_follow_up import add_follow_up

pytestmark = pytest.mark.browser
ESCAPE, ENTER, TAB, RIGHT, DOWN = "\ue00c", "\ue007", "\ue004", "\ue014", "\ue015"


@pytest.fixture
def opened(browser, phantom_study):
    """The phantom's page; reports by place of the view."""
    page, study, reports = phantom_study
    browser.open(page)
    return browser, [reports[image["image_id"]] for image in study["images"]]


@pytest.fixture
def small(browser, tmp_path):
    """Open the page of hand-drawn results that `make(output, files)` adds."""

    def show(make, **options):
        make(tmp_path / "out", four_views(tmp_path / "in"))
        written(tmp_path / "out", **options)
        (page,) = (tmp_path / "out").glob("studies/*/study.html")
        browser.open(page)
        return browser

    return show


def count(report, score=0.0, kinds=None):
    return sum(
        mark["score"] >= score and (kinds is None or mark["kind"] in kinds) for mark in report["microcalcifications"]
    )


def test_four_full_size_views_open_in_a_second_and_a_half(browser, phantom_study):
    page, study, _ = phantom_study
    assert [(image["rows"], image["cols"]) for image in study["images"]] == [(3328, 2560)] * 4
    times = [browser.open(page) for _ in range(5)]
    print(f"opened in {times} ms, {page.stat().st_size / 1e6:.1f} MB")
    assert min(times[:3]) <= 1500
    assert browser.run("return performance.getEntriesByType('resource').length") == 0


def test_views_hang_with_the_chest_walls_in_the_middle(opened):
    browser, _ = opened
    places = [(pane.rect["x"] > 400, pane.rect["y"] > 300) for pane in browser.all(".pane")]
    assert places == [(False, False), (True, False), (False, True), (True, True)]
    captions = [caption.text.split(":")[0] for caption in browser.all(".pane figcaption")]
    assert captions == ["1 · R CC", "2 · L CC", "3 · R MLO", "4 · L MLO"]
    assert len({browser.view(number)["scale"] for number in range(4)}) == 1
    for number in range(4):  # tissue touches the inner edge of its view, and not the outer one
        assert _bright_at(browser, number, inner=True) and not _bright_at(browser, number, inner=False)


def _bright_at(browser, number, inner):
    script = """
        const pane = document.querySelectorAll('.pane')[arguments[0]], canvas = pane.querySelector('canvas');
        const right = pane.classList.contains('right') === arguments[1];
        const column = right ? canvas.width - 3 : 2;
        const data = canvas.getContext('2d').getImageData(column, 0, 1, canvas.height).data;
        let bright = 0;
        for (let place = 0; place < data.length; place += 4) bright += data[place] > 30;
        return bright / canvas.height"""
    return browser.run(script, number, inner) > 0.15


def test_marks_and_kinds_go_on_and_off(opened):
    browser, reports = opened
    marks = [count(report) for report in reports]
    assert [browser.view(number)["marks"] for number in range(4)] == marks and sum(marks) > 100
    browser.click("#overlay")
    assert [browser.view(number)["marks"] for number in range(4)] == [0] * 4
    browser.press("o")
    assert [browser.view(number)["marks"] for number in range(4)] == marks
    boxes = {box.get_attribute("data-kind"): box for box in browser.all("#kinds input")}
    assert set(boxes) == {mark["kind"] for report in reports for mark in report["microcalcifications"]}
    for box in list(boxes)[:1]:
        boxes[box].click()
        browser.settled()
        rest = set(boxes) - {box}
        assert [browser.view(number)["marks"] for number in range(4)] == [count(one, kinds=rest) for one in reports]


def test_the_score_slider_and_the_presets(opened):
    browser, reports = opened
    names = [button.text.split()[0] for button in browser.all("#presets button")]
    assert names == ["sensitive", "balanced", "specific"] and len(browser.all("#score-track i")) == 3
    for name in ("balanced", "specific"):
        score = POINTS[name]["threshold"]
        browser.click(f"#presets button[data-score='{score}']")
        assert [browser.view(number)["marks"] for number in range(4)] == [count(one, score) for one in reports]
        counted = [mark for one in reports for mark in one["microcalcifications"] if mark["counted"]]
        shown = sum(mark["score"] >= score for mark in counted)
        assert browser.find("#shown").text.startswith(f"{shown} of {len(counted)} MCs")
    slider = browser.find("#score")
    slider.send_keys(RIGHT)
    browser.settled()
    assert browser.find("#score-shown").text == "0.801"
    browser.find(".pane").click()
    browser.press("[", "[")
    assert browser.find("#score-shown").text == "0.781"
    assert browser.view(0)["marks"] == count(reports[0], 0.781)


def test_a_preset_below_the_run_s_own_cannot_be_chosen(small):
    browser = small(lambda output, files: add_result(output, files["RCC"], score_threshold=0.5))
    enabled = {button.text.split()[0]: button.is_enabled() for button in browser.all("#presets button")}
    assert enabled == {"sensitive": False, "balanced": True, "specific": True}


@pytest.mark.parametrize("way", ["click", "key"])
def test_a_row_of_the_table_shows_its_cluster(opened, phantom_study, way):
    browser, _ = opened
    study = phantom_study[1]
    row = browser.all("#clusters tbody tr")[-1]
    told = study["clusters"][-1]
    number = [image["image_id"] for image in study["images"]].index(told["image_id"])
    before = browser.view(number)
    browser.run("arguments[0].scrollIntoView()", row)
    if way == "click":
        row.click()
    else:
        row.send_keys(ENTER)
    browser.settled()
    after = browser.view(number)
    assert after["scale"] > 2 * before["scale"] and row.get_attribute("aria-selected") == "true"
    assert after["u"] == pytest.approx((told["col"] + 0.5) * 0.07, abs=0.01)
    assert after["v"] == pytest.approx((told["row"] + 0.5) * 0.07, abs=0.01)
    assert browser.find("#details h2").text.endswith(f"cluster {told['id']}")
    features = browser.all("#details details:first-of-type tbody tr")
    assert len(features) == 24
    browser.press("n")
    first = browser.all("#clusters tbody tr")[0]
    assert first.get_attribute("aria-selected") == "true"  # after the last comes the first


def test_zoom_and_move_by_wheel_drag_and_keys(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    browser, _ = opened
    pane, start = browser.find(".pane"), browser.view(0)
    ActionChains(browser.driver).scroll_from_origin(ScrollOrigin.from_element(pane, 60, 30), 0, -400).perform()
    browser.settled()
    zoomed = browser.view(0)
    assert zoomed["scale"] == pytest.approx(start["scale"] * np.e, rel=0.01)
    still = (start["u"] + 60 / start["scale"], zoomed["u"] + 60 / zoomed["scale"])
    assert still[0] == pytest.approx(still[1], abs=0.5)  # what is under the pointer stays there
    ActionChains(browser.driver).drag_and_drop_by_offset(pane, 80, -40).perform()
    browser.settled()
    moved = browser.view(0)
    assert moved["u"] == pytest.approx(zoomed["u"] - 80 / zoomed["scale"], abs=0.05)
    assert moved["v"] == pytest.approx(zoomed["v"] + 40 / zoomed["scale"], abs=0.05)
    browser.press("2", "+", "+", RIGHT, DOWN)
    second = browser.view(1)
    assert second["scale"] == pytest.approx(start["scale"] * 1.25**2, rel=0.01)
    assert browser.view(0) == moved
    browser.press("0")
    assert browser.view(0) == start


def test_tiles_of_full_size_come_with_zoom(opened):
    browser, _ = opened
    browser.press("n", "0", "1", "n", *"+" * 8)  # the first cluster of the first view
    colours = "const c = document.querySelector('.pane canvas'); const d = c.getContext('2d')"
    colours += ".getImageData(0, 0, c.width, c.height).data; return new Set(d).size"
    browser.wait(lambda: browser.run(colours) > 40)
    assert browser.view(0)["scale"] * 0.07 > 1.5


def test_one_view_alone_and_back(opened):
    from selenium.webdriver.common.action_chains import ActionChains

    browser, _ = opened
    shown = lambda: [pane.is_displayed() for pane in browser.all(".pane")]  # noqa: E731
    small = browser.view(2)["scale"]
    ActionChains(browser.driver).double_click(browser.all(".pane")[2]).perform()
    browser.settled()
    assert shown() == [False, False, True, False] and browser.view(2)["scale"] > 1.5 * small
    browser.press(ESCAPE)
    assert shown() == [True] * 4
    browser.press("4", ENTER)
    assert shown() == [False, False, False, True]
    browser.press("2")  # another view takes its place
    assert shown() == [False, True, False, False]
    browser.press(ENTER)
    assert shown() == [True] * 4


def test_window_and_inversion(opened):
    browser, _ = opened
    look = "return document.querySelector('.pane canvas').style.filter"
    start = browser.run(look)
    assert start == "brightness(1) contrast(1)"
    browser.press("t", "t", "b", "i")
    level, width, inverted = browser.run("return document.documentElement.dataset.window").split(",")
    assert (float(level), inverted) == (119.5, "true") and float(width) == pytest.approx(255 / 1.15**2)
    assert browser.run(look).endswith("invert(1)") and browser.find("#invert").is_selected()
    browser.press("0", "n", "a")
    looks = browser.run("return [...document.querySelectorAll('.pane canvas:first-child')].map((c) => c.style.filter)")
    contrast = float(looks[0].partition("contrast(")[2][:-1])
    assert contrast > 1.2 and looks[1:] == [start] * 3  # a cluster's place has a part of the grey values
    browser.press("0")
    assert browser.run(look) == start and not browser.find("#invert").is_selected()


def test_keys_alone_suffice(opened):
    browser, _ = opened
    browser.press("?")
    assert browser.find("#help").is_displayed() and "next, previous cluster" in browser.find("#help").text
    browser.press(ESCAPE)
    assert not browser.find("#help").is_displayed()
    reached = set()
    for _ in range(60):
        browser.press(TAB)
        active = "const e = document.activeElement; const s = getComputedStyle(e);"
        name, style, wide = browser.run(
            active + "return [e.id || e.className || e.tagName, s.outlineStyle, s.outlineWidth]"
        )
        if name == "BODY":
            continue
        assert style not in ("none", "") and float(wide[:-2]) >= 2, name
        reached.add(name)
    assert {"help-button", "pane right", "pane left", "overlay", "level", "score"} <= reached


def test_a_click_on_a_mark_tells_of_it(opened):
    from selenium.webdriver.common.action_chains import ActionChains

    browser, reports = opened
    mark = next(one for one in reports[1]["microcalcifications"] if one["kind"] == "individual MC")
    pane, view = browser.all(".pane")[1], browser.view(1)
    right, down = (
        (mark[key] + 0.5) * 0.07 * view["scale"] - view[axis] * view["scale"]
        for key, axis in (("col", "u"), ("row", "v"))
    )
    ActionChains(browser.driver).move_to_element_with_offset(pane, round(right), round(down)).click().perform()
    browser.settled()
    title = browser.find("#details h2").text
    assert title.startswith("L CC: mark ")
    chosen = reports[1]["microcalcifications"][int(title.split()[-1]) - 1]
    assert np.hypot(chosen["row"] - mark["row"], chosen["col"] - mark["col"]) * 0.07 * view["scale"] < 12


def test_a_failed_view_is_shown_as_failed(small):
    def make(output, files):
        for name in ("RCC", "LCC", "RMLO"):
            add_result(output, files[name], marks={}, clusters=False)
        add_failure(output, files["LMLO"])

    browser = small(make)
    message = browser.all(".pane")[3].find_element("css selector", ".message")
    assert message.is_displayed() and message.text.startswith("FAILED: reading: ValueError: got rubbish")
    assert [pane.text.split("\n")[0] for pane in browser.all(".pane")][2:] == [
        "3 · R MLO: 0 MCs, 0 clusters",
        "4 · L MLO: FAILED",
    ]
    assert browser.find("#outcome").text.startswith("INCOMPLETE not all done")
    assert "nothing is known of 1 of 4" in browser.find("#no-clusters").text
    assert browser.find("#shown").text.endswith("1 of 4 images not done")
    assert browser.find(".warning").is_displayed()


def test_a_mirrored_file_is_mirrored_for_display_with_its_marks(browser, tmp_path):
    pixels, label = np.zeros((660, 528), np.uint16), np.zeros((660, 528), np.uint8)
    rng = np.random.default_rng(0)
    pixels[40:620, :320] = 1500 + 1200 * rng.random((580, 320))
    label[320:324, 80:84] = 1
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "R.dcm"
    write_phantom_dicom(file, pixels, spacing_mm=0.07, laterality="R", view="CC", seed=1)
    write_label(tmp_path / "label.png", label)
    add_marks(tmp_path / "out", str(file), str(tmp_path / "label.png"), "R", rng)
    written(tmp_path / "out")
    browser.open(next(tmp_path.glob("out/studies/*/study.html")))
    assert browser.find("figcaption").text.endswith("mirrored for display")
    script = """
        const canvas = document.querySelectorAll('.pane canvas')[arguments[0]];
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let sum = 0, moment = 0;
        for (let place = 0; place < data.length; place += 4) {
          const light = data[place] * data[place + 3] / 255 > arguments[1];
          if (light && Math.floor(place / 4 / canvas.width) < canvas.height - 40) {
            sum += 1; moment += (place / 4) % canvas.width;
          }
        }
        return moment / sum / canvas.width"""
    view = browser.view(0)
    wide = browser.find(".pane").rect["width"]
    tissue, marks = browser.run(script, 0, 60), browser.run(script, 1, 150)
    assert tissue == pytest.approx(0.5 + ((528 - 160) * 0.07 - view["u"]) * view["scale"] / wide, abs=0.02)
    assert marks == pytest.approx(0.5 + ((528 - 82) * 0.07 - view["u"]) * view["scale"] / wide, abs=0.02)


def test_side_by_side_with_the_prior_exam(small, tmp_path):
    def make(output, files):
        current = add_result(output, files["RCC"])
        add_result(output, files["LCC"])
        before = mammogram_file(tmp_path, "R", "CC", seed=9)
        add_follow_up(tmp_path / "follow_up", before, add_result(tmp_path / "prior", before), current)

    browser = small(make, follow_ups=tmp_path / "follow_up")
    assert "1 unchanged" in browser.find("#follow-up").text and "5 new" in browser.find("#follow-up").text
    for act in (lambda: browser.click("#follow-up button"), lambda: browser.press("1", "c")):
        act()
        shown = [pane for pane in browser.all(".pane") if pane.is_displayed()]
        assert [pane.get_attribute("data-view") for pane in shown] == ["p0", "v0"]
        assert [int(pane.get_attribute("data-marks")) for pane in shown] == [2, 6]
        assert shown[0].rect["x"] < shown[1].rect["x"]
        browser.press(ESCAPE)
        assert [pane.get_attribute("data-view") for pane in browser.all(".pane") if pane.is_displayed()] == ["v0", "v1"]


def test_hostile_texts_do_nothing(browser, tmp_path):
    hostile = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'&\n"
    output, files = tmp_path / "out", four_views(tmp_path / "in")
    report = add_result(output, files["RCC"])
    report["name"] = report["identity"]["patient_id"] = report["clusters"][0]["distribution_reason"] = hostile
    report["clusters"][0]["distribution"] = report["microcalcifications"][0]["kind_reason"] = hostile
    report["identity"]["laterality"] = report["identity"]["view"] = hostile
    (output / "RCC1" / "findings.json").write_text(json.dumps(report))
    add_failure(output, files["LCC"], reason=hostile)
    written(output, outputs=["study", "page"])
    browser.open(next(output.glob("studies/*/study.html")))
    browser.click("#clusters tbody tr")
    assert "owned" not in browser.driver.title.split(":")[-1] and browser.driver.title.startswith("Study")
    assert not browser.all("img") and hostile.strip().split("\n")[0] in browser.find("#details").text
    assert browser.run("return document.scripts.length") == len(browser.all("script"))
