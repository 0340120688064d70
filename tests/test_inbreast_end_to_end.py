"""INbreast files in, metrics out, through the shipped configs; every figure counted by hand.

Five images of bright Gaussian spots on a flat breast, so that HDoG finds the spots and nothing else. An annotation
sits on a spot (found), nowhere (missed), or a spot has none (false positive, unless in a region of unlabelled MCs).
"""

import csv
import json

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

from tests.data.inbreast_factory import contour, oval, point, write_dicom, write_xml

ROWS, COLS, BREAST_COLS = 420, 360, 300
CM2_PER_PX = 0.07**2 / 100
RADIUS = 4.2
#: image id -> spots (row, col), annotated one by one or not
SPOTS = {
    1: [(80, 80), (80, 140), (140, 80), (200, 200), (300, 100), (350, 200)],
    2: [(100, 100), (220, 140), (220, 170), (330, 220)],
    3: [(150, 120), (150, 150), (180, 135), (330, 100)],
    4: [(100, 150), (300, 80)],
    5: [(210, 150)],
}
OVAL_PX = np.pi * 40 * 30


def circle(row, col, radius=RADIUS, count=8):
    """Control points of a contour, in the viewer's (x, y) from the corner of the first pixel."""
    angles = np.arange(count) * 2 * np.pi / count
    return list(zip(col + 0.5 + radius * np.cos(angles), row + 0.5 + radius * np.sin(angles), strict=True))


def dot(row, col):
    return point(col + 0.5, row + 0.5)


def region(row, col):
    return oval(col + 0.5, row + 0.5, 40, 30)


FINDINGS = {
    # three contours and two points, four of the five on spots; the cluster around them holds labelled MCs: no trace
    1: [contour(circle(80, 80)), contour(circle(80, 140)), contour(circle(250, 60))]
    + [dot(140, 80), dot(200, 200), oval(120, 120, 110, 110)],
    # one point on a spot; a cluster whose MCs (two spots) are not labelled
    2: [dot(100, 101), region(220, 155)],
    # only a cluster of unlabelled MCs, three spots
    3: [region(160, 135)],
    # 4 has no file: no finding; 5 has a mass and no MC, its spot is the mass's own
    5: [contour(circle(210, 150, 30), name="Mass")],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("INbreast")
    rows, cols = np.mgrid[:ROWS, :COLS]
    for number, spots in SPOTS.items():
        image = np.where(cols < BREAST_COLS, 0.4, 0.0)
        for row, col in spots:
            image += 0.3 * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * 2.2**2))
        name = f"{20586900 + number}_{'abcde'[number - 1] * 16}_MG_L_{'CC' if number % 2 else 'ML'}_ANON.dcm"
        pixels = np.round(image * 65535).astype(np.uint16)
        write_dicom(folder / "AllDICOMs" / name, pixels, ImagerPixelSpacing=[0.07, 0.07], ImageLaterality="L")
    for number, rois in FINDINGS.items():
        write_xml(folder / "AllXML" / f"{20586900 + number}.xml", rois)
    return folder


def evaluate(root, dataset, out, monkeypatch, *method, **overrides):
    """`run evaluating` with the shipped configs; all five patients are tested."""
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    names = ["inference.json", *method, "evaluate.json", "data_inbreast.json"]
    values = {"dataset_dir": str(dataset), "output_dir": str(out), "bootstrap::samples": 30, "progress": False}
    values |= {"source::validation_fraction": 0.0, "source::test_fraction": 1.0}
    values |= {"source::annotations": ["full", "clusters_only", "none"]}
    files = [str(root / "configs" / name) for name in names]
    workflow = ConfigWorkflow(files, workflow_type="infer", run_id="evaluating", **(values | overrides))
    workflow.initialize()
    workflow.run()
    return json.loads((out / "metrics.json").read_text(), parse_constant=pytest.fail)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


FILES = {"metrics.json", "froc.csv", "cases.csv", "objects.csv", "cluster_froc.csv", "reliability.csv", "strata.csv"}
FILES |= {"sizes.csv", "froc.png", "froc_table.npz", "run_report.json"}


