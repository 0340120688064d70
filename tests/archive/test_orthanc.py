"""The worker against a real Orthanc on loopback: round trip, done once, kill -9 at random points."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("dicomweb_client")

from pydicom import dcmread

from scripts.api import Segmenter
from scripts.archive.archive import Connection
from scripts.archive.demo import contents, phantom_studies
from scripts.archive.dicomweb import DicomWebArchive
from scripts.archive.orthanc import Orthanc, free_port
from scripts.archive.queue import StudyQueue
from scripts.archive.results import DEFAULT_OUTPUTS, Results
from scripts.command import main
from scripts.outputs.dicom.reading import read_mask, read_result

pytestmark = pytest.mark.archive
STUDIES, KILLS, SHAPE = 8, 10, (416, 320)
QUICK = ("--settle-s", "0", "--poll-s", "0.2", "--retry-s", "0.2", "--quiet")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Files of all studies, two each."""
    return phantom_studies(tmp_path_factory.mktemp("phantoms"), STUDIES, SHAPE)


@pytest.fixture
def orthanc(tmp_path):
    with Orthanc(tmp_path / "orthanc") as running:
        yield running


def fill(orthanc, files):
    archive = DicomWebArchive(Connection(orthanc.dicomweb))
    for file in files:
        archive.store(file, "")
    return archive


def uids_of(files):
    """SOP instance UIDs of images by study."""
    studies = {}
    for file in files:
        header = dcmread(file, stop_before_pixels=True)
        studies.setdefault(header.StudyInstanceUID, []).append(header.SOPInstanceUID)
    return studies


def expected(files, basis, outputs=DEFAULT_OUTPUTS):
    """UIDs of all results, by study."""
    results = Results(basis, outputs)
    return {
        study: {results.image_uid(output, sop) for output in results.of_images for sop in sops}
        | {results.study_uid(output, sops) for output in results.of_studies}
        for study, sops in uids_of(files).items()
    }


def held(orthanc):
    """UIDs of all results that an archive holds, by study; and how many instances it has in all."""
    found = {}
    for study, modality, _, sop in contents(orthanc.dicomweb):
        if modality != "MG":
            found.setdefault(study, Counter())[sop] += 1
    return found, len(orthanc.get("instances"))


def test_round_trip(orthanc, phantoms, tmp_path, capsys):
    files, segmenter = phantoms[:4], Segmenter()
    archive = fill(orthanc, files)
    words = ["archive", orthanc.dicomweb, str(tmp_path / "state"), *QUICK]
    assert main(words) == 0
    wanted, (there, instances) = expected(files, segmenter.basis), held(orthanc)
    assert {study: set(sops) for study, sops in there.items()} == wanted
    assert instances == len(files) + sum(map(len, wanted.values()))
    report = json.loads((tmp_path / "state" / "archive_report.json").read_text())
    assert (report["state"], report["studies_done"], report["images_done"]) == ("finished", 2, 4)
    assert not any(uid in json.dumps(report["studies"]) for uid in wanted)  # identity "none" is the default

    results = Results(segmenter.basis)
    for file in files:  # what came back is what the function finds in the file at hand
        header, findings = dcmread(file, stop_before_pixels=True), segmenter(file)
        for uid in (results.image_uid(output, header.SOPInstanceUID) for output in results.of_images):
            (told,) = archive.client.search_for_instances(search_filters={"SOPInstanceUID": uid})
            dataset = archive.client.retrieve_instance(header.StudyInstanceUID, told["0020000E"]["Value"][0], uid)
            back = tmp_path / "back.dcm"
            dataset.save_as(back, enforce_file_format=True)
            assert dataset.PatientID == header.PatientID
            if dataset.Modality == "SEG":
                assert np.array_equal(read_mask(back), findings.mask > 0)
            else:
                (image,) = read_result(back).images
                assert len(image.findings) == len(findings.microcalcifications)

    assert main(words) == 0 and main([*words[:2], str(tmp_path / "other state"), *words[3:]]) == 0
    assert held(orthanc)[1] == instances  # neither a known queue nor a new one does anything again
    again = json.loads((tmp_path / "other state" / "archive_report.json").read_text())
    assert {image["status"] for study in again["studies"] for image in study["images"]} == {"already stored"}


def test_an_image_that_arrives_later(orthanc, phantoms, tmp_path):
    words, basis = ["archive", orthanc.dicomweb, str(tmp_path / "state"), *QUICK], Segmenter().basis
    fill(orthanc, phantoms[:1])
    assert main(words) == 0
    fill(orthanc, phantoms[1:2])
    assert main(words) == 0
    first, both = expected(phantoms[:1], basis), expected(phantoms[:2], basis)
    (study,) = both
    assert set(held(orthanc)[0][study]) == first[study] | both[study]


