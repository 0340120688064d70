"""Follow-up from two folders of results to report, table and picture; without ITK."""

import csv
import json
import logging
import shutil
from dataclasses import asdict

import jsonschema
import nibabel
import numpy as np
import pytest
from monai.data import MetaTensor
from PIL import Image

from scripts.common.files import write_json
from scripts.common.objects import label_objects
from scripts.data.reader.mammogram_reader import read_mammogram
from scripts.findings.analysis import FindingsAnalysis
from scripts.findings.follow_up.comparable import QualityLimits
from scripts.findings.follow_up.compare import compare
from scripts.findings.follow_up.exams import read_exam
from scripts.findings.follow_up.matching import MatchingRule
from scripts.outputs.follow_up import FollowUp
from scripts.outputs.follow_up_picture import draw_follow_up
from scripts.outputs.label_maps import write_instances
from scripts.outputs.report import build_report
from tests.findings.follow_up.factory import Known, exam, shift

MM = 0.1
PLACES = [(10, 10), (14, 10), (18, 10), (30, 12)]


def results(folder, points, rows_px=0, seed=0, sides=None, identity=None, kind="png"):
    """A folder as inference leaves it, of a small mammogram with square MCs at points (mm)."""
    folder.mkdir(parents=True)
    made = exam(folder.name, [], seed=seed)
    image = np.roll(made.image, rows_px, axis=0)
    file = folder / f"mammogram.{kind}"
    stored = (image * 60000).astype(np.uint16)
    if kind == "png":
        Image.fromarray(stored).save(file, dpi=(254, 254))
    else:  # NIfTI has columns first; flipped on purpose
        nibabel.save(nibabel.Nifti1Image(stored.T[::-1].astype(np.int32), np.diag([MM, -MM, 1, 1])), file)
    array, meta = read_mammogram(file)
    mask = np.zeros(array.shape, bool)
    for (row, col), side in zip(points, sides or [3] * len(points), strict=True):
        row, col, low = round(row / MM), round(col / MM), side // 2
        mask[row - low : row - low + side, col - low : col - low + side] = True
    labels, count = label_objects(mask)
    plain = FindingsAnalysis(None, None, None)
    found = plain.analyse(array, labels, np.ones(count + 1), made.breast, meta["spacing_mm"])
    picture = MetaTensor(array[None], meta=meta)
    report = build_report(found, picture, made.breast, "made by hand", {})
    report["identity"] |= identity or {}
    write_instances(folder / "instances.nii.gz", {"image": picture, "instances": labels[None]})
    write_json(folder / "findings.json", report)
    return folder


@pytest.fixture
def pair(tmp_path):
    prior = results(tmp_path / "prior", PLACES, sides=[3, 3, 3, 3])
    current = results(tmp_path / "current", [(12, 10), (16, 10), (20, 10), (15, 15)], 20, sides=[3, 6, 3, 3])
    return prior, current


def run(pair, output, to_current=None, **options):
    registration = Known(shift(2, 0) if to_current is None else to_current)
    made = FollowUp(str(pair[0]), str(pair[1]), str(output), registration=registration, **options)
    return made.run()


