"""The report on two hand-made evaluations: numbers, signs, the page itself, what is refused."""

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from scripts.common.tables import write_csv
from scripts.evaluation import sections as parts
from scripts.evaluation.__main__ import main
from scripts.evaluation.cases import number_objects
from scripts.evaluation.compare import difference_tables, p_text
from scripts.evaluation.crops import CropWriter, read_crop, read_crops
from scripts.evaluation.evaluate import Evaluation
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.measures import Contrast, Neighbourhood
from scripts.evaluation.pixel_curves import PixelCurvesHandler
from scripts.evaluation.report import build
from scripts.evaluation.report.build import write_report
from scripts.evaluation.report.figures import PER_IMAGE, froc_figure, label_size_figure
from scripts.evaluation.report.pictures import choose_cases
from scripts.evaluation.report.runs import load_runs
from scripts.evaluation.report.tables import NONE, Cell, failure_tables, metric_tables, strata_tables, value
from scripts.evaluation.sections.clusters import FoundClusters
from scripts.evaluation.statistics import Bootstrap
from scripts.findings.clusters import SingleLinkageClusters

SIDE, SPACING = 80, 0.5  # 16 cm^2 each
A, B, FAR, EDGE = (20, 20), (30, 30), (60, 10), (70, 70)
NOTE = "MCs are drawn by hand <for tests> & simulated."


def squares(shape, places, values):
    array = np.zeros(shape, np.int32)
    for (row, col), number in zip(places, values, strict=True):
        array[row : row + 3, col : col + 3] = number
    return array


def evaluated(folder, method, marks, images=6, note="", **options):
    """A finished evaluation: every image has MCs at A and B; `marks(i)` gives {place: score} of the method."""
    crops, measures = CropWriter(folder, 20.0), [Contrast(gap_mm=0.5), Neighbourhood()]
    handler = FROCHandler(cell_mm=5.0, measures=measures, image_keys=["density"], crops=crops)
    pixels = PixelCurvesHandler()
    rng = np.random.default_rng(0)
    for i in range(images):
        found = marks(i)
        shape = (SIDE, SIDE)
        label = torch.from_numpy(squares(shape, [A, B], [1, 1]).astype(np.uint8))[None]
        instances = squares(shape, list(found), range(1, len(found) + 1))
        scores = np.array([0.0, *found.values()])
        image = MetaTensor(
            torch.from_numpy(rng.random((1, *shape), np.float32)), meta={"spacing_mm": (SPACING, SPACING)}
        )
        item = {"label": label, "breast": np.ones((1, *shape), bool), "instances": instances[None], "scores": scores}
        item |= {"image": image, "map": scores[instances][None].astype(np.float32)}
        batch = {"image_id": f"image {i}", "density": "dense" if i % 2 else "fatty"}
        handler.cases.append(handler.score(batch, item))
        pixels.add(item)
    return Evaluation(
        folder,
        handler,
        [
            *(parts.FrocSection(), parts.OperatingPointSection(), parts.IouSection(), parts.AgreementSection()),
            *(
                parts.ClusterSection(FoundClusters(SingleLinkageClusters(40.0, 2), 1)),
                parts.CalibrationSection(pixels=pixels),
            ),
            *(parts.PixelSection(pixels), parts.FailureClassesSection(), parts.SizeSection((1.0, 3.0))),
            parts.StrataSection({"diameter_mm": [1.0, 3.0], "contrast_to_noise": [1.0]}),
        ],
        bootstrap=Bootstrap(options.pop("bootstrap_samples", 40), seed=options.pop("seed", 0)),
        settings={"method": method, "dataset_dir": "data/hand", "section": "testing", "data_note": note},
        **({"operating_threshold": 0.5} | options),
    ).write()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """`good` hits both MCs (B in all images but the last); `bad` hits A alone, below a false mark of high score."""
    root = tmp_path_factory.mktemp("evaluations")
    evaluated(
        root / "good", "good | method", lambda i: {A: 0.9, FAR: 0.1} | ({B: 0.8 - i / 100} if i < 5 else {}), note=NOTE
    )
    evaluated(root / "bad", "bad", lambda i: {A: 0.6, FAR: 0.95, EDGE: 0.7 - i / 100})
    return root / "good", root / "bad"


