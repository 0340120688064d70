"""The one command line of the evaluation's tools: help, exit status, errors."""

import pytest

from scripts.evaluation.__main__ import main

COMMANDS = ("methods", "report", "failures", "compare", "readers", "summary")


def test_every_command_is_listed_and_has_a_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = capsys.readouterr().out
    for command in COMMANDS:
        assert command in listed
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert "--" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["metods"], ["compare", "one"], ["report", "x", "--output"]])
def test_wrong_words_end_with_one_line_of_error(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_a_file_that_is_no_folder_of_labels_is_named(tmp_path, capsys):
    assert main(["readers", str(tmp_path / "gone"), str(tmp_path)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "gone" in last


def test_the_summary_is_printed_and_a_missing_evaluation_changes_the_status(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text('{"counts": {"images": 3}}')
    assert main(["summary", str(tmp_path / "run")]) == 0
    assert "| run | 3 |" in capsys.readouterr().out
    assert main(["summary", str(tmp_path / "run"), str(tmp_path / "gone")]) == 1
    out = capsys.readouterr().out
    assert "| run | 3 |" in out and "| gone | missing: metrics.json" in out
