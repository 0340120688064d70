"""Queue, health, results and options of the archive worker, each alone."""

import json
import sqlite3
import urllib.request
from urllib.error import HTTPError

import pytest
from pydicom import dcmread

from scripts.archive.archive import Connection, FileRefused, Instance, check_is, is_loopback, is_uid, write_stand_in
from scripts.archive.health import Health
from scripts.archive.options import MODULES
from scripts.archive.queue import StudyQueue
from scripts.archive.results import Results
from scripts.command import main
from tests.outputs.dicom.drawn import mammogram_file

IMAGES = [Instance("1.2", "1.2.3", f"1.2.3.{n}", "1.2.840.10008.5.1.4.1.1.1.2", "MG") for n in (1, 2)]


def test_the_queue_survives_and_puts_back_what_a_killed_worker_was_at(tmp_path):
    queue = StudyQueue(tmp_path / "queue.sqlite")
    for uid in ("1.2", "1.3"):
        queue.see(uid, 4, "basis")
    queue.begin(queue.next_due())
    assert (tmp_path / "queue.sqlite").stat().st_mode & 0o077 == 0
    again = StudyQueue(tmp_path / "queue.sqlite")  # the first one never closed
    assert again.counts() == {"waiting": 1, "working": 1, "done": 0, "failed": 0}
    assert again.recover() == 1 and again.next_due().uid == "1.2" and again.next_due().crashes == 1


def test_the_queue_looks_again_only_where_something_changed(tmp_path):
    queue = StudyQueue(tmp_path / "queue.sqlite")
    queue.see("1.2", 4, "basis")
    queue.done(queue.next_due(), "images", "basis")
    queue.see("1.2", 4, "basis")
    assert queue.next_due() is None and queue.next_time() is None
    queue.see("1.2", 5, "basis")
    assert queue.next_due().done_images == "images"
    queue.done(queue.next_due(), "images", "basis")
    queue.see("1.2", 5, "other basis")
    assert queue.next_due() is not None


def test_the_queue_waits_until_a_study_is_due(tmp_path):
    queue = StudyQueue(tmp_path / "queue.sqlite")
    queue.see("1.2", 4, "basis")
    queue.failed_once(queue.next_due(), "why", due=2e9)
    assert queue.next_due(1.9e9) is None and queue.next_time() == 2e9
    study = queue.next_due(2e9)
    assert (study.attempts, study.reason) == (1, "why")
    queue.failed(study, "basis", "for good")
    assert queue.next_due(3e9) is None and queue.reopen_failed() == 1 and queue.next_due().attempts == 0


def test_a_broken_queue_is_no_empty_one(tmp_path):
    (tmp_path / "queue.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        StudyQueue(tmp_path / "queue.sqlite")


def test_uids_of_results_follow_from_images_output_and_basis():
    first, second = (Results(basis, ("segmentation", "cad_sr")) for basis in ("a", "b"))
    uids = first.all_uids(IMAGES)
    assert len(uids) == 3 and all(map(is_uid, uids)) and uids == first.all_uids(IMAGES[::-1])
    assert not uids & second.all_uids(IMAGES)
    assert first.all_uids(IMAGES[:1]) < uids | {first.study_uid("cad_sr", ["1.2.3.1"])}
    sops = [image.sop for image in IMAGES]
    reports = {first.study_uid("cad_sr", sops, failed) for failed in ([], sops[:1], sops[1:], sops)}
    assert len(reports) == 4
    with pytest.raises(ValueError, match=r"outputs: got 'picture'; want some of segmentation, "):
        Results("a", ("picture",))


def test_an_image_is_told_from_others(tmp_path):
    file = mammogram_file(tmp_path)
    header = dcmread(file)
    uids = header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
    check_is(file, Instance(*uids, header.SOPClassUID, "MG"))
    for place in range(3):
        wrong = [uid + ".1" if n == place else uid for n, uid in enumerate(uids)]
        with pytest.raises(FileRefused, match="InstanceUID"):
            check_is(file, Instance(*wrong, header.SOPClassUID, "MG"))
    with pytest.raises(FileRefused, match="without integer pixel data"):
        check_is(write_stand_in(tmp_path / "header.dcm", IMAGES[0]), IMAGES[0])


def test_health_answers_on_loopback():
    health = Health()
    port = health.serve(0)

    def ask(path):
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://127.0.0.1:{port}{path}"
        ) as answer:
            return json.load(answer)

    try:
        assert ask("/health")["state"] == "starting"
        health.tell(state="archive unreachable", reason="down")
        with pytest.raises(HTTPError) as error:
            ask("/health")
        assert error.value.code == 503 and json.load(error.value)["reason"] == "down"
        with pytest.raises(HTTPError, match="404"):
            ask("/etc/passwd")
    finally:
        health.close()


def test_a_network_needs_encryption_or_leave(tmp_path):
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1")))
    assert not any(map(is_loopback, ("127.0.0.1.evil.example", "10.0.0.1", "")))
    with pytest.raises(ValueError, match="in plain over a network'; want https or TLS"):
        Connection("http://pacs.example/dicom-web").check_encrypted("pacs.example", False)
    Connection("http://pacs.example/dicom-web", unencrypted=True).check_encrypted("pacs.example", False)
    with pytest.raises(ValueError, match=r"token_file: got .* want an existing file"):
        Connection("https://pacs.example", token_file=str(tmp_path / "none"))


def test_uids_that_are_none_reach_no_address():
    assert is_uid("1.2.840.10008") and is_uid("2.25." + "9" * 39)
    for text in ("", "1", "1.2/../../x", "1.2\n", "1..2", "1.2.", "1." + "2" * 64, None, 12):
        assert not is_uid(text)


WRONG = {
    "outputs": (["--outputs", "picture"], "outputs: got 'picture'"),
    "config": (["--config", "{config}"], "--config: got"),
    "dates": (["--dates", "yesterday"], "dates: got 'yesterday'; want YYYYMMDD"),
    "attempts": (["--attempts", "0"], "attempts: got 0; want a"),
    "identity": (["--identity", "pseudonym"], "identity::key_file: got ''"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_status_2_and_one_line(tmp_path, capsys, root, tiny_weights, monkeypatch, case):
    monkeypatch.setattr("scripts.archive.options.MODULES", {})  # told before any package is needed
    monkeypatch.setattr("scripts.archive.options._open", lambda *_: None)
    words, said = WRONG[case]
    words = [word.format(config=root / "configs" / "inference.json") for word in words]
    weights = ["--weights", str(tiny_weights / "model.pt"), "--score-threshold", "0.5"]
    assert main(["archive", "http://127.0.0.1:1/dicom-web", str(tmp_path / "state"), *weights, *words]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_package_is_told(tmp_path, capsys, monkeypatch, root):
    assert set(MODULES.values()) < set((root / "requirements-archive.txt").read_text().splitlines())
    monkeypatch.setattr("scripts.archive.options.MODULES", {"no_such_module": "no-such-package==1"})
    assert main(["archive", "http://127.0.0.1:1/dicom-web", str(tmp_path)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "error: packages: got 'no no_such_module'; want pip install no-such-package==1"
