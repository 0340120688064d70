"""What was written as DICOM is read back as the same findings."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("highdicom")

from scripts.outputs.dicom.cad_sr import cad_report, write_cad_report
from scripts.outputs.dicom.document import write
from scripts.outputs.dicom.mammogram import failed_mammogram, mammogram_of
from scripts.outputs.dicom.measurement_report import write_measurement_report
from scripts.outputs.dicom.reading import read_mask, read_result
from scripts.outputs.dicom.seg import write_labelmap, write_segmentation
from scripts.outputs.dicom.tracking import with_tracking_uids
from tests.outputs.dicom.drawn import KINDS, NOW, drawn_item, drawn_labels, mammogram_file

WRITERS = {"report_sr": write_measurement_report, "cad_sr": write_cad_report}
both_reports = pytest.mark.parametrize("write_result", WRITERS.values(), ids=list(WRITERS))


@both_reports
def test_findings_are_the_same(tmp_path, write_result):
    file = mammogram_file(tmp_path)
    item = drawn_item(file, clusters=True)
    result = read_result(write_result(tmp_path / "report.dcm", item, NOW))
    assert (result.succeeded, result.found) == ("all", True)
    (image,) = result.images
    assert image.sop_uid == item["image"].meta["sop_uid"]
    assert image.findings == item["findings"] and len(image.findings) == 7
    report = with_tracking_uids(item["report"], str(file))
    assert image.tracking_uids == {mc["id"]: mc["tracking_uid"] for mc in report["microcalcifications"]}
    (cluster,), (wanted,) = image.clusters, report["clusters"]
    assert cluster == {name: wanted[name] for name in cluster} and cluster["members"] == [1, 3, 4]


def test_kinds_are_the_same(tmp_path):
    item = drawn_item(mammogram_file(tmp_path), kinds=True)
    (image,) = read_result(write_measurement_report(tmp_path / "report.dcm", item, NOW)).images
    assert image.kinds == {n: KINDS.get(n, "individual MC") for n in range(1, 8)}
    (image,) = read_result(write_cad_report(tmp_path / "cad.dcm", item, NOW)).images
    assert image.kinds == dict.fromkeys((1, 2, 3, 4), "individual MC")


@both_reports
def test_nothing_found_is_no_failure(tmp_path, write_result):
    item = drawn_item(mammogram_file(tmp_path), marks={})
    result = read_result(write_result(tmp_path / "report.dcm", item, NOW))
    assert (result.succeeded, result.found) == ("all", False) and result.images[0].findings == []


def test_failure_in_a_study(tmp_path):
    files = [mammogram_file(tmp_path, *view) for view in (("L", "CC"), ("R", "CC"))]
    images = [failed_mammogram(files[0], "HDoGReg"), mammogram_of(drawn_item(files[1]), "cad_sr")]
    result = read_result(write(tmp_path / "cad.dcm", cad_report(images), NOW))
    assert (result.succeeded, result.found) == ("some", True)
    assert [len(image.findings) for image in result.images] == [0, 7]
    assert [image.succeeded for image in result.images] == [False, True]
    done, failed = (images[place].header.SOPInstanceUID for place in (1, 0))
    assert len(result.of_image(done).findings) == 7
    with pytest.raises(ValueError, match="an image without a result'; want one that was done"):
        result.of_image(failed)
    with pytest.raises(ValueError, match="want an image that the report is about"):
        result.of_image("1.2.3")


def test_segmentations_give_the_findings_that_they_hold(tmp_path):
    file = mammogram_file(tmp_path)
    item = drawn_item(file, kinds=True)
    uids = {mc["id"]: mc["tracking_uid"] for mc in with_tracking_uids(item["report"], str(file))["microcalcifications"]}
    for write_result, ids in ((write_labelmap, range(1, 8)), (write_segmentation, range(1, 5))):
        result = read_result(write_result(tmp_path / "seg.dcm", item, NOW))
        (image,) = result.images
        assert result.outcome == "found" and image.sop_uid == item["image"].meta["sop_uid"]
        assert all(np.isnan(mc.score) for mc in image.findings) and image.clusters == []
        known = {mc.id: replace(mc, score=0.0) for mc in item["findings"] if mc.id in ids}
        assert [replace(mc, score=0.0) for mc in image.findings] == list(known.values())
    labelmap = read_result(write_labelmap(tmp_path / "seg.dcm", item, NOW)).images[0]
    assert labelmap.tracking_uids == uids and labelmap.kinds == {n: KINDS.get(n, "individual MC") for n in range(1, 8)}
    nothing = read_result(write_labelmap(tmp_path / "seg.dcm", drawn_item(file, marks={}), NOW))
    assert nothing.outcome == "nothing found" and nothing.images[0].findings == []


@pytest.mark.parametrize("score", [0.1, 1 / 3, 0.07, 0.29, 0.57, 0.58, 1e-7, 1.0, 0.0, 0.123456789012])
def test_scores_come_back_to_the_last_bit(tmp_path, score):
    item = drawn_item(mammogram_file(tmp_path), marks={1: [(3, 3, 6)]})
    item["report"]["microcalcifications"][0]["score"] = score
    for write_result in WRITERS.values():
        (mc,) = read_result(write_result(tmp_path / "report.dcm", item, NOW)).images[0].findings
        assert mc.score == score


@both_reports
def test_what_failed_in_part_and_what_was_not_tried(tmp_path, write_result):
    item = drawn_item(mammogram_file(tmp_path), clusters=True)
    item["report"] |= {"clusters": None, "failures": [{"analysis": "clusters", "reason": "broken"}]}
    result = read_result(write_result(tmp_path / "report.dcm", item, NOW))
    assert result.outcome == "found, partly failed" and len(result.images[0].findings) == 7
    item["report"]["failures"] = [{"analysis": "kinds", "reason": "broken"}]
    (image,) = read_result(write_result(tmp_path / "report.dcm", item, NOW)).images
    assert set(image.kinds.values()) == {"individual MC"}


def test_masks_are_the_same(tmp_path):
    item = drawn_item(mammogram_file(tmp_path))
    assert (read_mask(write_segmentation(tmp_path / "a.dcm", item, NOW)) == (drawn_labels() > 0)).all()
    assert (read_mask(write_labelmap(tmp_path / "b.dcm", item, NOW)) == drawn_labels()).all()
    assert np.unique(drawn_labels()).size == 8


def test_other_objects_are_refused(tmp_path):
    file = mammogram_file(tmp_path)
    with pytest.raises(ValueError, match="want a Comprehensive or Mammography CAD SR, or a seg"):
        read_result(file)
    with pytest.raises(ValueError, match="got 'MG'; want a DICOM segmentation"):
        read_mask(file)
