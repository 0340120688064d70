"""Regions of interest: figures by hand, every form, every mistake."""

import json

import numpy as np
import pytest
from PIL import Image

from scripts.findings.follow_up.change import Intervals, statistics
from scripts.findings.follow_up.compare import REGIONS_ONLY, Comparison, in_region, part_figures
from scripts.findings.follow_up.regions import read_region
from scripts.outputs.follow_up_report import build_region_report, statistics_table
from tests.findings.follow_up.factory import exam

SHAPE, SPACING = (100, 80), (0.1, 0.2)  # 10 mm x 16 mm
BOX = {"top": 10, "left": 20, "bottom": 30, "right": 40}


def test_the_papers_table_by_hand():
    # areas 1, 2, 3: mean 2, population std sqrt(2/3); 2 and 4 now: mean 3, std 1
    prior = exam("prior", [(10, 10), (12, 10), (11, 12), (30, 5)], [1.0, 2.0, 3.0, 9.0])
    current = exam("current", [(10, 10), (12, 11)], [2.0, 4.0])
    box = {"rectangle": {"top": 8, "left": 8, "bottom": 18, "right": 18}, "unit": "mm"}
    parts = [in_region(e, read_region(box, e.image.shape, e.spacing_mm)) for e in (prior, current)]
    figures = part_figures("region", *parts, Comparison(REGIONS_ONLY), Intervals())
    first, second, change = figures["prior"], figures["current"], figures["change"]
    assert (first["count"], first["mean_area_mm2"], first["std_area_mm2"]) == (3, 2.0, pytest.approx(0.8165, abs=1e-4))
    assert (second["count"], second["mean_area_mm2"], second["std_area_mm2"]) == (2, 3.0, 1.0)
    assert first["area_cm2"] == 1.0 and first["count_per_cm2"] == 3.0
    assert (change["count"]["value"], change["mean_area_mm2"]["value"], change["count_per_cm2"]["value"]) == (-1, 1, -1)
    assert change["std_area_mm2"]["value"] == pytest.approx(0.1835, abs=1e-4)
    lines = statistics_table(figures).splitlines()
    assert lines[0] == "| region | prior | current | change (95 % interval) |"
    assert lines[2].startswith("| calcifications | 3 | 2 | -1 (")
    assert lines[4] == "| area std [mm²] | 0.817 | 1 | +0.183 |"


def test_statistics_of_a_region_of_one_exam():
    one = exam("one", [(10, 10), (30, 20)], [0.5, 0.7])
    report = build_region_report(one, read_region({"members": [1, 2]}, one.image.shape, one.spacing_mm, [1, 2]))
    assert report["members"] == [1, 2] and report["statistics"]["mean_area_mm2"] == pytest.approx(0.6)
    assert report["statistics"]["area_cm2"] is None and report["schema"] == "microcalcification-region-1"
    assert statistics([], 1.0)["mean_area_mm2"] is None and statistics([], 1.0)["count"] == 0


@pytest.mark.parametrize("unit", ["px", "mm"])
def test_rectangle_and_the_same_polygon_in_both_units(unit):
    scale = np.array(SPACING) if unit == "mm" else np.ones(2)
    corners = (np.array([[10, 20], [10, 40], [30, 40], [30, 20]]) * scale).tolist()
    (top, left), (bottom, right) = corners[0], corners[2]
    edges = {"top": top, "left": left, "bottom": bottom, "right": right}
    both = ({"polygon": corners, "unit": unit}, {"rectangle": edges, "unit": unit})
    for region in (read_region(given, SHAPE, SPACING) for given in both):
        assert region.area_mm2 == pytest.approx(20 * 0.1 * 20 * 0.2)
        inside = exam("e", [(2.0, 4.0 + 2)], shape=SHAPE).findings[0]  # row 20, col 60 of 0.1 mm pixels
        assert region.contains([inside]) == [False]


def test_borders_belong_and_concave_corners_do_not():
    # an L: the upper right quarter of a square of 20 is missing
    corner = [[0, 0], [0, 10], [10, 10], [10, 20], [20, 20], [20, 0]]
    region = read_region({"polygon": [*corner, corner[0]], "unit": "px"}, (50, 50), (1.0, 1.0))
    points = [(5, 5), (5, 15), (15, 15), (0, 5), (10, 15), (20, 20), (20.5, 5)]
    found = exam("e", points, spacing_mm=1.0, shape=(50, 50)).findings
    assert region.contains(found) == [True, False, True, True, True, True, False]
    assert region.area_mm2 == 300


def test_a_drawn_mask_and_a_file_of_json(tmp_path):
    drawn = np.zeros((50, 40), np.uint8)
    drawn[10:20, 5:15] = 255
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    region = read_region(tmp_path / "drawn.png", (50, 40), (0.5, 0.5))
    found = exam("e", [(15, 10), (25, 10)], spacing_mm=1.0, shape=(50, 40)).findings
    assert region.contains(found) == [True, False] and region.area_mm2 == 25
    (tmp_path / "box.json").write_text(json.dumps({"rectangle": BOX, "unit": "px"}))
    assert read_region(tmp_path / "box.json", (50, 60), (1, 1)).area_mm2 == 400


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"rectangle": BOX | {"bottom": 120}, "unit": "px"},
            r"100 x 80 px or 10.0 x 16.0 mm \(rows x cols\); is px right",
        ),
        ({"rectangle": BOX, "unit": "mm"}, r"is mm right\?"),
        ({"rectangle": BOX, "unit": "cm"}, "got 'cm'; want px or mm"),
        ({"rectangle": BOX}, "got None; want px or mm"),
        ({"rectangle": BOX | {"top": 30}, "unit": "px"}, "want top < bottom"),
        ({"rectangle": [1, 2, 3, 4], "unit": "px"}, "want top, left, bottom, right"),
        ({"rectangle": BOX, "units": "px"}, r"got \['units'\]; want no other key"),
        ({"polygon": [[0, 0], [10, 10], [0, 10], [10, 0]], "unit": "px"}, "want a polygon whose sides do not cross"),
        ({"polygon": [[0, 0], [0, 10], [0, 5], [9, 5]], "unit": "px"}, "sides do not cross"),
        ({"polygon": [[0, 0], [5, 5], [9, 9]], "unit": "px"}, "sides do not cross|an area"),
        ({"polygon": [[0, 0], [1, 1]], "unit": "px"}, "want three corners or more"),
        ({"polygon": [[0, "a"], [1, 1], [2, 0]], "unit": "px"}, r"want \[\[row, col\], ...\]"),
        ({"polygon": [[0, float("nan")], [1, 1], [2, 0]], "unit": "px"}, r"want \[\[row, col\], ...\]"),
        ({"members": [1, 9]}, r"got \[9\]; want ids of the exam's MCs"),
        ({"circle": [1, 2]}, "want a path, or"),
        (3, "want a path, or"),
    ],
)
def test_mistakes_are_named(given, words):
    with pytest.raises(ValueError, match=words):
        read_region(given, SHAPE, SPACING, [1, 2])


def test_mistaken_files_are_named(tmp_path):
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "empty.png")
    for name, words in (("empty.png", r"shape \(5, 5\)"), ("none.json", "no such file"), ("bad.json", "no JSON")):
        (tmp_path / "bad.json").write_text("{")
        with pytest.raises(ValueError, match=words):
            read_region(tmp_path / name, SHAPE, SPACING)
    with pytest.raises(ValueError, match="without any pixel"):
        read_region(tmp_path / "empty.png", (5, 5), SPACING)
