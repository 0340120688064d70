"""findings.json and its tables: what they hold of kinds, features and clusters, against the published schema."""

import csv
import json

import jsonschema
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.data.lists.folder import RESULT_FILES
from scripts.findings.analysis import FindingsAnalysis
from scripts.findings.kinds.rules import KindRules
from scripts.findings.parting import CentreParting
from scripts.findings.wholes import Wholes
from scripts.outputs.report import write_clusters, write_findings, write_table
from scripts.outputs.writer import FAILURE_FILE, WRITERS
from scripts.transforms import MeasureFindingsd

MM = 0.1
WHOLES = Wholes(least_diameter_mm=1.0)


def measured(places, analysis=None, threshold=0.5, scores=None, side=3, value=0.7):
    """An item with square marks at (row, col) px, measured; the breast fills the image."""
    image, labels = np.full((300, 260), 0.3, np.float32), np.zeros((300, 260), np.int32)
    for number, (row, col) in enumerate(places, start=1):
        part = (slice(row, row + side), slice(col, col + side))
        labels[part], image[part] = number, value
    meta = {"spacing_mm": (MM, MM), "filename_or_obj": "a.png", "laterality": "L"}
    item = {"image": MetaTensor(torch.from_numpy(image)[None], meta=meta), "breast": torch.ones(1, 300, 260) > 0}
    item |= {"instances": torch.from_numpy(labels)[None], "score_threshold": threshold}
    item["scores"] = np.array([0.0, *(scores or [0.9] * len(places))])
    return MeasureFindingsd(method="m", analysis=analysis or FindingsAnalysis())(item)


GROUP = [(100, 100), (110, 105), (120, 98), (130, 110), (140, 101), (150, 99)]


def test_the_report_keeps_to_its_schema_and_tells_clusters_and_features(root, tmp_path):
    item = measured([*GROUP, (20, 20)])
    report = json.loads(write_findings(tmp_path / "findings.json", item).read_text())
    jsonschema.validate(report, json.loads((root / "docs" / "findings_schema.json").read_text()))
    (cluster,) = report["clusters"]
    assert cluster["members"] == [1, 2, 3, 4, 5, 6] and report["summary"]["clusters"] == 1
    assert [mark["cluster"] for mark in report["microcalcifications"]] == [*[1] * 6, None]
    assert report["microcalcifications"][1]["features"]["solidity"] == 1.0
    with write_table(tmp_path / "t.csv", item).open() as file:
        assert [row["cluster"] for row in csv.DictReader(file)] == [*["1"] * 6, ""]
    with write_clusters(tmp_path / "c.csv", item).open() as file:
        (row,) = csv.DictReader(file)
    assert (row["mcs"], row["distribution"]) == ("6", cluster["distribution"])


def test_nothing_found_and_nothing_told_apart_keep_to_the_schema_too(root, tmp_path):
    schema = json.loads((root / "docs" / "findings_schema.json").read_text())
    for places, analysis in (([], None), (GROUP, FindingsAnalysis(None, None, None))):
        report = json.loads(write_findings(tmp_path / "f.json", measured(places, analysis)).read_text())
        jsonschema.validate(report, schema)
        assert report["clusters"] == [] and len(report["microcalcifications"]) == len(places)
    assert set(report["summary"]["kinds"]) == {"individual MC"}


def test_excluded_kinds_stay_in_the_list_and_leave_count_clusters_and_mask():
    large = [(100, 100), (100, 160), (160, 100), (160, 160), (130, 130), (60, 60)]
    rules = KindRules(exclude_kinds=("coarse",))
    item = measured([*large, (250, 200)], FindingsAnalysis(kinds=rules), side=12)
    report = item["report"]
    kinds = [mark["kind"] for mark in report["microcalcifications"]]
    assert kinds == ["coarse"] * 7 and not any(mark["counted"] for mark in report["microcalcifications"])
    assert report["status"] == "nothing found" and report["summary"]["count"] == 0 and report["clusters"] == []
    assert int(np.asarray(item["pred"]).sum()) == 0 and int((np.asarray(item["instances"]) > 0).sum()) == 7 * 144
    every = measured([*large, (250, 200)], FindingsAnalysis(kinds=None), side=12)
    assert every["report"]["summary"]["count"] == 7 and int(np.asarray(every["pred"]).sum()) == 7 * 144


def test_faint_marks_are_dropped_after_the_kinds_are_known():
    scores = [0.9, 0.2, 0.9, 0.49, 0.5, 0.9]
    item = measured(GROUP, threshold=0.5, scores=scores)
    assert [mark["score"] for mark in item["report"]["microcalcifications"]] == [0.9, 0.9, 0.5, 0.9]
    assert np.asarray(item["instances"]).max() == 4 and item["scores"].tolist() == [0, 0.9, 0.9, 0.5, 0.9]
    plain = measured(GROUP, FindingsAnalysis(None, None, None), 0.5, scores)
    assert np.array_equal(plain["instances"], item["instances"])


@pytest.mark.parametrize("name", [file for file, _ in WRITERS.values()] + [FAILURE_FILE])
def test_every_file_of_results_is_known_as_one(name):
    assert name in RESULT_FILES


def test_touching_marks_are_parted_where_it_is_asked_for():
    item = measured([(100, 100)], FindingsAnalysis(None, None, None), side=9)
    labels = item["instances"].clone()
    labels[0, 108:117, 107:116] = 1  # a second square, joined at a corner of 1 x 2 px
    again = {**item, "instances": labels, "scores": np.array([0, 0.9])}
    counts = []
    for parting in (None, CentreParting()):
        done = MeasureFindingsd(analysis=FindingsAnalysis(None, None, None, parting))(again)
        counts.append(done["report"]["summary"]["count"])
        assert int((np.asarray(done["instances"]) > 0).sum()) == int((labels > 0).sum())
    assert counts == [1, 2]


def test_pieces_of_a_large_calcification_become_one_where_it_is_asked_for():
    item = measured([(100, 100)], FindingsAnalysis(None, None, None), side=15)
    pieces = item["instances"].clone()
    pieces[0, 103:112, 103:112] = 0  # a rim
    pieces[0, 100:115, 106:108] = 0  # in two parts
    pieces[0, 100:115, 108:115] *= 2
    again = {**item, "instances": pieces, "scores": np.array([0, 0.9, 0.8])}
    done = [
        MeasureFindingsd(analysis=FindingsAnalysis(None, None, None, None, wholes))(again) for wholes in (None, WHOLES)
    ]
    assert [one["report"]["summary"]["count"] for one in done] == [2, 1]
    assert done[1]["report"]["microcalcifications"][0]["area_px"] > 200
