"""How a run ends that cannot go on: one line, last; a bug keeps its traceback."""

import logging
import os
import subprocess
import sys

import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose
from tqdm import tqdm

from scripts.common.checks import check, check_number
from scripts.common.config_check import check_running_config
from scripts.common.errors import one_line, report_uncaught
from scripts.transforms import FormObjectsd


def ending(capsys, make):
    """Status and text of stderr that an uncaught error of `make` gives."""
    try:
        make()
    except BaseException as error:  # noqa: B036
        with pytest.raises(SystemExit) as end:
            report_uncaught(type(error), error, error.__traceback__)
    return end.value.code, capsys.readouterr().err


def configured(**config):
    return lambda: ConfigParser(config).get_parsed_content("x")


def ours():
    check_number("share", 30, "(0, 1]")


def missing():
    open("/nowhere/a.png")  # noqa: PTH123, SIM115


def number(value):
    return int(value)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (ours, "error: share: got 30; want a value in (0, 1]"),
        (missing, "error: /nowhere/a.png: No such file or directory"),
        (lambda: check("a", "b\n\x1b[2Jc", False, "d"), r"error: a: got 'b\n\x1b[2Jc'; want d"),
        (configured(x={"_target_": "scripts.findings.peaks.PeakObjects", "share": 30}), "error: share: got 30; want"),
        (configured(x="$number('abc')"), "error: NameError: name 'number' is not defined"),
        (configured(x="@y"), "error: the referring item `@y` is not defined in the config content."),
        (configured(x={"_target_": "scripts.nothing.Here"}), "error: ModuleNotFoundError: Cannot locate class"),
        (configured(x={"_target_": "scripts.findings.peaks.PeakObjects", "shar": 3}), "error: TypeError: PeakObjects"),
    ],
)
def test_an_expected_error_is_one_line_and_status_2(capsys, make, line):
    status, text = ending(capsys, make)
    assert status == 2 and text.startswith(line) and text.count("\n") == 1


def test_a_bug_keeps_its_traceback_and_ends_with_its_line(capsys):
    for make in (lambda: number("abc"), lambda: [][1], lambda: Compose([number])("abc")):
        status, text = ending(capsys, make)
        assert status == 1 and "Traceback" in text
        assert text.splitlines()[-1].startswith(("error: invalid literal", "error: IndexError: list index"))


def test_ctrl_c_is_one_line_and_status_130(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert ending(capsys, interrupted) == (130, "interrupted\n")


def test_the_traceback_is_to_be_had(capsys, monkeypatch):
    monkeypatch.setenv("BUNDLE_TRACEBACK", "1")
    status, text = ending(capsys, ours)
    assert status == 2 and "Traceback" in text and text.splitlines()[-1].startswith("error: share: got 30")


def test_a_progress_bar_writes_nothing_after_the_line(capsys):
    bar = tqdm(total=3, file=sys.stderr)
    bar.update(1)
    _, text = ending(capsys, ours)
    del bar
    assert text.splitlines()[-1].startswith("error: share") and capsys.readouterr().err == ""


def test_texts_are_put_on_one_line():
    assert one_line("a\nb\t\x1b[2Jc\u202e") == r"a b \x1b[2Jc\u202e"
    assert one_line("x" * 20, 5) == "xxxxx ..."


@pytest.mark.parametrize("value", [30, 1.5, float("nan"), "abc", "nan", None, True, -0.1])
def test_score_threshold_is_named(value):
    with pytest.raises(ValueError, match=r"^score_threshold: got .*; want a value in \[0, 1\]$"):
        FormObjectsd(None, value)


def run_bundle(*arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "monai.bundle", "run", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def one_line_of(done):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and "terminating due to exception" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture
def image(tmp_path):
    import numpy as np
    from PIL import Image

    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 80), np.uint8)).save(file)
    return file


