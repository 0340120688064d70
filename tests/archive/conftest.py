"""A worker on an archive in memory."""

import shutil
import subprocess
from types import SimpleNamespace

import pytest

pytest.importorskip("highdicom")

from scripts.archive.health import Health
from scripts.archive.queue import StudyQueue
from scripts.archive.report import ArchiveReport
from scripts.archive.results import Results
from scripts.archive.worker import Pace, Worker
from tests.archive.fake import DrawnSegmenter, FakeArchive
from tests.outputs.dicom.drawn import mammogram_file

QUICK = {"poll_s": 0.01, "settle_s": 0.0, "retry_s": 0.01}


@pytest.fixture
def files(tmp_path):
    """Two studies, of two images and of one."""
    two = [mammogram_file(tmp_path, view=view, patient_id="A") for view in ("CC", "MLO")]
    return [*two, mammogram_file(tmp_path, laterality="R", seed=2, patient_id="B")]


@pytest.fixture
def start(tmp_path, files):
    """Start a worker on an archive: start(archive) -> what it left."""

    def run(archive=None, segmenter=None, basis="first", outputs=("segmentation", "cad_sr"), **options):
        archive, segmenter = archive or FakeArchive(*files), segmenter or DrawnSegmenter()
        pace = Pace(**QUICK | options.pop("pace", {}))
        queue, report, health = StudyQueue(tmp_path / "state" / "queue.sqlite"), ArchiveReport(None), Health()
        worker = Worker(
            archive, segmenter, queue, Results(basis, outputs), tmp_path / "state" / "work",
            pace=pace, report=report, health=health, **options,
        )  # fmt: skip
        error = None
        try:
            worker.run()
        except BaseException as raised:  # noqa: B036
            error = raised
        studies = {study.uid: study for study in queue.all()}
        left = SimpleNamespace(archive=archive, segmenter=segmenter, studies=studies, report=report, health=health)
        left.error, left.counts = error, queue.counts()
        queue.close()
        return left

    return run


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    folder = tmp_path_factory.mktemp("certificates")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=127.0.0.1"
    subprocess.run(
        [*words.split(), "-addext", "subjectAltName=IP:127.0.0.1"], cwd=folder, check=True, capture_output=True
    )
    return folder / "cert.pem", folder / "key.pem"