def test_report_table_and_picture(pair, tmp_path, root):
    box = {"rectangle": {"top": 8, "left": 8, "bottom": 20, "right": 12}, "unit": "mm"}
    report = run(pair, tmp_path / "out", prior_region=box)
    written = json.loads((tmp_path / "out" / "follow_up.json").read_text())
    assert written == json.loads(json.dumps(report))
    jsonschema.validate(written, json.loads((root / "docs" / "follow_up_schema.json").read_text()))
    assert written["summary"] == {"unchanged": 2, "grown": 1, "shrunk": 0, "new": 1, "gone": 1, "out of view": 0}
    (region,) = written["regions"]
    assert (region["prior"]["count"], region["current"]["count"], region["change"]["matched"]) == (3, 3, 3)
    assert region["current"]["mean_area_mm2"] == pytest.approx((0.09 + 0.36 + 0.09) / 3, abs=1e-5)
    assert region["change"]["mean_area_mm2"]["value"] == pytest.approx(0.09, abs=1e-5)
    with (tmp_path / "out" / "follow_up.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["unchanged", "grown", "unchanged", "gone", "new"]
    assert (rows[1]["prior_row"], rows[3]["current_id"], rows[4]["prior_id"]) == ("140", "", "")
    assert Image.open(tmp_path / "out" / "follow_up.png").size[0] > 1500


def test_refused_exams_leave_a_report_a_picture_and_status_1(pair, tmp_path, root, caplog):
    other = results(tmp_path / "other", [(12, 10)], seed=7, identity={"view": "MLO"})
    tagged = results(tmp_path / "tagged", PLACES, identity={"view": "CC"})
    for folders, words in (((pair[0], other), "correlation"), ((tagged, other), "other view: CC and MLO")):
        with pytest.raises(SystemExit) as end:
            run(folders, tmp_path / words)
        assert end.value.code == 1 and words in caplog.text
        report = json.loads((tmp_path / words / "follow_up.json").read_text())
        jsonschema.validate(report, json.loads((root / "docs" / "follow_up_schema.json").read_text()))
        assert report["status"] == "cannot be compared" and words in " ".join(report["reasons"])
        assert report["microcalcifications"] == [] and report["breast"]["prior"]["count"] == 4
        assert (tmp_path / words / "follow_up.png").stat().st_size > 10000


def test_regions_alone_need_no_registration(pair, tmp_path):
    box = {"rectangle": {"top": 8, "left": 8, "bottom": 20.5, "right": 12}, "unit": "mm"}
    made = FollowUp(*map(str, (*pair, tmp_path / "out")), prior_region=box, current_region=box, regions_only=True)
    (region,) = made.run()["regions"]
    assert (region["prior"]["count"], region["current"]["count"]) == (3, 3)
    assert region["change"]["matched"] is None
    alone = made.region()
    assert alone["statistics"]["count"] == 3 and alone["members"] == [1, 3, 4]
    assert json.loads((tmp_path / "out" / "region.json").read_text()) == json.loads(json.dumps(alone))


def test_one_region_that_cannot_be_carried_is_said(pair, tmp_path, caplog):
    box = {"rectangle": {"top": 8, "left": 8, "bottom": 20, "right": 12}, "unit": "mm"}
    made = FollowUp(*map(str, (*pair, tmp_path / "out")), prior_region=box, regions_only=True)
    with caplog.at_level(logging.WARNING):
        assert made.run()["regions"] == []
    assert "current_region: got none" in caplog.text


def test_instances_come_back_in_the_pictures_axes(tmp_path):
    folder = results(tmp_path / "flipped", PLACES, kind="nii.gz")
    found = read_exam(tmp_path / "flipped")
    assert [found.instances[round(mc.row), round(mc.col)] for mc in found.findings] == [1, 2, 3, 4]
    marks = json.loads((folder / "findings.json").read_text())["microcalcifications"]
    for mc, mark in zip(found.findings, marks, strict=True):
        assert asdict(mc) | {"bounding_box": list(mc.bounding_box)} == {key: mark[key] for key in asdict(mc)}


def test_results_moved_with_their_mammogram_and_of_kinds_left_out(pair, tmp_path):
    moved = shutil.move(pair[0], tmp_path / "elsewhere")
    report = json.loads((tmp_path / "elsewhere" / "findings.json").read_text())
    report["microcalcifications"][0]["counted"] = False
    report["clusters"] = [{"id": 3, "members": [2, 3]}]
    write_json(tmp_path / "elsewhere" / "findings.json", report)
    found = read_exam(moved)
    assert [mc.id for mc in found.findings] == [2, 3, 4] and found.clusters == {3: [2, 3]}


def test_mistaken_folders_are_named(pair, tmp_path):
    with pytest.raises(ValueError, match="got no such folder; want a folder of results"):
        read_exam(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"got 2 files findings.json; want the results of one image"):
        read_exam(tmp_path)
    given = pair[0] / "mammogram.png"
    given = given.rename(tmp_path / "kept.png")
    assert read_exam(pair[0], mammogram=given).image.shape == (400, 300)
    with pytest.raises(ValueError, match="which is not there; want the mammogram"):
        read_exam(pair[0])
    write_json(pair[1] / "findings.json", {"schema": "other"})
    with pytest.raises(ValueError, match="got no report of findings"):
        read_exam(pair[1])


def count_of(picture, colour):
    want = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(picture.astype(int) - want).max(axis=2) < 40).sum())


def test_the_picture_shows_new_ones_on_one_side_and_gone_ones_on_the_other():
    prior = exam("prior", PLACES)
    current = exam("current", [(12, 10), (16, 10), (20, 10), (12, 15)])
    object.__setattr__(current, "image", np.roll(prior.image, 20, axis=0) ** 0.9)
    object.__setattr__(current, "breast", np.roll(prior.breast, 20, axis=0))
    comparison = compare(prior, current, Known(shift(2, 0)), QualityLimits(), MatchingRule())
    assert comparison.status == "compared"
    picture = draw_follow_up(prior, current, comparison, crops=0, dpi=100)
    half = [part[60:-60] for part in np.array_split(picture[:, : int(picture.shape[1] * 0.62)], 2, axis=1)]
    assert count_of(half[0], "#ff5a36") == 0 and count_of(half[1], "#ff5a36") > 15  # new
    both = [[count_of(part, colour) > 8 for colour in ("#56b4e9", "#009e73", "#f0e442")] for part in half]
    assert both == [[True] * 3, [True] * 3]  # matched ones 1 to 3 in the same colours