@pytest.fixture(scope="module")
def report(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scripts.evaluation.report.style.DPI", 60)  # quick
        write_report(folders, output, not_run=["third: its weights are missing"])
    return output


def cells_of(tables, key):
    table = next(table for table in tables if table.key == key)
    return {row[0].text: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}


def test_tables_say_what_metrics_json_says(folders):
    runs = load_runs(folders)
    tables = metric_tables(runs)
    detection, operating = cells_of(tables, "detection"), cells_of(tables, "operating")
    segmentation, pixels = cells_of(tables, "segmentation"), cells_of(tables, "pixels")
    for folder, name in zip(folders, ("good | method", "bad"), strict=True):
        metrics = json.loads((folder / "metrics.json").read_text())
        pauc = metrics["froc"]["pauc"]
        assert detection[name]["pAUC, 0 to 1 FP/cm²"] == (
            f"{pauc['value']:.3f}",
            f"{pauc['low']:.3f} to {pauc['high']:.3f}",
            "",
        )
        for rate in ("0.1", "0.2", "0.4", "1.0"):
            entry = metrics["froc"]["tpr_at_fp_per_cm2"][rate]
            assert detection[name][f"TPR at {float(rate):g} FP/cm²"].text == f"{entry['value']:.3f}"
        assert operating[name]["FP per image"].text == f"{metrics['operating_point']['fp_per_image']['value']:.1f}"
        assert segmentation[name]["IoU per object"].text == f"{metrics['iou']['per_object']['value']:.3f}"
        assert pixels[name]["pixel ROC AUC"].text == f"{metrics['pixels']['roc_auc']['value']:.4f}"
    # by hand: 11 of 12 MCs found, nothing false at 0.5; 6 of 12 found, 2 false in each image of 16 cm^2
    assert detection["good | method"]["TPR at 0.1 FP/cm²"].text == "0.917"
    assert operating["good | method"]["TP / FP"].text == "11 / 0" and operating["bad"]["TP / FP"].text == "6 / 12"
    assert operating["bad"]["FP per cm²"].text == f"{12 / 96:.3f}" and operating["bad"]["chosen"].text == "beforehand"
    assert segmentation["bad"]["IoU per object"].text == "0.500"
    assert cells_of(tables, "clusters")["bad"]["found at 2 false clusters/image"].text == "1.000"
    strata = cells_of(strata_tables(runs), "strata-density")
    assert strata["dense"]["MCs / images"].text == "6 / 3" and strata["dense"]["bad"].text == "0.50"
    assert strata["dense"]["bad"].remark == "0.12 FP/cm²"
    failures = cells_of(failure_tables(runs), "failures")
    runs[1].metrics["failure_classes"]["classes"]["all"]["share_merged"]["value"] = 0.25
    pieces = cells_of(failure_tables(runs), "pieces")
    assert pieces["all"]["good | method"] == Cell("in pieces 0.00", remark="merged 0.00")
    assert pieces["all"]["bad"] == Cell("in pieces 0.00", remark="merged 0.25")
    assert (failures["all"]["MCs"].text, failures["all"]["bad"].text) == ("12", "0.50")
    assert failures["all"]["bad"].remark == "IoU 0.50\ncovered 0.50"
    runs[1].metrics.pop("failure_classes")  # an older evaluation
    assert cells_of(failure_tables(runs), "failures")["all"]["bad"].text == NONE
    assert cells_of(failure_tables(runs), "pieces")["all"]["bad"].text == NONE
    runs[0].metrics.pop("failure_classes")
    assert failure_tables(runs) == []


def test_differences_are_the_reference_minus_the_others(folders):
    tables, found = difference_tables(load_runs(folders))
    differences, tests = cells_of(tables, "differences")["bad"], cells_of(tables, "wilcoxon")["bad"]
    good, bad = (json.loads((folder / "metrics.json").read_text())["froc"]["pauc"]["value"] for folder in folders)
    assert differences["pAUC"].text == f"{good - bad:+.3f}" and good - bad > 0.4
    assert differences["pAUC"].remark == "p < 0.05"  # 40 samples, all above 0
    assert found[0]["differences"]["pauc"]["value"] == pytest.approx(good - bad)
    assert tests["FP per cm² of an image"].text == "−0.125" and tests["TPR of an image"].text == "+0.500"
    assert tests["TPR of an image"].remark == "p 0.062, n = 5"  # 2 / 2^5
    # B: 5 of 12 objects differ, by 1; A is found by both
    assert tests["IoU of an annotated MC"] == ("0.000", "", "p 0.062, n = 5")
    back, _ = difference_tables(load_runs(folders[::-1]))
    assert cells_of(back, "differences")["good | method"]["pAUC"].text == f"−{good - bad:.3f}"
    assert difference_tables(load_runs(folders[:1])) == ([], [])


def test_numbers_as_text():
    assert value(None) == value({"value": None}) == (NONE, "", "")
    assert value({"value": 0.12345, "low": None, "high": None}).interval == ""
    assert [p_text(p) for p in (None, 0.0, 0.00001, 0.031, 0.5, 1.0)] == [
        NONE,
        "< 0.0001",
        "< 0.0001",
        "0.031",
        "0.50",
        "1.00",
    ]


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
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(tmp_path / item["image"])
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


def test_threshold_that_is_the_methods_own_output_is_named(folders):
    runs = load_runs(folders)
    runs[1].metrics["operating_point"] |= {"threshold": 0.0, "chosen_by": "the method's own output"}
    own = cells_of(metric_tables(runs), "operating")["bad"]
    assert (own["threshold"].text, own["chosen"].text) == ("0", "its own output")


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


def test_notes_of_tables_come_from_the_evaluation_that_has_the_numbers(folders, tmp_path, monkeypatch):
    """The first evaluation is of a former version and knows no kinds of failures."""
    monkeypatch.setattr(build, "draw_figures", lambda *arguments: {})
    monkeypatch.setattr(build, "draw_cases", lambda *arguments: [])
    runs = load_runs(folders)
    runs[0].metrics.pop("failure_classes")
    monkeypatch.setattr(build, "load_runs", lambda *arguments: runs)
    write_report(folders, tmp_path / "one")
    assert "Close: less than 6 px to the next MC. Dense: at least 10 others" in (tmp_path / "one/tables.md").read_text()
    page = (tmp_path / "one/report.html").read_text()
    assert "Close: less than 6 px" in page and "mean share of an MC&#39;s pixels" in page
    assert "good | method minus the other (above 0: good | method is better)" in page
    runs[1].metrics.pop("failure_classes")
    write_report(folders, tmp_path / "none")
    assert "Close: less" not in (tmp_path / "none/tables.md").read_text()


def test_texts_from_outside_are_escaped_in_the_page_and_plain_in_markdown(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "draw_figures", lambda *arguments: {})
    monkeypatch.setattr(build, "draw_cases", lambda *arguments: [])
    write_report(folders, tmp_path, note="a < b", names=["<b>one</b>", "two"], not_run=["<i>x</i>"])
    page = (tmp_path / "report.html").read_text()
    assert "<i>x" not in page and "<b>one" not in page and "&lt;b&gt;one&lt;/b&gt;" in page
    assert "a < b" in (tmp_path / "tables.md").read_text()
    assert "<b>one</b> minus the other" in (tmp_path / "tables.md").read_text()
    assert "&lt;b&gt;one&lt;/b&gt; minus the other" in page
