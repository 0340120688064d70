"""The worker on an archive in memory: exactly once, whatever happens; failures told; nothing that identity hides."""

import json
import logging

import pytest
from pydicom import dcmread

from scripts.archive.archive import ArchiveUnreachable, Wanted
from scripts.archive.queue import StudyQueue
from scripts.common.identity import Identity
from tests.archive.fake import DrawnSegmenter, FakeArchive, Killed
from tests.outputs.dicom.drawn import mammogram_file

ALL, SOME, NONE = "111242", "111244", "111245"  # CID 6047: succeeded with findings, not all of them, none


def outcome(report):
    """Code of a CAD report's outcome."""
    (item,) = (i for i in report.ContentSequence if i.get("ConceptNameCodeSequence")[0].CodeValue == "111017")
    return item.ConceptCodeSequence[0].CodeValue


def sop(file):
    return str(dcmread(file, stop_before_pixels=True).SOPInstanceUID)


def stored_once(archive, masks=3, reports=2):
    """Whether an archive holds each result once, and each was stored once."""
    assert len(archive.of("SEG")) == masks and len(archive.of("SR")) == reports
    assert set(archive.stored.values()) == {1} and len(archive.stored) == masks + reports


def test_every_study_gets_masks_and_one_report(start, files, tmp_path):
    left = start()
    stored_once(left.archive)
    assert left.error is None and left.counts == {"waiting": 0, "working": 0, "done": 2, "failed": 0}
    assert {outcome(report) for report in left.archive.of("SR")} == {ALL}
    masks = {mask.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID: mask
             for mask in left.archive.of("SEG")}  # fmt: skip
    assert set(masks) == {sop(file) for file in files}
    for report in left.archive.of("SR"):
        images = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        assert len(images) == (2 if report.PatientID == "A" else 1)
        assert report.file_meta.MediaStorageSOPInstanceUID == report.SOPInstanceUID
    assert left.report.totals == {"studies_done": 2, "studies_failed": 0, "images_done": 3, "images_failed": 0}
    assert sorted(left.archive.finished_studies) == sorted(left.studies) and not (tmp_path / "state" / "work").exists()


@pytest.mark.parametrize("counts", [True, False])
def test_what_is_done_is_not_done_again(start, files, tmp_path, counts):
    archive = FakeArchive(*files, counts=counts)
    start(archive)
    again = start(archive)
    assert not again.segmenter.seen and again.counts["done"] == 2
    (tmp_path / "state" / "queue.sqlite").unlink()  # a new queue: the archive itself tells
    anew = start(archive)
    assert not anew.segmenter.seen and anew.counts["done"] == 2
    stored_once(archive)


def test_other_weights_or_settings_make_results_of_their_own(start, files):
    archive = FakeArchive(*files)
    start(archive)
    start(archive, basis="second")
    start(archive, basis="second")
    stored_once(archive, masks=6, reports=4)


def test_an_image_that_arrives_later_is_done_and_the_study_gets_another_report(start, files, tmp_path):
    archive = FakeArchive(files[0])
    start(archive)
    archive.add(files[1])
    left = start(archive)
    stored_once(archive, masks=2, reports=2)
    assert left.counts["done"] == 1
    sizes = [len(report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence)
             for report in archive.of("SR")]  # fmt: skip
    assert sorted(sizes) == [1, 2]


def test_killed_at_any_point_every_study_is_done_exactly_once(start, files, tmp_path, monkeypatch):
    """Before and after every call of the archive, in turn, the worker ends as by kill -9 and is started again."""
    monkeypatch.setattr(StudyQueue, "put_back", lambda *_, **__: None)  # a killed process does nothing more
    plain = FakeArchive(files[2])
    start(plain)
    stored_once(plain, masks=1, reports=1)
    for half in range(2 * plain.calls):
        (tmp_path / "state" / "queue.sqlite").unlink()
        archive = FakeArchive(files[2])
        archive.kill_at = half
        assert isinstance(start(archive).error, Killed), half
        left = start(archive)
        assert left.error is None and left.counts["done"] == 1, half
        stored_once(archive, masks=1, reports=1)


def test_a_study_that_ends_the_worker_each_time_fails(start, files, monkeypatch):
    monkeypatch.setattr(StudyQueue, "put_back", lambda *_, **__: None)
    archive = FakeArchive(files[2])

    class Deadly(DrawnSegmenter):
        def analyse(self, image):
            raise Killed

    for _ in range(3):
        assert isinstance(start(archive, Deadly(), pace={"crashes": 3}).error, Killed)
    left = start(archive, Deadly(), pace={"crashes": 3})
    (study,) = left.studies.values()
    assert left.error is None and study.state == "failed"
    assert study.reason == "the worker was killed 3 times while at it" and left.report.failures == 1


def test_a_failed_image_is_told_and_the_rest_is_stored(start, files):
    left = start(FakeArchive(*files[:2]), DrawnSegmenter(fails=[sop(files[0])]))
    (report,) = left.archive.of("SR")
    assert outcome(report) == SOME and report.CompletionFlag == "PARTIAL" and len(left.archive.of("SEG")) == 1
    (study,) = left.studies.values()
    assert study.state == "done" and study.reason.startswith("1 of 2 images failed: ValueError: image ")
    assert left.report.totals["images_failed"] == 1 and "no breast" in study.reason
    seen = len(left.segmenter.seen)
    assert seen == 2 and not start(left.archive).segmenter.seen


def test_all_images_failed(start, files):
    left = start(FakeArchive(*files[:2]), DrawnSegmenter(fails=map(sop, files)))
    (report,) = left.archive.of("SR")
    assert outcome(report) == NONE and not left.archive.of("SEG")


