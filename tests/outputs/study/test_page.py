"""The study page as a file: what it holds, and that no text in it can become code. Its behaviour: test_browser.py."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image as Picture

from scripts.outputs.study.page import embedded
from scripts.outputs.study.pictures import Pictures, breast_box, chest_wall_side, is_mirrored, pyramid
from tests.outputs.study.made import add_failure, add_result, four_views, written

HOSTILE = "</script><script>alert(1)</script>\"'&\u2028<!--\n<img src=x onerror=alert(2)>"
VOID = {"meta", "input", "br", "img", "link"}


class Page(HTMLParser):
    """Elements by tag, and whether they nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append({"tag": tag, "text": "", **dict(attributes)})
        if tag not in VOID:
            self.open.append((tag, self.elements[-1]))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.open[-1][1]["text"] += data

    def all(self, tag, **attributes):
        wanted = {"tag": tag, **attributes}.items()
        return [element for element in self.elements if wanted <= element.items()]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def files(tmp_path):
    return four_views(tmp_path / "in")


def only_page(output, **options):
    written(output, **options)
    (path,) = output.glob("studies/*/study.html")
    return path.read_text(encoding="utf-8")


def test_embedded_data_are_those_of_findings_json(output, files):
    for name in ("RCC", "LCC", "RMLO"):
        add_result(output, files[name], kinds=True)
    add_failure(output, files["LMLO"])
    page = Page(only_page(output))
    data = json.loads(page.all("script", id="data")[0]["text"])
    (folder,) = output.glob("studies/*/study.json")
    assert data["study"] == json.loads(folder.read_text())
    for name in ("RCC", "LCC", "RMLO"):
        image_id = files[name].stem
        assert data["reports"][image_id] == json.loads((output / image_id / "findings.json").read_text())
    assert data["reports"]["LMLO1"] is None
    assert [view["image_id"] for view in data["views"]] == ["RCC1", "LCC1", "RMLO1", "LMLO1"]
    failed = data["views"][3]
    assert failed["failed"] and failed["told"] == "FAILED" and "got rubbish" in failed["message"]
    assert set(data["views"][0]["outlines"]) == {str(number) for number in range(1, 8)}


def test_nothing_is_loaded_and_only_the_page_s_own_script_may_run(output, files):
    add_result(output, files["RCC"])
    text = only_page(output)
    page = Page(text)
    assert not re.search(r"https?://|//[a-z]+\.[a-z]|@import|url\(", text)
    assert not page.all("link") and not page.all("img") and not any("src" in element for element in page.elements)
    assert not any(name.startswith("on") or name == "style" for element in page.elements for name in element)
    (policy,) = (meta["content"] for meta in page.all("meta", **{"http-equiv": "Content-Security-Policy"}))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    for tag in ("script", "style"):
        run = [element["text"] for element in page.all(tag) if "type" not in element]
        digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in run]
        assert rules[f"{tag}-src"] == " ".join(f"'sha256-{digest}'" for digest in digests) and len(run) == 1


def test_hostile_texts_stay_texts(output, files):
    report = add_result(output, files["RCC"])
    report["name"] = report["identity"]["patient_id"] = report["clusters"][0]["distribution_reason"] = HOSTILE
    report["identity"]["view"] = HOSTILE
    (output / "RCC1" / "findings.json").write_text(json.dumps(report))
    files["LCC"].unlink()
    add_failure(output, files["LCC"], reason=HOSTILE)
    page = Page(only_page(output, outputs=["study", "page"]))
    assert {element.get("type") for element in page.all("script")} == {"application/json", "text/plain", None}
    assert len([element for element in page.all("script") if "type" not in element]) == 1
    assert not page.all("img") and "alert(1)" in page.all("h1")[0]["text"]
    data = json.loads(page.all("script", id="data")[0]["text"])
    assert data["reports"]["RCC1"]["name"] == HOSTILE == data["study"]["patient_id"]


def test_embedded_json_ends_nothing_and_is_the_same():
    text = embedded({"a": HOSTILE, "b": [1.5, None, "ü"]})
    assert json.loads(text) == {"a": HOSTILE, "b": [1.5, None, "ü"]}
    assert text.isascii() and not set("<>&\n") & set(text)
    with pytest.raises(ValueError):
        embedded(float("nan"))


def test_without_script_the_page_says_what_failed(output, files):
    add_result(output, files["RCC"], marks={}, clusters=False)
    add_failure(output, files["LCC"])
    page = Page(only_page(output))
    (outcome,) = page.all("p", id="outcome")
    assert outcome["class"] == "some" and "not all done, nothing found in what was" in outcome["text"]
    (warning,) = page.all("p", **{"class": "warning"})[:1]
    assert "got rubbish" in warning["text"] and "Nothing is known" in warning["text"]
    assert [cell["text"] for cell in page.all("td") if cell.get("class")] == ["nothing found", "failed"]
    assert "Research use only" in page.all("b")[-1]["text"] and page.all("noscript")


def test_tiles_make_up_the_image():
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.random((15, 11)), np.ones((20, 20)))
    image = np.pad(smooth, ((0, 0), (0, 420)))  # the right half is black
    levels = pyramid(image, 0.9, Pictures(tile_px=128, quality=95))["levels"]
    assert [(level["rows"], level["cols"]) for level in levels] == [(300, 640), (150, 320), (75, 160), (38, 80)]
    assert set(levels[0]["tiles"]) == {f"{row},{col}" for row in range(3) for col in range(2)}  # no black ones
    whole = np.zeros((384, 640))
    for place, text in levels[0]["tiles"].items():
        row, col = (128 * int(part) for part in place.split(","))
        tile = np.asarray(Picture.open(io.BytesIO(base64.b64decode(text))))
        whole[row : row + tile.shape[0], col : col + tile.shape[1]] = tile
    wanted = np.clip(image / 0.9, 0, 1) * 255
    assert np.abs(whole[:300] - wanted).mean() < 1.0
    small = pyramid(image, 0.9, Pictures(tile_px=128, full_size=False))["levels"]
    assert [len(level["tiles"]) for level in small] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("side", "mirrored"), [("L", {"left": False, "right": True}), ("R", {"left": True, "right": False})]
)
def test_the_chest_wall_lies_where_it_hangs(side, mirrored):
    breast = np.zeros((50, 40), bool)
    breast[10:40, :25] = True
    assert chest_wall_side(breast) == "left" and chest_wall_side(breast[:, ::-1]) == "right"
    assert is_mirrored(side, breast) == mirrored["left"] and is_mirrored(side, breast[:, ::-1]) == mirrored["right"]
    assert not is_mirrored("", breast) and not is_mirrored(side, np.zeros((50, 40), bool))


def test_the_box_of_the_breast_has_a_rim_and_ends_at_the_image():
    breast = np.zeros((100, 80), bool)
    breast[40:60, :30] = True
    assert breast_box(breast, (0.1, 0.3)) == (10, 0, 90, 40)
    assert breast_box(np.zeros((100, 80), bool), (0.1, 0.1)) == (0, 0, 100, 80)


@pytest.mark.parametrize("wrong", [{"tile_px": 10}, {"quality": 101}, {"full_size": 1}])
def test_pictures_check_themselves(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: got"):
        Pictures(**wrong)
