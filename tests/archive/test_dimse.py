"""DIMSE: images sent by dcmtk's storescu and pynetdicom, results to Orthanc by C-STORE."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("pynetdicom")

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from scripts.archive.archive import ArchiveUnreachable, Connection, FileRefused, StoreRefused, Wanted
from scripts.archive.demo import contents, phantom_studies
from scripts.archive.dimse import DimseArchive
from scripts.archive.orthanc import Orthanc, free_port
from scripts.archive.queue import StudyQueue
from scripts.archive.results import Results
from scripts.archive.worker import Pace, Worker
from tests.archive.fake import DrawnSegmenter
from tests.outputs.dicom.drawn import mammogram_file

pytestmark = pytest.mark.archive
OUTPUTS = ("segmentation", "report_sr", "cad_sr")


@pytest.fixture
def files(tmp_path):
    return [mammogram_file(tmp_path, view=view, patient_id="A") for view in ("CC", "MLO")]


@pytest.fixture
def listen(tmp_path):
    """Start listening; results go to a port where nobody is, if no other is given."""
    running = []

    def begin(port=None, folder="images", **options):
        connection = Connection(f"dicom://ORTHANC@127.0.0.1:{port or free_port()}", timeout_s=5.0)
        running.append(DimseArchive(connection, tmp_path / folder, 0, **options))
        return running[-1]

    yield begin
    for archive in running:
        archive.close()


def send(archive, file, called="MAMMO_MC", calling="SENDER", claimed=None):
    """C-STORE a file; gives the status, None without an association."""
    dataset = dcmread(file)
    entity = AE(calling)
    entity.add_requested_context(claimed or dataset.SOPClassUID, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", archive.port, ae_title=called)
    if not association.is_established:
        return None
    try:
        return association.send_c_store(dataset).Status
    except ValueError:  # no accepted context
        return None
    finally:
        association.release()


def work(archive, tmp_path, segmenter=None):
    queue = StudyQueue(tmp_path / "state" / "queue.sqlite")
    segmenter = segmenter or DrawnSegmenter()
    pace = Pace(poll_s=0.1, settle_s=0.0, retry_s=0.01)
    Worker(archive, segmenter, queue, Results("basis", OUTPUTS), tmp_path / "state" / "work", pace=pace).run()
    counts = queue.counts()
    queue.close()
    return segmenter, counts


@pytest.mark.skipif(not shutil.which("storescu"), reason="no dcmtk here")
def test_storescu_in_orthanc_out_once(listen, files, tmp_path):
    with Orthanc(tmp_path / "orthanc") as orthanc:
        archive = listen(orthanc.dicom_port)
        command = ["storescu", "-aet", "SENDER", "-aec", "MAMMO_MC", "127.0.0.1", str(archive.port), *map(str, files)]
        subprocess.run(command, check=True, timeout=60)
        segmenter, counts = work(archive, tmp_path)
        assert len(segmenter.seen) == 2 and counts["done"] == 1
        found = contents(orthanc.dicomweb)
        assert sorted(modality for _, modality, _, _ in found) == ["SEG", "SEG", "SR", "SR", "SR"]
        sops = [dcmread(file, stop_before_pixels=True).SOPInstanceUID for file in files]
        results = Results("basis", OUTPUTS)
        wanted = {results.image_uid(output, sop) for output in results.of_images for sop in sops}
        assert {sop for _, _, _, sop in found} == wanted | {results.study_uid("cad_sr", sops)}
        assert not work(archive, tmp_path)[0].seen  # once
        shutil.rmtree(tmp_path / "images" / "sent")
        (tmp_path / "state" / "queue.sqlite").unlink()
        work(archive, tmp_path)  # nothing is known any more: all is sent again, and is the same
        assert len(contents(orthanc.dicomweb)) == 5


def test_a_peer_that_is_away_is_waited_for(listen, files, tmp_path):
    archive = listen()
    assert send(archive, files[0]) == 0
    with pytest.raises(ArchiveUnreachable, match="got no association"):
        work(archive, tmp_path)
    with Orthanc(tmp_path / "orthanc") as orthanc:
        later = listen(orthanc.dicom_port)  # the same folder
        assert work(later, tmp_path)[1]["done"] == 1 and len(contents(orthanc.dicomweb)) == 3


def test_only_images_that_are_what_they_say_are_kept(listen, files, tmp_path):
    archive = listen(senders=("SENDER",))
    report = dcmread(files[0])
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    report.save_as(tmp_path / "report.dcm")
    assert send(archive, tmp_path / "report.dcm") is None  # no image of ours
    assert send(archive, files[0], called="OTHER") is None and send(archive, files[0], calling="OTHER") is None
    path = dcmread(files[0])
    path.StudyInstanceUID = ""
    path.save_as(tmp_path / "none.dcm")
    assert send(archive, tmp_path / "none.dcm") == 0xC000
    archive.largest = 1000
    assert send(archive, files[0]) == 0xA700
    assert not list(archive.studies(Wanted())) and not list((tmp_path / "images" / "arriving").iterdir())


def test_what_arrived_survives_and_goes_when_it_is_done_and_old(listen, files, tmp_path):
    archive = listen(keep_h=0.0)
    assert [send(archive, file) for file in files] == [0, 0]
    archive.close()
    again = listen(keep_h=0.0)
    (study,) = again.studies(Wanted())
    assert study.instances == 2 and not list(again.studies(Wanted(dates="19000101-19001231")))
    images = again.instances(study.uid)
    assert all(Wanted().takes(image) for image in images)
    assert again.fetch(images[0], tmp_path / "copy.dcm").read_bytes()[128:132] == b"DICM"
    again.finished(study.uid)
    assert not list(again.studies(Wanted())) and not list((tmp_path / "images" / "received").iterdir())


def test_a_result_that_the_peer_does_not_take_is_refused(listen, files, tmp_path):
    """Our own port takes images only: a structured report is none."""
    taker = listen(folder="taker", ae_title="ORTHANC")
    archive = listen(taker.port)
    report = dcmread(files[0])
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.50"
    report.save_as(tmp_path / "report.dcm")
    with pytest.raises(StoreRefused, match="a kind that the archive does not take"):
        archive.store(tmp_path / "report.dcm", report.StudyInstanceUID)
    archive.store(files[0], report.StudyInstanceUID)
    assert [image.sop for image in archive.instances(report.StudyInstanceUID)] == [dcmread(files[0]).SOPInstanceUID]


def test_tls_needs_the_right_certificates_on_both_sides(files, tmp_path, certificates):
    cert, key = map(str, certificates)
    ours = {"ca_file": cert, "client_cert": cert, "client_key": key, "timeout_s": 5.0}
    taker = DimseArchive(Connection("dicoms://X@127.0.0.1:1", **ours), tmp_path / "taker", 0, ae_title="PACS")
    study, place = dcmread(files[0]).StudyInstanceUID, f"PACS@127.0.0.1:{taker.port}"
    wrong = [("dicom", {}), ("dicoms", {}), ("dicoms", {"ca_file": cert})]
    for scheme, options in wrong:
        sender = DimseArchive(Connection(f"{scheme}://{place}", timeout_s=5.0, **options), tmp_path / "sender", 0)
        with pytest.raises((ArchiveUnreachable, StoreRefused)):
            sender.store(files[0], study)
        sender.close()
    assert not list(taker.studies(Wanted()))
    sender = DimseArchive(Connection(f"dicoms://{place}", **ours), tmp_path / "sender", 0)
    sender.store(files[0], study)
    assert [found.uid for found in taker.studies(Wanted())] == [study]
    sender.close()
    taker.close()


@pytest.mark.skipif(not shutil.which("storescu"), reason="no dcmtk here")
def test_the_command_takes_what_arrives_and_ends_in_order(tmp_path):
    files = phantom_studies(tmp_path / "phantoms", 1, (416, 320))
    with Orthanc(tmp_path / "orthanc") as orthanc:
        port, state = free_port(), tmp_path / "state"
        words = ["archive", f"dicom://ORTHANC@127.0.0.1:{orthanc.dicom_port}", str(state), "--listen", str(port)]
        words += ["--settle-s", "1", "--poll-s", "0.3", "--for-ever", "--health-port", "0", "--quiet"]
        process = subprocess.Popen([sys.executable, "-m", "scripts.command", *words], stderr=subprocess.PIPE, text=True)
        try:
            command = ["storescu", "-aec", "MAMMO_MC", "127.0.0.1", str(port), *map(str, files)]
            until = time.monotonic() + 120
            while subprocess.run(command, capture_output=True).returncode and time.monotonic() < until:
                time.sleep(0.5)
            while len(orthanc.get("instances")) < 5 and time.monotonic() < until:
                time.sleep(0.3)
            time.sleep(1.0)  # more would be too many
            assert len(orthanc.get("instances")) == 5
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[1]
        assert process.returncode == 130 and said.splitlines()[-1] == "interrupted", said
        report = json.loads((state / "archive_report.json").read_text())
        assert (report["state"], report["studies_done"], report["images_done"]) == ("interrupted", 1, 2)


def test_a_network_needs_tls_or_leave(tmp_path):
    with pytest.raises(ValueError, match=r"archive: got .* in plain over a network"):
        DimseArchive(Connection("dicom://PACS@192.0.2.1:104"), tmp_path, 0)
    with pytest.raises(ValueError, match=r"listen-host: got '0\.0\.0\.0'; want a loopback address"):
        DimseArchive(Connection("dicom://PACS@127.0.0.1:104"), tmp_path, 0, host="0.0.0.0")
    with pytest.raises(ValueError, match="want dicom://AET@host:port"):
        DimseArchive(Connection("dicom://127.0.0.1"), tmp_path, 0)
    assert issubclass(FileRefused, ValueError)
