"""The application of MONAI Deploy on DICOM studies, against the command line's results of the same files.

Run with `make test-deploy`, which builds its environment.
"""

import json
import os
import shutil
import subprocess
import sys

import pydicom
import pytest

from scripts.outputs.manifest import verify
from scripts.simulation.phantom import phantom_datalist

pytestmark = pytest.mark.deploy


def run(folder, *words):
    command = [sys.executable, *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Two patients' mammograms: a series of two images, series of one, one that is damaged, and one of CT."""
    folder = tmp_path_factory.mktemp("studies")
    phantom_datalist(folder, training=0, validation=0, testing=3, seed=5, shape=(416, 320), workers=0)
    files = sorted((folder / "images").glob("*.dcm"))
    first = pydicom.dcmread(files[0])
    for place, file in enumerate(files[1:3]):
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID, dataset.PatientID = first.StudyInstanceUID, first.PatientID
        if place == 0:
            dataset.SeriesInstanceUID = first.SeriesInstanceUID
        dataset.save_as(file)
    damaged = pydicom.dcmread(files[0])
    damaged.SOPInstanceUID = damaged.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    damaged.SeriesInstanceUID, damaged.PixelData = "1.2.3.1", damaged.PixelData[:-2000]
    damaged.save_as(folder / "images" / "damaged.dcm")
    tomogram = pydicom.dcmread(files[0])
    tomogram.Modality, tomogram.SeriesInstanceUID = "CT", "1.2.3.2"
    tomogram.SOPInstanceUID = tomogram.file_meta.MediaStorageSOPInstanceUID = "1.2.3.3"
    tomogram.save_as(folder / "images" / "tomogram.dcm")
    return folder / "images", files


def test_the_application_writes_what_the_command_line_writes(root, studies, tmp_path):
    folder, files = studies
    done = run(tmp_path, root / "deploy" / "app.py", "--input", folder, "--output", tmp_path / "deployed")
    assert done.returncode == 1, done.stderr[-3000:]  # one is damaged
    report = json.loads((tmp_path / "deployed" / "run_report.json").read_text())
    statuses = {entry["image_id"]: entry["status"] for entry in report["images"]}
    uids = {str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID): file for file in files}
    assert set(statuses) == {*uids, "1.2.3"} and statuses["1.2.3"] == "failed"
    assert all(status in ("found", "nothing found") for uid, status in statuses.items() if uid in uids)
    assert "found" in statuses.values() and verify(tmp_path / "deployed") == []
    assert (tmp_path / "deployed" / "1.2.3" / "failure.json").is_file()
    wanted = ("--outputs", "mask", "picture", "table", "findings")
    for file in files:  # the command line would refuse the folder's CT file, too
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "in")
    config = ("-m", "scripts.command", "segment", tmp_path / "in", tmp_path / "out", "--quiet", *wanted)
    assert run(root, *config).returncode == 0
    for uid, file in uids.items():
        own, theirs = tmp_path / "out" / file.stem, tmp_path / "deployed" / uid
        for name in ("mask.nii.gz", "picture.png", "findings.csv"):
            assert (own / name).read_bytes() == (theirs / name).read_bytes(), name
        reports = [json.loads((place / "findings.json").read_text()) for place in (own, theirs)]
        assert {**reports[0], "file": "", "name": ""} == {**reports[1], "file": "", "name": ""}
        assert reports[1]["operating_point"]["preset"] == "balanced"  # of the file in the bundle's folder
        segmentation = pydicom.dcmread(theirs / "segmentation.dcm")
        assert segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == uid