def test_from_another_folder_with_weights_of_another_method(root, tmp_path, image, tiny_weights):
    config = ["--config_file", root / "configs" / "inference.json", "--bundle_root", root]
    options = ["--input_dir", image, "--output_dir", tmp_path / "out", "--weights", tiny_weights / "slim_fcn.pt"]
    line = one_line_of(run_bundle(*config, *options, cwd=tmp_path))
    assert line.startswith(f"error: weights: {tiny_weights / 'slim_fcn.pt'} holds weights of another network")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "options", "line"),
    [
        (
            "configs/inference.json",
            ["--preset", "fast"],
            "preset: got 'fast'; want one of sensitive, balanced, specific",
        ),
        ("configs/inference.json", ["--weights", "nope.pt"], "weights: nope.pt does not exist; want a state dict"),
        ("configs/inference.json", ["--device", "cuda:99"], "device: got 'cuda:99'; want one that is here: cpu"),
        ("configs/inference.json", ["--device", "gpu"], "device: got 'gpu'; want one that is here: cpu"),
        ("configs/inference.json", ["--score_threshold", "abc"], "score_threshold: got 'abc'; want a value in [0, 1]"),
        ("configs/inference.json", ["--score_threshold", "nan"], "score_threshold: got 'nan'; want a value in [0, 1]"),
        ("configs/inference.json", ["--score_threshold", "30"], "score_threshold: got 30; want a value in [0, 1]"),
        ("configs/inference.json", ["--objects::share", "30"], "share: got 30; want a value in (0, 1]"),
        ("configs/inference.json", ["--objects::shar", "1"], "objects::shar: got an argument that its object does not"),
        ("configs/inference.json", ["--bundle_root", "/tmp"], "bundle_root: has no folder scripts; want this bundle's"),
        ("configs/inference.json", ["--input_dir", "EMPTY"], "input_dir: got "),
        (["hdogreg_candidates", "inference"], [], "config_file: got configs/inference.json after configs/hdogreg_cand"),
        (["slim_fcn_inference", "inference"], [], "config_file: got configs/inference.json after configs/slim_fcn_inf"),
        (
            ["hdogreg_recipe", "train"],
            [],
            "config_file: got configs/train.json after configs/hdogreg_recipe.json; want",
        ),
        (["train", "slim_fcn_recipe", "slim_fcn_train"], [], "config_file: got configs/slim_fcn_train.json, which rep"),
        (["inference", "train"], [], "config_file: got configs/inference.json and configs/train.json; want only one"),
        (["inference", "data_insertion"], [], "config_file: got configs/data_insertion.json, whose key "),
        (["inference", "slim_fcn_train"], [], "config_file: got configs/slim_fcn_train.json, whose key "),
        (["inference", "hdogreg_recipe"], [], "config_file: got configs/hdogreg_recipe.json, whose key "),
        (["inference", "finetune"], [], "config_file: got configs/finetune.json, whose key "),
        (["train", "slim_fcn_inference"], [], "config_file: got configs/slim_fcn_inference.json, whose key "),
        ("configs/train.json", ["--max_epochs", "many"], "max_epochs: got 'many'; want a number"),
    ],
)
def test_user_mistakes_end_with_one_line(root, tmp_path, image, files, options, line):
    if isinstance(files, list):
        files = "[" + ",".join(f"'configs/{name}.json'" for name in files) + "]"
    (tmp_path / "empty").mkdir()
    options = [str(tmp_path / "empty") if option == "EMPTY" else option for option in options]
    if "inference" in files and "--input_dir" not in options:
        options += ["--input_dir", image]
    last = one_line_of(run_bundle("--config_file", files, *options, "--output_dir", tmp_path / "out", cwd=root))
    assert last.startswith(f"error: {line}")


def test_ignite_is_silenced_only_by_the_command_line(monkeypatch):
    log = logging.getLogger("ignite.engine.engine")
    monkeypatch.setattr(log, "level", logging.WARNING)
    check_running_config()
    assert log.level == logging.WARNING
