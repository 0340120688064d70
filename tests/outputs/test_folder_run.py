"""Runs over folders: what is kept, what is told, and that no fault costs more than its own image."""

import json
import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from scripts.common.identity import Identity
from scripts.outputs import writer
from scripts.outputs.manifest import verify
from tests.outputs import tiny_run
from tests.outputs.tiny_run import FORKSERVER, folder_run, wait_until, write_inputs


def report_of(folder):
    return json.loads((folder / "run_report.json").read_text())


def statuses(folder):
    return {entry["image_id"]: entry["status"] for entry in report_of(folder)["images"]}


@pytest.fixture
def folders(tmp_path):
    write_inputs(tmp_path / "in", "a.png", "b.png", "c.png")
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def done():
    tiny_run.DONE.clear()
    return tiny_run.DONE


def test_finished_images_are_kept_and_said_so(folders, done, caplog):
    assert folder_run(*folders) == 0
    first = report_of(folders[1])
    with warnings.catch_warnings(action="error"):
        assert folder_run(*folders) == 0 and len(done) == 3
    second = report_of(folders[1])
    assert "3 of 3 images are finished" in caplog.text
    assert (second["state"], second["images_done"], second["images_kept"]) == ("finished", 3, 3)
    assert [entry | {"kept": True} for entry in first["images"]] == second["images"]
    assert folder_run(*folders, redo=True) == 0 and len(done) == 6


def test_only_what_changed_is_done_again(folders, done):
    inputs, out = folders
    folder_run(inputs, out)
    write_inputs(inputs, "b.png", value=7)  # another content
    (out / "c" / "mask.nii.gz").write_bytes(b"damaged")
    write_inputs(inputs, "d.png")
    done.clear()
    assert folder_run(inputs, out) == 0 and len(done) == 3
    assert json.loads((out / "b" / "findings.json").read_text())["microcalcifications"][0]["area_px"] == 7
    assert verify(out) == []
    done.clear()
    folder_run(inputs, out, settings={"a": 2})
    assert len(done) == 4


def test_a_failed_image_is_tried_again_and_leaves_a_record_but_no_results(folders, done):
    inputs, out = folders
    folder_run(inputs, out)
    (inputs / "b.png").write_text("ruined")
    assert folder_run(inputs, out) == 1
    assert statuses(out) == {"a": "found", "c": "found", "b": "failed"}
    assert [path.name for path in (out / "b").iterdir()] == ["failure.json"]
    record = json.loads((out / "b" / "failure.json").read_text())
    assert record["schema"] == "microcalcification-failure-2" and "got 'ruined'; want a number" in record["reason"]
    write_inputs(inputs, "b.png")
    assert folder_run(inputs, out) == 0 and not (out / "b" / "failure.json").exists()


def test_images_of_another_input_stay_in_the_report(folders, tmp_path, caplog):
    inputs, out = folders
    folder_run(inputs, out)
    write_inputs(tmp_path / "other", "c.png", "z.png", value=3)
    folder_run(tmp_path / "other", out)
    report = report_of(out)
    assert [entry["image_id"] for entry in report["images"]] == ["c", "z"]
    assert [entry["image_id"] for entry in report["earlier_images"]] == ["a", "b"]
    assert "c: its results replace those of another file" in caplog.text
    assert verify(out) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_run_killed_at_any_moment_goes_on_where_it_stopped(folders, seed, done, caplog):
    inputs, out = folders
    write_inputs(inputs, *(f"{i}.png" for i in range(9)))
    process = FORKSERVER.Process(target=folder_run, args=(inputs, out, 0.01))
    process.start()
    time.sleep(float(np.random.default_rng(seed).uniform(0.0, 0.4)))
    process.kill()
    process.join()
    whole = set(statuses(out)) if (out / "run_report.json").is_file() else set()
    done.clear()
    assert folder_run(inputs, out) == 0
    assert len(done) == 12 - len(whole)
    assert set(statuses(out).values()) == {"found"} and len(statuses(out)) == 12
    assert verify(out) == [] and not list(out.rglob(".partial-*"))