def test_every_figure_is_the_one_counted_by_hand(root, dataset, tmp_path, monkeypatch):
    metrics = evaluate(root, dataset, tmp_path, monkeypatch, "baseline_hdog_alone.json", operating_threshold=0.0)
    assert {path.name for path in tmp_path.iterdir()} >= FILES
    counts = metrics["counts"]
    assert (counts["images"], counts["images_failed"], counts["patients"], counts["images_without_mc"]) == (5, 0, 5, 3)
    assert (counts["annotated"], counts["annotated_single_px"]) == (6, 3)  # points are counted, and apart
    assert (counts["scored_objects"], counts["ignored_objects"]) == (17, 5)  # spots in regions 2 and 3: 2 + 3

    breast_px = 5 * ROWS * BREAST_COLS - 2 * OVAL_PX  # what is ignored is no place for a false positive
    assert counts["breast_cm2"] == pytest.approx(breast_px * CM2_PER_PX, rel=0.02)
    point_ = metrics["operating_point"]
    assert (point_["tp"], point_["fp"]) == (5, 7)
    assert point_["tpr"]["value"] == pytest.approx(5 / 6)
    assert point_["tpr_single_px"]["value"] == 1 and point_["tpr_larger"]["value"] == pytest.approx(2 / 3)
    assert point_["fp_per_image"]["value"] == pytest.approx(7 / 5)  # images without a finding among them
    assert point_["fp_per_cm2"]["value"] == pytest.approx(7 / counts["breast_cm2"])
    large = metrics["froc"]["tpr_large"]
    assert large["annotated"] == 3 and large["tpr_at_fp_per_image"]["10.0"]["value"] == pytest.approx(2 / 3)

    found = {
        row["case_id"]: [int(row[k]) for k in ("annotated", "annotated_single_px", "predicted", "ignored", "tp", "fp")]
        for row in table(tmp_path / "cases.csv")
    }
    assert found == {
        "20586901": [5, 2, 6, 0, 4, 2],
        "20586902": [1, 1, 2, 2, 1, 1],
        "20586903": [0, 0, 1, 3, 0, 1],
        "20586904": [0, 0, 2, 0, 0, 2],
        "20586905": [0, 0, 1, 0, 0, 1],
    }
    objects = table(tmp_path / "objects.csv")
    annotated = [row for row in objects if row["kind"] == "annotated"]
    sizes = sorted(int(row["area_px"]) for row in annotated)
    assert sizes[:3] == [1, 1, 1]
    assert sizes[3:] == [circle_pixels()] * 3  # filled, not outlined
    contour_row = next(row for row in annotated if float(row["row"]) == 80 and float(row["col"]) == 80)
    assert contour_row["outcome"] == "hit" and 0.3 < float(contour_row["best_iou"]) <= 1
    outcomes = [row["outcome"] for row in objects if row["kind"] == "predicted"]
    assert {name: outcomes.count(name) for name in set(outcomes)} == {
        "true positive": 5,
        "false positive": 7,
        "ignored": 5,
    }
    missed = [row for row in annotated if row["outcome"] == "missed"]
    assert [(float(row["row"]), float(row["col"])) for row in missed] == [(250, 60)]
    assert metrics["iou"]["per_object"]["n"] == 3  # points have no IoU
    strata = {(row["by"], row["stratum"]): row for row in metrics["strata"]}
    assert strata["diameter_mm", "single pixel"]["annotated"] == 3
    assert strata["diameter_mm", "0.5 to 0.7"]["annotated"] == 3  # 8 px of 0.07 mm
    assert len(table(tmp_path / "froc.csv")) > 1 and len(table(tmp_path / "reliability.csv")) >= 15
    report = json.loads((tmp_path / "run_report.json").read_text())
    assert report["images_done"] == 5 and report["exit_status"] == 0


def circle_pixels():
    """Pixel centres within the circle, counted one by one."""
    side = int(RADIUS) + 2
    return sum(r * r + c * c <= RADIUS**2 for r in range(-side, side + 1) for c in range(-side, side + 1))


def test_the_default_keeps_images_with_labelled_mcs_only(root, dataset, tmp_path, monkeypatch):
    more = {"source::annotations": ["full"], "operating_threshold": 0.0}
    metrics = evaluate(root, dataset, tmp_path, monkeypatch, "baseline_hdog_alone.json", **more)
    assert metrics["counts"]["images"] == 2 and metrics["counts"]["annotated"] == 6
    assert (metrics["operating_point"]["tp"], metrics["operating_point"]["fp"]) == (5, 3)


def test_the_shipped_network_is_evaluated_on_the_same_files(root, dataset, tmp_path, monkeypatch):
    metrics = evaluate(root, dataset, tmp_path, monkeypatch, device="cpu")
    counts, cases = metrics["counts"], table(tmp_path / "cases.csv")
    assert FILES | {"pixel_curve.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert (counts["images"], counts["annotated"], counts["annotated_single_px"]) == (5, 6, 3)
    assert metrics["provenance"]["weights"]["sha256"]
    assert metrics["operating_point"]["chosen_by"] == "given"  # the preset that came with the weights
    assert metrics["operating_point"]["tp"] >= 3  # bright spots of 0.3 of the grey range
    assert sum(int(row["fp"]) for row in cases) == metrics["operating_point"]["fp"]
    ignored = {row["case_id"]: int(row["ignored"]) for row in cases}
    assert ignored["20586901"] == ignored["20586904"] == ignored["20586905"] == 0
    assert ignored["20586903"] >= 1  # what lies in the unlabelled cluster is no false positive
