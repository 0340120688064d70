"""The command on one machine with two workers, disturbed in every way, against a run over the folder by one process.

Run with `make test-cluster`: it needs requirements-cluster.txt, and takes minutes.
"""

import contextlib
import csv
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from scripts.outputs.manifest import verify
from scripts.simulation.phantom import phantom_datalist

pytestmark = pytest.mark.cluster
WHEN = {"InstanceCreationTime", "SeriesTime", "ContentTime", "ContributionDateTime"}
WHEN |= {"InstanceCreationDate", "SeriesDate", "ContentDate"}
PARENT = re.compile(r"^PPid:\s+(\d+)", re.M)


def start(root, command, inputs, out, *options):
    words = [sys.executable, "-m", "scripts.command", command, inputs, out, "--quiet", *options]
    log = (Path(out).parent / f"{Path(out).name}.log").open("a")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(list(map(str, words)), cwd=root, stdout=log, stderr=log, env=environment)


def run(*given):
    return start(*given).wait(600)


def report_of(out):
    return json.loads((out / "run_report.json").read_text())


def statuses(out):
    return {entry["image_id"]: entry["status"] for entry in report_of(out)["images"]}


def content(path):
    """Bytes of a file; of DICOM what it says, but for when it was written."""
    if path.suffix != ".dcm":
        return path.read_bytes()
    dataset = dcmread(path)
    dataset.walk(lambda item, element: item.__delitem__(element.tag) if element.keyword in WHEN else None)
    return dataset.to_json_dict()


def files_of(out):
    """Content of every result, and of the tables; the run report and hidden files apart."""
    files = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(out)): content(path) for path in files if path.name != "run_report.json"}


def lines_in_journal(out):
    journal = out / ".run_journal.jsonl"
    return sum(bool(line) for line in journal.read_text().splitlines())


def wait_for_images(out, count, process):
    end = time.monotonic() + 300
    while not (out / ".run_journal.jsonl").exists() or lines_in_journal(out) < count:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


