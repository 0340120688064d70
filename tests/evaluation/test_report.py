"""The report on two hand-made evaluations: numbers, signs, the page itself, what is refused."""

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from scripts.common.tables import write_csv
from scripts.evaluation.__main__ import main
from scripts.evaluation.cases import number_objects
from scripts.evaluation.crops import CropWriter, read_crop, read_crops
from scripts.evaluation.report import build
from scripts.evaluation.report.build import write_report
from scripts.evaluation.report.figures import PER_IMAGE, froc_figure, label_size_figure
from scripts.evaluation.report.pictures import choose_cases
from scripts.evaluation.report.runs import load_runs
from tests.evaluation.hand_made import NOTE, SIDE, SPACING, A, B, evaluated


@pytest.fixture(scope="module")
def report(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scripts.evaluation.report.style.DPI", 60)  # quick
        write_report(folders, output, not_run=["third: its weights are missing"])
    return output


class Page(HTMLParser):
    """What a browser would load, and the structure."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_stands_alone(report):
    text = (report / "report.html").read_text()
    page = Page(text)
    assert not page.open, "tags left open"
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    assert "@import" not in text and "url(" not in text
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(list((report / "figures").glob("*.png"))) == 11
    assert all(image["src"].startswith("data:image/png;base64,") and len(image["alt"]) > 10 for image in images)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert len(links) > 10 and all(link.startswith("#") and link[1:] in ids for link in links)
    assert sum(tag == "figcaption" for tag, _ in page.tags) == len(images)


def test_the_page_says_what_a_reader_needs(folders, report):
    shown = " ".join(" ".join(Page((report / "report.html").read_text()).text).split())
    assert NOTE in shown  # recorded by the evaluation, escaped in the page
    assert "6 images of 6 patients" in shown and "third: its weights are missing" in shown
    metrics = json.loads((folders[0] / "metrics.json").read_text())
    assert metrics["provenance"]["date"] in shown and str(metrics["provenance"]["commit"]) in shown
    assert "40 samples of images, seed 0" in shown and "{" not in shown.split("@media")[-1].split("MC")[-1]
    assert re.search(r"Worst : image 5, mean IoU per object 0.500", shown)  # all others are 1
    text = (report / "tables.md").read_text()
    assert NOTE in text and "good \\| method" in text
    rows = [line for line in text.splitlines() if line.startswith("| bad |")]
    assert rows and "third" in text
    assert json.loads((report / "comparisons.json").read_text())[0]["images"] == 6


def test_figures_show_something(report):
    for path in (report / "figures").glob("*.png"):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.shape[1] > 300 and pixels.std() > 5, path.name


def test_a_note_given_replaces_the_recorded_one_and_none_is_said(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "draw_figures", lambda *arguments: {})
    monkeypatch.setattr(build, "draw_cases", lambda *arguments: [])
    write_report(folders[1:], tmp_path)
    assert "No statement about the data was given" in (tmp_path / "report.html").read_text()
    write_report(folders[::-1], tmp_path)
    assert f"**Data.** {NOTE}" in (tmp_path / "tables.md").read_text(), "the second one's"
    write_report(folders[:1], tmp_path, note="given", names=["mine"], title="A title")
    text = (tmp_path / "report.html").read_text()
    assert "given" in text and NOTE[:10] not in text and "<title>A title</title>" in text and ">mine<" in text


def test_cases_are_best_median_and_worst_and_none_twice(folders):
    run = load_runs(folders)[0]
    with (folders[0] / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, iou in zip(rows, (0.1, 0.9, 0.5, 0.3, 0.5, 0.7), strict=True):
        row |= {"iou_objects": "2", "iou_sum": str(2 * iou)}
    run.__dict__["cases"] = rows
    known = read_crops(folders[0])
    assert [(c.kind, c.case_id[-1]) for c in choose_cases(run, known)] == [
        ("best", "1"),
        ("median", "2"),
        ("worst", "0"),
    ]
    two = choose_cases(run, known, 2)
    assert [c.case_id[-1] for c in two] == ["1", "5", "2", "4", "0", "3"] and two[0].value == pytest.approx(0.9)
    assert len(choose_cases(run, known, 5)) == 6
    known.pop("image 1")
    assert choose_cases(run, known)[0].case_id == "image 5"
    assert choose_cases(run, {}) == []


def test_crops_hold_the_window_of_most_mcs(folders):
    files = [read_crops(folder) for folder in folders]
    assert sorted(files[0]) == [f"image {i}" for i in range(6)]
    good, bad = (read_crop(file["image 2"]) for file in files)
    assert good.corner == bad.corner and good.image.shape == (40, 40) and good.spacing_mm == (SPACING, SPACING)
    assert np.array_equal(good.image, bad.image) and np.array_equal(good.annotated, bad.annotated)
    row, col = good.corner
    assert good.annotated[A[0] - row, A[1] - col] == 1 and good.annotated[B[0] - row, B[1] - col] == 2
    assert good.found[B[0] - row + 1, B[1] - col] == 2  # label order: A, B, FAR
    assert dict(zip(good.numbers.tolist(), good.scores.tolist(), strict=True))[2] == pytest.approx(0.78)
    assert not good.uncounted.any() and not good.ignored.any()


def test_crops_of_a_former_run_go_and_images_without_mcs_have_none(make_case, tmp_path):
    writer, image = CropWriter(tmp_path, 1.0), np.zeros((60, 60), np.float32)
    label, none = np.zeros((60, 60), np.uint8), np.zeros((60, 60), np.int32)

    def arrays():
        return number_objects(label, none, np.zeros(1), label < 3, (0.07, 0.07), image)

    assert writer.write(make_case(), arrays()) is None
    label[10:12, 10:12] = 1
    path = writer.write(make_case([(10, 10, 2, 2)], case_id="x"), arrays())
    assert path.name == "00002.npz" and list(read_crops(tmp_path)) == ["x"]
    (tmp_path / "crops" / "mine.npz").write_bytes(b"")
    writer.clear()
    assert [file.name for file in (tmp_path / "crops").iterdir()] == ["mine.npz"]
    assert CropWriter(tmp_path, 0).write(make_case([(10, 10, 2, 2)]), arrays()) is None
    with pytest.raises(ValueError, match="side_mm"):
        CropWriter(tmp_path, -1)


def test_what_cannot_be_compared_is_refused(folders, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"got no metrics\.json"):
        load_runs([folders[0], tmp_path / "gone"])
    with pytest.raises(ValueError, match="names: got 1; want 2"):
        load_runs(folders, ["one"])
    with pytest.raises(ValueError, match="names: got one twice"):
        load_runs(folders, ["one", "one"])
    with pytest.raises(ValueError, match="folders"):
        load_runs([])
    evaluated(tmp_path / "fewer", "fewer", lambda i: {A: 0.9}, images=5)
    with pytest.raises(ValueError, match=r"other images or annotations.*image 5"):
        load_runs([folders[0], tmp_path / "fewer"])
    evaluated(tmp_path / "seed", "seed", lambda i: {A: 0.9}, seed=7)
    with pytest.raises(ValueError, match="bootstrap"):
        load_runs([folders[0], tmp_path / "seed"])
    assert main(["report", str(folders[0]), str(tmp_path / "gone"), "--output", str(tmp_path / "r")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "gone" in last and not (tmp_path / "r").exists()


def test_methods_of_one_name_are_told_apart_by_their_folders(folders):
    names = [run.name for run in load_runs([folders[0], folders[0].parent / "." / "good", folders[1]], ["a", "b", "c"])]
    assert names == ["a", "b", "c"]
    with pytest.raises(ValueError, match="twice"):
        load_runs([folders[0], folders[0]])


def test_failures_are_drawn_from_an_evaluation_and_its_data_list(folders, tmp_path, capsys):
    items = [{"image": f"{i}.png", "label": "", "image_id": f"image {i}"} for i in range(6)]
    (tmp_path / "list.json").write_text(json.dumps({"testing": items}))
    for item in items:
        Image.fromarray(np.eye(SIDE, dtype=np.uint8)).save(tmp_path / item["image"])
    words = ["--datalist", str(tmp_path / "list.json"), "--spacing-mm", str(SPACING), "--side-mm", "10"]
    words = ["failures", str(folders[0]), *words, "--output"]
    assert main([*words, str(tmp_path / "failures.png")]) == 0
    with Image.open(tmp_path / "failures.png") as picture:
        assert picture.size[0] > 1000
    (tmp_path / "list.json").write_text(json.dumps({"testing": items[:1]}))
    assert main([*words, str(tmp_path / "none.png")]) == 2
    assert "want the list that was evaluated" in capsys.readouterr().err and not (tmp_path / "none.png").exists()


def test_the_curve_per_mammogram_is_drawn_by_false_positives_per_image(folders):
    runs = load_runs(folders)
    left, right = froc_figure(runs, PER_IMAGE).axes
    assert left.get_xlim() == (0, 10) and right.get_xscale() == "log" and "per mammogram" in left.get_xlabel()
    (bad,) = [line for line in left.lines if line.get_label() == "bad"]
    # by hand: at 0.95 FAR in each image; then EDGE in one image after the other, and A at 0.6
    points = list(zip(bad.get_xdata()[:-1].tolist(), bad.get_ydata()[:-1].tolist(), strict=True))
    assert (1.0, 0.0) in points and points[-1][0] == 2.0 and points[-1][1] == 0.5


def test_label_sizes_are_drawn_where_an_evaluation_has_them(folders, tmp_path):
    assert label_size_figure(load_runs(folders)) is None
    evaluated(tmp_path / "sizes", "sizes", lambda i: {A: 0.9}, images=1)
    columns = ("low_px", "high_px", "training", "testing")
    bins = ((1, 2, 5, 0), (2, 11, 3, 2), (11, 100, 1, 0), (100, None, 2, 4))
    rows = [dict(zip(columns, each, strict=True)) for each in bins]
    write_csv(tmp_path / "sizes" / "label_sizes.csv", columns, rows)
    training, testing = label_size_figure(load_runs([tmp_path / "sizes"])).axes
    assert [label.get_text() for label in training.get_xticklabels()] == ["1", "2–10", "11–99", "≥ 100"]
    assert [bar.get_height() for bar in testing.patches] == [0, 2, 0, 4]
    assert training.get_title(loc="left") == "training: 11 MCs"


def test_texts_from_outside_are_escaped_in_the_page_and_plain_in_markdown(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "draw_figures", lambda *arguments: {})
    monkeypatch.setattr(build, "draw_cases", lambda *arguments: [])
    write_report(folders, tmp_path, note="a < b", names=["<b>one</b>", "two"], not_run=["<i>x</i>"])
    page = (tmp_path / "report.html").read_text()
    assert "<i>x" not in page and "<b>one" not in page and "&lt;b&gt;one&lt;/b&gt;" in page
    assert "a < b" in (tmp_path / "tables.md").read_text()
    assert "<b>one</b> minus the other" in (tmp_path / "tables.md").read_text()
    assert "&lt;b&gt;one&lt;/b&gt; minus the other" in page
