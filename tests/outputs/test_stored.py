"""Results in a folder, under any names, are found again by the image that they are of."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("highdicom")

from pydicom import Dataset, dcmread

from scripts.outputs.dicom.cad_sr import cad_report
from scripts.outputs.dicom.document import write
from scripts.outputs.dicom.mammogram import failed_mammogram, mammogram_of
from scripts.outputs.dicom.measurement_report import measurement_report
from scripts.outputs.stored import KINDS, StoredResults
from scripts.outputs.writer import WRITERS
from tests.outputs.dicom.drawn import KINDS as KINDS_DRAWN
from tests.outputs.dicom.drawn import NOW, SCORES, SHAPE, drawn_item, drawn_labels, mammogram_file

COUNTED = [number for number in range(1, 8) if KINDS_DRAWN.get(number) in (None, "individual MC")]
every_kind = pytest.mark.parametrize("kind", KINDS)


def written(folder, item, *kinds):
    """The results of an item, as a run writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("instances", *kinds) if "findings" in kinds else kinds:
        file, write_output = WRITERS[name]
        write_output(folder / file, item)
    return folder


def marks_of(folder, item, kind=""):
    return StoredResults(folder, kind).marks(item["image"].meta, SHAPE)


@every_kind
def test_counted_marks_and_their_scores_come_back(tmp_path, kind):
    item = drawn_item(mammogram_file(tmp_path), kinds=True)
    marks = marks_of(written(tmp_path / "out", item, kind), item, kind)
    known = np.where(np.isin(drawn_labels(), COUNTED), drawn_labels(), 0)
    assert (marks.instances == known).all() and [mc.id for mc in marks.findings] == COUNTED
    if kind.startswith("segmentation"):
        assert np.isnan(marks.scores[COUNTED]).all()
    else:
        by_id = {mc["id"]: mc["score"] for mc in item["report"]["microcalcifications"]}
        assert marks.scores[COUNTED].tolist() == [by_id[number] for number in COUNTED]
        assert marks.scores[COUNTED] == pytest.approx([SCORES[number] for number in COUNTED])


@every_kind
def test_nothing_found_is_a_result(tmp_path, kind):
    item = drawn_item(mammogram_file(tmp_path), marks={})
    marks = marks_of(written(tmp_path / "out", item, kind), item, kind)
    assert marks.instances.shape == SHAPE and not marks.instances.any() and marks.findings == []


def test_an_image_without_a_result_is_refused(tmp_path):
    items = [drawn_item(mammogram_file(tmp_path, side, "CC"), marks={}) for side in "LR"]
    folder = written(tmp_path / "out", items[0], *KINDS)
    for kind in KINDS:
        with pytest.raises(ValueError, match=f"{kind}: got 'no result of 2.25.*'; want one"):
            marks_of(folder, items[1], kind)


def test_a_failed_image_is_no_empty_one(tmp_path):
    file = mammogram_file(tmp_path)
    item, failed = drawn_item(file), failed_mammogram(file, "HDoGReg")
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "a", cad_report([failed]), NOW)
    write(tmp_path / "out" / "b", measurement_report(failed), NOW)
    for kind in ("cad_sr", "report_sr"):
        with pytest.raises(ValueError, match="an image without a result'; want one that was done"):
            marks_of(tmp_path / "out", item, kind)


def test_the_report_of_a_study_tells_of_each_image(tmp_path):
    files = [mammogram_file(tmp_path, side, "CC") for side in "LR"]
    items = [drawn_item(files[0], marks={1: [(3, 3, 6)]}), drawn_item(files[1], marks={})]
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "IM0001", cad_report([mammogram_of(item, "cad_sr") for item in items]), NOW)
    stored = StoredResults(tmp_path / "out")
    assert stored.kind == "cad_sr"
    assert [len(stored.marks(item["image"].meta, SHAPE).findings) for item in items] == [1, 0]


def test_what_holds_most_is_read_unless_one_is_asked_for(tmp_path):
    item = drawn_item(mammogram_file(tmp_path))
    assert StoredResults(written(tmp_path / "out", item, *KINDS)).kind == "findings"
    assert StoredResults(written(tmp_path / "dicom", item, *KINDS[1:])).kind == "report_sr"
    assert StoredResults(tmp_path / "dicom", "segmentation").kind == "segmentation"
    with pytest.raises(ValueError, match="kind: got 'pictures'; want one of findings, report_sr"):
        StoredResults(tmp_path / "dicom", "pictures")
    with pytest.raises(ValueError, match="findings: got 'no result of"):
        marks_of(tmp_path / "dicom", item, "findings")