def workers_of(process):
    """Process ids of the workers below a command."""
    parents, workers = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(PARENT.search((folder / "status").read_text())[1])
            if (folder / "cmdline").read_bytes().startswith(b"ray::Worker"):
                workers.append(int(folder.name))
        except (OSError, TypeError):
            continue

    def below(pid):
        while pid in parents and pid != process.pid:
            pid = parents[pid]
        return pid == process.pid

    return [pid for pid in workers if below(pid)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    phantom_datalist(folder, training=0, validation=0, testing=12, seed=5, shape=(416, 320), workers=0)
    return folder / "images"


@pytest.fixture(scope="module")
def undisturbed(root, inputs, tmp_path_factory):
    """The run of one process, whose tables a run of the cluster over its finished images adds."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert run(root, "segment", inputs, out) == 0
    assert run(root, "cluster", inputs, out, "--workers", 1) == 0
    report = report_of(out)
    assert report["images_kept"] == report["images_done"] == len(list(inputs.iterdir()))
    return out


def test_a_worker_killed_in_the_middle_changes_nothing(root, inputs, undisturbed, tmp_path):
    process = start(root, "cluster", inputs, tmp_path / "out", "--workers", 2)
    wait_for_images(tmp_path / "out", 3, process)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert process.wait(600) == 0
    assert files_of(tmp_path / "out") == files_of(undisturbed)
    assert set(statuses(tmp_path / "out").values()) <= {"found", "nothing found"}
    assert verify(tmp_path / "out") == [] and not list((tmp_path / "out").rglob(".partial-*"))


def test_a_killed_command_goes_on_where_it_stopped(root, inputs, undisturbed, tmp_path):
    out = tmp_path / "out"
    process = start(root, "cluster", inputs, out, "--workers", 2)
    wait_for_images(out, 3, process)
    process.kill()
    process.wait()
    time.sleep(5)  # Ray ends the workers of a command that is gone
    done = lines_in_journal(out)
    assert done < len(statuses(undisturbed)) and report_of(out)["state"] == "running"
    assert run(root, "cluster", inputs, out, "--workers", 1) == 0
    report = report_of(out)
    assert report["images_kept"] == done and report["images_done"] == len(statuses(undisturbed))
    assert files_of(out) == files_of(undisturbed) and verify(out) == []


def test_bad_files_and_images_that_end_their_worker_are_recorded_and_skipped(root, inputs, undisturbed, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    for file in inputs.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "bad.dcm").write_bytes(b"no image")
    deadly = sorted(file.stem for file in inputs.iterdir())[2]
    step = {"_target_": "tests.cluster.killing.EndAt", "image_id": deadly}
    (tmp_path / "deadly.json").write_text(json.dumps({"+preprocessing::transforms": [step]}))
    assert run(root, "cluster", folder, out, "--workers", 2, "--config", tmp_path / "deadly.json") == 1
    expected = statuses(undisturbed) | {"bad": "failed", deadly: "failed"}
    assert statuses(out) == expected
    failures = {entry["image_id"]: entry for entry in report_of(out)["images"] if entry["status"] == "failed"}
    assert "ended 3 times" in failures[deadly]["reason"] and failures["bad"]["stage"] == "reading"
    for failed, entry in failures.items():  # a record and a picture that say so, as of any run
        wanted = {"failure": f"{failed}/failure.json", "picture": f"{failed}/picture.png"}
        assert entry["outputs"] == wanted and set(entry["sha256"]) >= set(wanted)
        assert {path.name for path in (out / failed).iterdir()} == {"failure.json", "picture.png"}
    assert json.loads((out / deadly / "failure.json").read_text())["stage"] == "worker" and verify(out) == []
    images = parquet.read_table(out / "tables" / "images.parquet").to_pylist()
    assert {row["image_id"]: row["status"] for row in images} == expected
    assert images == sorted(images, key=lambda row: row["image_id"])


def test_the_tables_hold_what_the_images_own_tables_hold(undisturbed):
    parquet = pytest.importorskip("pyarrow.parquet")
    for table, name in (("microcalcifications", "findings.csv"), ("clusters", "clusters.csv")):
        rows = parquet.read_table(undisturbed / "tables" / f"{table}.parquet").to_pylist()
        own = []
        for image_id in sorted(statuses(undisturbed)):
            with (undisturbed / image_id / name).open(newline="") as file:
                own += [(image_id, row) for row in csv.DictReader(file)]
        assert len(rows) == len(own) > 0
        for row, (image_id, texts) in zip(rows, own, strict=True):
            assert row.pop("image_id") == image_id and set(row) == set(texts)
            for column, text in texts.items():
                value = row[column]
                assert text == ("" if value is None else str(value)) or float(text) == pytest.approx(value), column


def test_settings_that_are_wrong_end_it_before_any_worker_is_started(root, inputs, tmp_path):
    began = time.monotonic()
    assert run(root, "cluster", inputs, tmp_path / "out", "--workers", 0) == 2
    assert run(root, "cluster", inputs, tmp_path / "out", "--workers", 1, "--preset", "none of them") == 2
    assert run(root, "cluster", inputs, tmp_path / "out", "--workers", 1, "--set", "scoring_threshold=1") == 2
    log = (tmp_path / "out.log").read_text()
    assert "workers: got 0; want 1 or more" in log and "score_threshold?" in log
    assert time.monotonic() - began < 120 and not (tmp_path / "out" / "tables").exists()


def test_it_joins_a_cluster_that_is_there_and_leaves_it_running(root, inputs, undisturbed, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    where = ("--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2", "--include-dashboard=false")
    start_ray = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", *where]
    log = (tmp_path / "head.log").open("w")
    head = subprocess.Popen(start_ray, env=os.environ | secret, stdout=log, stderr=log)
    try:
        command = [sys.executable, "-m", "scripts.command", "cluster", inputs, tmp_path / "out", "--workers", 2]
        environment = os.environ | secret | {"OMP_NUM_THREADS": "1", "RAY_ADDRESS": f"127.0.0.1:{port}"}
        for _ in range(2):  # the second time all is kept
            wait_for_port(port, head)
            done = subprocess.run(list(map(str, command)), cwd=root, env=environment, capture_output=True, timeout=600)
            assert done.returncode == 0, done.stderr[-2000:]
            assert head.poll() is None
        assert files_of(tmp_path / "out") == files_of(undisturbed)
    finally:
        head.terminate()
        head.wait(60)


def wait_for_port(port, process):
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError("no Ray is there")
