"""A run over very many images notes what is done line by line, and goes on after a kill at any byte."""

import json
import os
import signal

import pytest

from scripts.data.lists.folder import list_mammograms
from scripts.outputs.journal import JOURNAL_NAME, Journal
from scripts.outputs.manifest import verify
from scripts.outputs.run_report import RunReport
from tests.outputs.tiny_run import DONE, FORKSERVER, folder_run, write_inputs


@pytest.fixture
def finished(tmp_path):
    """Inputs, the folder of a finished run, and its entries."""
    write_inputs(tmp_path / "in", "a.png", "b.png", "c.png")
    folder_run(tmp_path / "in", tmp_path / "out")
    return tmp_path / "in", tmp_path / "out", json.loads((tmp_path / "out" / "run_report.json").read_text())["images"]


def note_and_die(inputs, out, entries):
    """A run that notes these entries and is killed."""
    report = RunReport(out, {"a": 1}, progress=False)
    report.known(list_mammograms(inputs))
    report.start(3)
    for entry in entries:
        report.add(dict(entry), journaled=True)
    os.kill(os.getpid(), signal.SIGKILL)


def journaled_run(inputs, out, entries):
    process = FORKSERVER.Process(target=note_and_die, args=(inputs, out, entries))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_what_the_journal_holds_is_kept_as_what_the_report_holds(finished):
    inputs, out, entries = finished
    (out / "run_report.json").unlink()
    journaled_run(inputs, out, entries[:2])
    assert json.loads((out / "run_report.json").read_text())["images"] == []  # not written for each image
    DONE.clear()
    assert folder_run(inputs, out) == 0 and len(DONE) == 1
    assert not (out / JOURNAL_NAME).exists() and verify(out) == []


@pytest.mark.parametrize("cut", [1, 30, 400])
def test_a_line_that_was_cut_off_costs_its_image_only(finished, cut):
    inputs, out, entries = finished
    (out / "run_report.json").unlink()
    journaled_run(inputs, out, entries[:2])
    journal = out / JOURNAL_NAME
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert [entry["image_id"] for entry in Journal(out).entries()] == ["a", "b"][: 2 if cut == 1 else 1]
    journal.write_bytes(journal.read_bytes() + b"[1]\nnull\n\xff\n")
    Journal(out).append(entries[2])
    assert [entry["image_id"] for entry in Journal(out).entries()][-1] == "c"


def test_entries_that_were_not_looked_at_again_outlast_a_second_kill(finished):
    inputs, out, entries = finished
    journaled_run(inputs, out, entries[:1])
    journaled_run(inputs, out, [entries[1] | {"kept": True}])
    DONE.clear()
    assert folder_run(inputs, out) == 0 and DONE == []


def test_a_journal_that_cannot_be_written_gives_way_to_the_report(finished):
    _inputs, out, entries = finished
    (out / "run_report.json").unlink()
    report = RunReport(out, {"a": 1}, progress=False)
    report.start(3)
    report.journal.path = out / "no such folder" / JOURNAL_NAME
    report.add(entries[0], journaled=True)
    assert [entry["image_id"] for entry in json.loads((out / "run_report.json").read_text())["images"]] == ["a"]