def test_names_do_not_matter_and_files_of_others_are_passed_over(tmp_path):
    file = mammogram_file(tmp_path)
    item, folder = drawn_item(file), tmp_path / "archive" / "1" / "2"
    written(folder, item, "cad_sr")
    (folder / "cad_sr.dcm").rename(folder / "0003")
    shutil.copy(file, folder / "0001")  # the mammogram itself
    other = dcmread(folder / "0003")
    other.Manufacturer, other.SOPInstanceUID = "another maker", "1.2.3"
    del other.ContentSequence
    other.save_as(folder / "0002")
    (folder / "notes.txt").write_text("no DICOM")
    (folder / "0004").write_bytes(bytes(128) + b"DICM\x02\x00\x00\x00UL\x04")  # cut off
    shutil.copy(folder / "0003", folder / "copy")
    assert len(marks_of(tmp_path / "archive", item).findings) == 7


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_was_cut_off_is_no_result(tmp_path, kind):
    item = drawn_item(mammogram_file(tmp_path))
    whole = written(tmp_path / "whole", item, kind) / WRITERS[kind][0]
    content, folder = whole.read_bytes(), tmp_path / "cut"
    folder.mkdir()
    for share in (0.1, 0.2, 0.3, 0.5, 0.7, 0.9):
        (folder / "IM0001").write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match=r"IM0001: |no result"):
            marks_of(folder, item, kind)


def test_results_that_differ_are_an_error_equal_ones_are_not(tmp_path):
    file = mammogram_file(tmp_path)
    item, fewer = drawn_item(file), drawn_item(file, marks={1: [(3, 3, 6)]})
    for name in ("a", "b"):
        written(tmp_path / "out" / name, item, "findings", "cad_sr")
    assert len(marks_of(tmp_path / "out", item, "findings").findings) == 7
    written(tmp_path / "out" / "c", fewer, "findings", "cad_sr")
    for kind in ("findings", "cad_sr"):
        with pytest.raises(ValueError, match=r"got 'other marks than .*; want one result of an image, or equal ones"):
            marks_of(tmp_path / "out", item, kind)


def test_a_document_that_another_one_replaces_is_passed_over(tmp_path):
    file = mammogram_file(tmp_path)
    item, fewer = drawn_item(file), drawn_item(file, marks={1: [(3, 3, 6)]})
    written(tmp_path / "out" / "z_first", item, "report_sr")
    second = written(tmp_path / "out" / "a_second", fewer, "report_sr") / "report_sr.dcm"
    replaced = dcmread(tmp_path / "out" / "z_first" / "report_sr.dcm")
    document = dcmread(second)
    entry, series, study = Dataset(), Dataset(), Dataset()
    entry.ReferencedSOPClassUID, entry.ReferencedSOPInstanceUID = replaced.SOPClassUID, replaced.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = replaced.SeriesInstanceUID, [entry]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = replaced.StudyInstanceUID, [series]
    document.PredecessorDocumentsSequence = [study]
    document.save_as(second)
    assert len(marks_of(tmp_path / "out", item).findings) == 1


def test_other_kinds_that_the_run_counted(tmp_path):
    """A run may count vessels: reports that hold counted marks alone give them back, a measurement report cannot."""
    item = drawn_item(mammogram_file(tmp_path), kinds=True)
    vessel = next(mc for mc in item["report"]["microcalcifications"] if mc["kind"] == "vascular")
    vessel["counted"] = True
    folder = written(tmp_path / "out", item, "findings", "cad_sr", "report_sr")
    ids = sorted([*COUNTED, vessel["id"]])
    assert [mc.id for mc in marks_of(folder, item, "findings").findings] == ids
    assert [mc.id for mc in marks_of(folder, item, "cad_sr").findings] == ids
    with pytest.raises(ValueError, match="got '5 marks counted'; want all but vascular, metal, skin-line counted"):
        marks_of(folder, item, "report_sr")


def test_images_without_a_uid_are_found_by_their_path(tmp_path, monkeypatch):
    item = drawn_item(mammogram_file(tmp_path))
    item["report"]["identity"]["sop_uid"] = ""
    item["report"]["file"] = "LMLO1.dcm"  # as a run that was started in that folder has it
    folder = written(tmp_path / "out", item, "findings")
    meta = {**item["image"].meta, "sop_uid": ""}
    monkeypatch.chdir(tmp_path)
    assert len(StoredResults(folder).marks(meta, SHAPE).findings) == 7


def test_folders_that_hold_nothing_of_ours(tmp_path):
    with pytest.raises(ValueError, match="want a folder of results"):
        StoredResults(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="which holds no results'; want results of this bundle"):
        StoredResults(tmp_path / "empty")
    (tmp_path / "empty" / "findings.json").write_text(json.dumps({"schema": "another"}))
    with pytest.raises(ValueError, match=r"findings.json: got no report of findings; want one"):
        StoredResults(tmp_path / "empty")
    item = drawn_item(mammogram_file(tmp_path))
    folder = written(tmp_path / "out", item, "findings")
    (folder / "instances.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"no instances.nii.gz'; want it, an output of the run"):
        marks_of(folder, item)
