"""The console command: help, exit statuses, one line for what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import command
from scripts.command import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def image(phantoms):
    return str(phantoms[1]["testing"][0]["image"])


@pytest.fixture(scope="module")
def results(image, tiny_weights, tmp_path_factory):
    """A file that is read and one that is not; the status."""
    inputs, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    (inputs / "good.dcm").write_bytes(Path(image).read_bytes())
    (inputs / "bad.dcm").write_bytes(b"\x00" * 200)
    (inputs / "key.txt").write_text("a secret of more than sixteen bytes")
    small = ("--weights", str(tiny_weights / "model.pt"), "--score-threshold", "0.01", "--outputs", "mask", "--quiet")
    signed = ("--sign-key", str(inputs / "key.txt"), "--identity", "pseudonym", "--key-file", str(inputs / "key.txt"))
    return main(["segment", str(inputs), str(out), *small, *signed]), inputs, out


def test_a_failed_image_is_status_1_and_the_rest_is_done(results):
    status, _, out = results
    report = json.loads((out / "run_report.json").read_text())
    assert status == 1 == report["exit_status"]
    assert (report["images_done"], report["images_failed"]) == (1, 1)
    done = [entry for entry in report["images"] if entry["status"] != "failed"]
    assert all(set(entry["outputs"]) == {"mask", "findings"} for entry in done)
    assert report["seal"]["method"] == "HMAC-SHA256" and "good" not in json.dumps(report["images"])


def test_verify_tells_what_was_changed(results, capsys):
    _, inputs, out = results
    assert main(["verify", str(out), "--key-file", str(inputs / "key.txt")]) == 0
    assert capsys.readouterr().out == "all files are as they were written\n"
    assert main(["verify", str(out)]) == 1  # signed, and no key given
    mask = next(out.rglob("mask.nii.gz"))
    content = mask.read_bytes()
    mask.write_bytes(content + b"x")
    assert main(["verify", str(out), "--key-file", str(inputs / "key.txt")]) == 1
    mask.write_bytes(content)
    assert "mask.nii.gz: was changed" in capsys.readouterr().out


WRONG = {
    "no input": (["segment", "{nowhere}", "{out}"], "which does not exist"),
    "no such method": (["segment", "{image}", "{out}", "--method", "best"], "method: got 'best'; want one of hdogreg"),
    "no such preset": (["segment", "{image}", "{out}", "--preset", "x"], "preset: got 'x'; want one of sensitive"),
    "evaluated": (["segment", "{image}", "{out}", "--preset", "$exit()"], "preset: got '$exit()'; want a plain text"),
    "no weights": (["segment", "{image}", "{out}", "--weights", "{nowhere}.pt"], "does not exist; want a state dict"),
    "no such device": (["segment", "{image}", "{out}", "--device", "tpu"], "device: got 'tpu'; want one that is here"),
    "no config": (["segment", "{image}", "{out}", "--config", "{nowhere}.json"], "want a config file that can be read"),
    "no json": (["segment", "{image}", "{out}", "--config", "{image}"], "want a config file that can be read"),
    "no key": (["segment", "{image}", "{out}", "--identity", "pseudonym"], "identity::key_file: got ''"),
    "no setting": (["segment", "{image}", "{out}", "--set", "tiles"], "--set: got 'tiles'; want key=value"),
    "misspelt": (["segment", "{image}", "{out}", "--set", "reding::voi=none"], "not there; want reading::voi?"),
    "no folder": (["segment", "{image}", "{image}"], "want a folder that can be written into"),
    "no results": (["verify", "{nowhere}"], "want results of a run"),
    "no dataset": (["evaluate", "{nowhere}", "{out}"], "datalist.json"),
    "no number": (["segment", "{image}", "{out}", "--score-threshold", "low"], "invalid float value: 'low'"),
    "no output": (["segment", "{image}"], "the following arguments are required: output"),
    "no command": ([], "arguments are required"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_status_2_and_one_line(image, tmp_path, capsys, case):
    words, said = WRONG[case]
    places = {"nowhere": tmp_path / "nowhere", "out": tmp_path / "out", "image": image}
    assert main([word.format(**places) if word[:1] == "{" else word for word in words]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and said in last and "Traceback" not in last


def test_what_nobody_expects_keeps_its_traceback_and_ctrl_c_is_130(monkeypatch, capsys):
    def fails():
        raise KeyError("a bug")

    def interrupted():
        raise KeyboardInterrupt

    for run, status in ((fails, 1), (interrupted, 130)):
        run.__name__ = "info"
        monkeypatch.setattr(command, "info", run)
        assert main(["info"]) == status
    assert "Traceback" in capsys.readouterr().err


def test_help_tells_every_option_and_the_statuses(capsys):
    for words in ([], ["segment"], ["evaluate"], ["verify"], ["info"]):
        assert main([*words, "--help"]) == 0
        assert "exit status" in capsys.readouterr().out


def test_info_tells_methods_and_presets(capsys):
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert "method hdogreg: HDoGReg; model.pt; presets sensitive, balanced, specific" in said
    assert "method hdog_alone: HDoG alone; no network; threshold 0.0" in said


def test_evaluate_a_data_set_of_ones_own(phantoms, tiny_weights, tmp_path):
    _, datalist = phantoms
    (tmp_path / "list.json").write_text(json.dumps({"testing": datalist["testing"], "validation": [], "training": []}))
    out = tmp_path / "out"
    words = [
        "evaluate",
        str(tmp_path),
        str(out),
        "--datalist",
        "list.json",
        "--weights",
        str(tiny_weights / "model.pt"),
    ]
    assert main([*words, "--set", "bootstrap::samples=20", "--data-note", "phantoms (simulated)", "--quiet"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["provenance"]["settings"]["data_note"] == "phantoms (simulated)"


def test_as_a_program_from_another_folder(root, image, tiny_weights, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    small = ["--weights", str(tiny_weights / "model.pt"), "--score-threshold", "0.01", "--outputs", "findings"]
    words = [sys.executable, "-m", "scripts.command", "segment", image, "out", *small]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "mammograms: 100%" in done.stderr  # the bar
    assert (tmp_path / "out" / Path(image).stem / "findings.json").is_file()


def test_a_program_leaves_with_its_status_after_all_that_waits_for_its_end():
    code = "import atexit; from scripts.common.interrupt import leave; "
    code += "atexit.register(print, 'last'); print('first'); leave(3)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (3, ["first", "last"])


def test_a_program_leaves_with_its_status_though_nobody_listens():
    code = "import sys; from scripts.common.interrupt import leave; print('first'); leave(3)"
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=buffered, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (3, b"")


def test_the_command_as_a_program_gives_the_status_and_the_words_of_main(tmp_path):
    for words, status in ((["info"], 0), (["verify", str(tmp_path / "none")], 2)):
        command = [sys.executable, "-m", "scripts.command", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        assert done.stdout.startswith("bundle: ") if status == 0 else done.stderr.splitlines()[-1].startswith("error: ")