def lies(files):
    """What an archive may send in place of the first image."""
    content = files[0].read_bytes()
    return {
        "another image": (files[1].read_bytes(), "SOPInstanceUID"),
        "another study": (files[2].read_bytes(), "SOPInstanceUID"),
        "no DICOM": (b"<html>Please log in</html>" * 20, "want"),
        "cut": (content[:900], "want"),
        "nothing": (b"", "want"),
    }


@pytest.mark.parametrize("kind", ["another image", "another study", "no DICOM", "cut", "nothing"])
def test_what_is_not_the_image_is_refused_asked_for_again_and_told(start, files, kind):
    archive = FakeArchive(*files[:2])
    archive.sends[sop(files[0])], said = lies(files)[kind]
    left = start(archive, pace={"attempts": 3})
    (study,) = left.studies.values()
    assert study.state == "done" and said in study.reason
    assert left.segmenter.seen == [sop(files[1])] * 3  # asked for three times, then told as failed
    (report,) = archive.of("SR")
    assert outcome(report) == SOME and report.PatientID == "A" and len(archive.of("SEG")) == 1


def test_a_study_of_which_nothing_can_be_had_fails_after_its_attempts(start, files):
    archive = FakeArchive(files[0])
    archive.sends[sop(files[0])] = b""
    left = start(archive)
    (study,) = left.studies.values()
    assert study.state == "failed" and study.attempts == 3 and not archive.stored
    again = start(archive)
    assert not again.segmenter.seen and again.counts["failed"] == 1  # for good
    del archive.sends[sop(files[0])]
    archive.add(files[1])
    assert start(archive).counts["done"] == 1  # until it changes


def test_a_result_that_is_not_taken_fails_the_study(start, files):
    archive = FakeArchive(files[2])
    archive.refuses = {"SR"}
    left = start(archive)
    (study,) = left.studies.values()
    assert study.state == "failed" and "got refused" in study.reason and len(left.segmenter.seen) == 3
    assert archive.stored.total() == 1  # the mask, which is not stored again
    archive.refuses = set()
    assert start(archive, basis="first").counts["failed"] == 1


def test_an_archive_that_takes_a_result_and_does_not_list_it_is_no_success(start, files):
    class Forgets(FakeArchive):
        def store(self, file, study):
            with self._call():
                pass

    (study,) = start(Forgets(files[2])).studies.values()
    assert study.state == "failed" and "does not list" in study.reason


def test_an_archive_that_is_away_is_waited_for_and_blames_no_study(start, files):
    archive = FakeArchive(*files)
    start(archive)
    archive = FakeArchive(*files)
    archive.down = 2
    left = start(archive, basis="second")
    assert left.error is None and left.counts["done"] == 2 and not left.report.failures
    archive.down = 100
    left = start(archive, basis="third")
    assert isinstance(left.error, ArchiveUnreachable) and left.health.told()["state"] == "archive unreachable"


def test_images_of_two_patients_in_one_study_get_no_report(start, files, tmp_path):
    archive = FakeArchive(*files[:2])
    dataset = dcmread(files[0])
    dataset.PatientID = "other"
    dataset.save_as(tmp_path / "other.dcm")
    archive.sends[sop(files[0])] = (tmp_path / "other.dcm").read_bytes()
    (study,) = start(archive).studies.values()
    assert study.state == "failed" and "images of 2 patients" in study.reason


def test_a_study_that_still_arrives_is_waited_for(start, files):
    archive = FakeArchive(files[0])
    settle = {"settle_s": 0.3, "poll_s": 0.05}

    class Arriving(DrawnSegmenter):
        pass

    fetched = []
    real = archive.instances

    def instances(study):
        fetched.append(study)
        if len(fetched) == 2:
            archive.add(files[1])
        return real(study)

    archive.instances = instances
    left = start(archive, pace=settle)
    stored_once(archive, masks=2, reports=1)
    assert left.counts["done"] == 1 and sorted(left.segmenter.seen) == sorted(map(sop, files[:2]))


def test_other_images_are_passed_over(start, files, tmp_path):
    raw = dcmread(mammogram_file(tmp_path, seed=9))
    raw.SOPClassUID = raw.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2.1"
    raw.save_as(tmp_path / "raw.dcm")
    left = start(FakeArchive(tmp_path / "raw.dcm"))
    assert left.counts["done"] == 1 and not left.archive.stored and not left.segmenter.seen


@pytest.mark.parametrize("mode", ["full", "pseudonym", "none"])
def test_log_health_and_report_tell_what_identity_allows(start, files, caplog, tmp_path, mode):
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef")
    archive = FakeArchive(*files)
    archive.sends[sop(files[0])] = files[1].read_bytes()
    caplog.set_level(logging.INFO, "scripts.archive")
    left = start(archive, identity=Identity(mode, str(key) if mode == "pseudonym" else ""))
    told = caplog.text + json.dumps([left.health.told(), list(left.report.studies)])
    uids = [instance.study for instance, _ in archive.held.values()] + list(archive.held)
    assert any(uid in told for uid in uids) == (mode == "full")
    assert "study" in told and "Phantom^" not in told and "state/work" not in told


def test_wanted_studies_and_dates():
    with pytest.raises(ValueError, match="dates: got '2026'; want YYYYMMDD"):
        Wanted(dates="2026")
    with pytest.raises(ValueError, match="uid: got"):
        Wanted(studies=("1.2/../3",))
    assert Wanted(dates="20260101-", studies=("1.2.3",)).dates == "20260101-"
