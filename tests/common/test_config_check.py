"""Mistyped keys and options are named with the nearest valid one; for every config combination that the docs name."""

import subprocess
import sys

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from scripts.common.config_check import ConfigError, check_config


def parser_of(root, *names, **options):
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / name) for name in names])
    parser.update(options)
    return parser


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("scor_threshold", "score_threshold"),
        ("tile_px", "tiles::tile_px"),
        ("objects::shar", "objects::share"),
        ("tiles::margin", "tiles::margin_px"),
        ("objects::overlap_fraction", "keys of the config files"),  # a setting of another method
        ("network_def::detail_chanels", "network_def::detail_channels"),
        ("reading::voi_", "reading::voi"),
    ],
)
def test_a_mistyped_option_names_the_nearest(root, option, nearest):
    with pytest.raises(ConfigError, match=rf"^{option}: got .*{nearest}"):
        check_config(parser_of(root, "inference.json", **{option: 0.3}))


@pytest.mark.parametrize("options", [{"score_threshold": 0.3}, {"objects::share": 0.4}, {"tiles::tile_px": 512}, {}])
def test_valid_options_pass(root, options):
    check_config(parser_of(root, "inference.json", **options), spared=["operating_points"])


def test_options_of_a_method_pass_with_its_overlay(root):
    options = {"objects::overlap_fraction": 0.9, "hdog::dog_threshold": 0.01}
    check_config(parser_of(root, "inference.json", "hdogreg_candidates.json", **options))


def test_a_key_whose_reader_is_replaced_may_be_in_a_file_but_not_be_an_option(root):
    parser = parser_of(root, "inference.json", "baseline_hdog_alone.json")
    unread = {"operating_points", "precision", "tiles", "orientations", "working_grid"}
    check_config(parser, spared=unread)
    with pytest.raises(ConfigError, match=r"^precision: got a key or option that nothing reads here"):
        check_config(parser, spared=unread - {"precision"})


def test_a_target_that_is_not_there_is_named(root):
    with pytest.raises(ConfigError, match=r"_target_: got 'scripts\.findings\.peaks\.Peak'"):
        check_config(parser_of(root, "inference.json", **{"objects::_target_": "scripts.findings.peaks.Peak"}))


def test_python_users_get_an_exception(root, monkeypatch):
    monkeypatch.chdir(root)
    workflow = ConfigWorkflow("configs/inference.json", workflow_type="infer", scor_threshold=0.3)
    with pytest.raises(RuntimeError) as failure:  # MONAI's, around ours
        workflow.initialize()
    assert "scor_threshold" in str(failure.value.__cause__)


def test_the_command_line_ends_with_one_line_and_status_2(root):
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    done = subprocess.run([*command, "--scor_threshold", "0.3"], cwd=root, capture_output=True, text=True, timeout=120)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert last.startswith("error: scor_threshold: got") and last.endswith("want score_threshold?")