def test_a_failed_image_is_told_in_a_report_that_tools_accept(orthanc, phantoms, tmp_path):
    """One of two images is blank: its study gets the other's results and a report that names it as failed."""
    blank = dcmread(phantoms[1])
    blank.PixelData = bytes(len(blank.PixelData))
    blank.save_as(tmp_path / "blank.dcm")
    archive = fill(orthanc, [phantoms[0], tmp_path / "blank.dcm"])
    assert main(["archive", orthanc.dicomweb, str(tmp_path / "state"), *QUICK]) == 1
    report = json.loads((tmp_path / "state" / "archive_report.json").read_text())
    assert (report["studies_done"], report["images_done"], report["images_failed"]) == (1, 1, 1)
    ((study, sops),) = uids_of([phantoms[0], tmp_path / "blank.dcm"]).items()
    uid = Results(Segmenter().basis).study_uid("cad_sr", sops, sops[1:])
    counts = Counter(modality for _, modality, _, _ in contents(orthanc.dicomweb))
    assert counts == {"MG": 2, "SEG": 1, "SR": 2} and uid in held(orthanc)[0][study]
    file = tmp_path / "back.dcm"
    (told,) = archive.client.search_for_instances(study, search_filters={"SOPInstanceUID": uid})
    series = told["0020000E"]["Value"][0]
    archive.client.retrieve_instance(study, series, uid).save_as(file, enforce_file_format=True)
    result = read_result(file)
    assert result.succeeded == "some" and {image.sop_uid for image in result.images} == set(sops)
    if shutil.which("dciodvfy"):
        said = subprocess.run(["dciodvfy", "-new", file], capture_output=True, text=True).stderr
        assert "Error" not in said, said
    if shutil.which("dsrdump"):
        assert subprocess.run(["dsrdump", file], capture_output=True).returncode == 0


def test_dates_and_studies(orthanc, phantoms, tmp_path):
    fill(orthanc, phantoms[:4])
    (first, second), basis = expected(phantoms[:4], "").keys(), Segmenter().basis
    date = dcmread(phantoms[0], stop_before_pixels=True).StudyDate
    assert main(["archive", orthanc.dicomweb, str(tmp_path / "a"), *QUICK, "--dates", f"{int(date) + 20000}-"]) == 0
    assert not held(orthanc)[0]
    assert main(["archive", orthanc.dicomweb, str(tmp_path / "b"), *QUICK, "--study", second]) == 0
    assert set(held(orthanc)[0]) == {second} and set(held(orthanc)[0][second]) == expected(phantoms, basis)[second]
    assert first != second


def start(orthanc, state, port):
    """A worker in a process group of its own."""
    words = ["archive", orthanc.dicomweb, str(state), *QUICK, "--for-ever", "--health-port", str(port)]
    words += ["--crashes", "100"]  # kills from outside are no study's fault
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.command", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def health(port):
    """What a worker tells; None as long as it does not."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://127.0.0.1:{port}/health"
        ) as got:
            return json.load(got)
    except OSError:
        return None


def wait_for(port, process, is_so, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        told = health(port)
        if told and is_so(told):
            return told
        assert process.poll() is None, process.stderr.read().decode()[-2000:]
        time.sleep(0.02)
    raise AssertionError(f"not in {seconds} s: {told}")


def test_killed_at_random_points_every_study_is_done_exactly_once(orthanc, phantoms, tmp_path):
    """Ten kills -9 while the worker is at a study; then it may finish."""
    fill(orthanc, phantoms)
    state, rng, at = tmp_path / "state", random.Random(18), SimpleNamespace(states=[])
    for _ in range(KILLS):
        port = free_port()
        process = start(orthanc, state, port)
        wait_for(port, process, lambda told: told["state"] == "working")
        time.sleep(rng.uniform(0.0, 1.5))
        at.states.append((health(port) or {}).get("state"))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        for study, sops in held(orthanc)[0].items():  # never double, not even for a while
            assert set(sops.values()) == {1}, study
    assert at.states.count("working") >= KILLS // 2  # the kills hit it at work
    port = free_port()
    process = start(orthanc, state, port)
    wait_for(port, process, lambda told: told["state"] == "waiting" and told["queue"]["done"] == STUDIES)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    wanted, (there, instances) = expected(phantoms, Segmenter().basis), held(orthanc)
    assert {study: set(sops) for study, sops in there.items()} == wanted
    assert instances == len(phantoms) + sum(map(len, wanted.values()))
    queue = StudyQueue(state / "queue.sqlite")
    assert {study.uid: study.state for study in queue.all()} == dict.fromkeys(wanted, "done")
    assert not (state / "work").exists()