def test_one_run_at_a_time_writes_into_a_folder(folders):
    inputs, out = folders
    process = FORKSERVER.Process(target=folder_run, args=(inputs, out, 0.5))
    process.start()
    wait_until((out / "run_report.json").is_file, process)
    with pytest.raises(ValueError, match=r"output_dir: got .* which another run is writing into; want"):
        folder_run(inputs, out)
    process.join(60)
    assert process.exitcode == 0 and report_of(out)["images_done"] == 3


def test_a_folder_that_cannot_be_one_is_named(folders):
    inputs, out = folders
    out.write_text("a file")
    for wrong in (out, out / "below"):
        with pytest.raises(ValueError, match=r"output_dir: got .*; want a folder that can be written into"):
            folder_run(inputs, wrong)
    assert out.read_text() == "a file"


def interrupted_run(inputs, out):
    """A run that takes long to end after Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        folder_run(inputs, out, 5.0)
    except KeyboardInterrupt:
        time.sleep(30)  # as if a thread could not be stopped


def test_an_interrupted_run_says_so_and_a_second_ctrl_c_leaves_at_once(folders):
    inputs, out = folders
    process = FORKSERVER.Process(target=interrupted_run, args=(inputs, out))
    process.start()
    wait_until((out / "run_report.json").is_file, process)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    wait_until(lambda: report_of(out)["state"] != "running", process)
    report = report_of(out)
    assert report["state"] == "interrupted" and report["outcome"] == "not attempted"
    assert report["not_attempted"] == ["a", "b", "c"] and report["images_not_attempted"] == 3
    assert (out / "images.csv").read_text().count("not attempted") == 3
    os.kill(process.pid, signal.SIGINT)
    process.join(20)
    assert process.exitcode == 130


@pytest.mark.parametrize("name", ["mask.nii.gz", "findings.json"])
def test_a_full_disk_costs_the_images_that_found_no_room(folders, monkeypatch, name):
    inputs, out = folders
    original = dict(writer.WRITERS)

    def full(path, item):
        if item["report"]["name"] == "b.png":
            raise OSError(28, "No space left on device")
        return next(write for file, write in original.values() if file == name)(path, item)

    key = next(key for key, (file, _) in original.items() if file == name)
    monkeypatch.setitem(writer.WRITERS, key, (name, full))
    assert folder_run(inputs, out) == 1
    assert statuses(out) == {"a": "found", "b": "failed", "c": "found"}
    assert "No space left" in json.loads((out / "b" / "failure.json").read_text())["reason"]
    assert not (out / "b" / "mask.nii.gz").exists()


def test_a_report_that_cannot_be_written_is_told_at_the_end(folders, monkeypatch, caplog):
    inputs, out = folders
    calls = []

    def full(path, content):
        calls.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scripts.outputs.run_report.write_json", full)
    assert folder_run(inputs, out) == 1 and len(calls) >= 4
    assert all((out / name / "findings.json").is_file() for name in "abc")
    assert "run_report.json: OSError: [Errno 28]" in caplog.text


def test_an_input_that_vanishes_is_one_failure(folders, monkeypatch):
    inputs, out = folders
    measure = tiny_run.measure

    def vanish(item):
        if item["image"].meta["filename_or_obj"].endswith("b.png"):
            (inputs / "b.png").unlink()
        return measure(item)

    monkeypatch.setattr(tiny_run, "measure", vanish)
    assert folder_run(inputs, out) == 1
    assert statuses(out) == {"a": "found", "b": "failed", "c": "found"}


def test_a_folder_that_cannot_be_written_is_named(folders):
    folders[1].mkdir(mode=0o500)
    if os.access(folders[1], os.W_OK):
        pytest.skip("root may write everywhere")
    with pytest.raises(OSError, match=str(folders[1])):
        folder_run(*folders)


def test_odd_names_end_no_run(tmp_path):
    odd = os.fsdecode(b"bad\xff\x1b[31m\nname.png")
    inputs, out = tmp_path / "in", tmp_path / "out"
    write_inputs(inputs, "a.png", "a/mask.nii.gz.dcm", "run_report.json.dcm", "$x_1$.png", odd)
    assert folder_run(inputs, out, outputs=("mask", "picture", "table")) == 0
    entries = report_of(out)["images"]
    assert len({entry["image_id"].casefold() for entry in entries}) == 5
    assert all("\n" not in entry["file"] and "\x1b" not in entry["file"] for entry in entries)
    assert "a/mask.nii.gz_" in statuses(out) and verify(out) == []
    assert folder_run(inputs, out) == 0


def test_results_in_the_input_folder_are_no_input(tmp_path):
    write_inputs(tmp_path, "a.png", "b.png")
    for _ in range(2):
        assert folder_run(tmp_path, tmp_path, outputs=("mask", "picture", "table")) == 0
        assert set(statuses(tmp_path)) == {"a", "b"}


@pytest.mark.parametrize("mode", ["pseudonym", "none"])
def test_nothing_tells_who_it_is(tmp_path, mode):
    write_inputs(tmp_path / "Jane_Doe", "Jane_L.png", "Jane_R.png")
    (tmp_path / "Jane_Doe" / "Jane_bad.png").write_text("Jane")
    (tmp_path / "key").write_text("a secret of many letters")
    identity = Identity(mode, str(tmp_path / "key") if mode == "pseudonym" else "")
    out = tmp_path / "out"
    assert folder_run(tmp_path / "Jane_Doe", out, identity=identity) == 1
    texts = [str(path.relative_to(out)) for path in out.rglob("*")]
    texts += [path.read_text() for path in out.rglob("*") if path.suffix in (".json", ".csv")]
    bad = next(entry for entry in report_of(out)["images"] if entry["status"] == "failed")
    assert bad["reason"].endswith("want a number") and bad["file"] == bad["image_id"]
    assert not any("Doe" in text or "Jane_" in text or "1.2.3" in text for text in texts)
    person = json.loads(next(out.rglob("findings.json")).read_text())["identity"]
    assert (person["view"], person["laterality"]) == ("CC", "L")
    if mode == "pseudonym":
        assert person["patient_id"] == identity.pseudonym("Jane") and person["study_uid"].startswith("2.25.")
    else:
        assert person["patient_id"] == person["study_uid"] == ""
    tiny_run.DONE.clear()
    folder_run(tmp_path / "Jane_Doe", out, identity=identity)
    assert len(tiny_run.DONE) == 0  # the two good ones are kept


def test_a_result_folder_is_checked_against_its_report(folders, tmp_path):
    inputs, out = folders
    key = tmp_path / "key"
    key.write_text("a secret of many letters")
    folder_run(inputs, out, key_file=str(key))
    secret = key.read_bytes()
    assert verify(out, secret) == []
    assert verify(out) == ["run_report.json: is signed; give --key_file to check it"]
    assert verify(out, b"another secret of letters") == ["run_report.json: was changed, or signed with another key"]
    (out / "a" / "findings.csv").write_text("id\n")
    (out / "b" / "mask.nii.gz").unlink()
    assert verify(out, secret) == ["a/findings.csv: was changed", "b/mask.nii.gz: is missing"]
    report = report_of(out)
    report["images"][2]["count"] += 1
    (out / "run_report.json").write_text(json.dumps(report))
    assert verify(out, secret)[0] == "run_report.json: was changed, or signed with another key"
    with pytest.raises(ValueError, match=r"got no run_report.json of this version there"):
        verify(Path(inputs))


def test_dicom_outputs_of_other_inputs_are_left_out_with_one_note(folders, caplog):
    inputs, out = folders
    assert folder_run(inputs, out, outputs=("mask", "segmentation", "cad_sr")) == 0
    assert [set(entry["outputs"]) for entry in report_of(out)["images"]] == [{"mask", "findings"}] * 3
    notes = [record.getMessage() for record in caplog.records if "DICOM" in record.getMessage()]
    assert notes == [
        "a: is no DICOM file with a SOP instance UID: no segmentation, cad_sr of it, nor of others like it"
    ]


def test_outputs_are_named_or_all():
    assert writer.chosen("all") == writer.chosen(["mask", "all"]) == list(writer.WRITERS)
    assert writer.chosen(["picture", "mask"]) == ["mask", "picture", "findings"]
    with pytest.raises(ValueError, match="outputs: got 'masks'; want all, or some of mask, instances"):
        writer.chosen("masks")


def test_the_config_and_the_writer_have_the_same_default_outputs(root):
    config = json.loads((root / "configs" / "inference.json").read_text())
    assert tuple(config["outputs"]) == writer.DEFAULT_OUTPUTS and "segmentation" in writer.DEFAULT_OUTPUTS
