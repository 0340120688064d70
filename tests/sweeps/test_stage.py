"""Stages: run once, logged, refused for other arguments, ended with their starter."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.common.stage import StageError, run_stage

WRITE = {"where": "", "word": "done", "run": ["$open(@where, 'a').write(@word) and None"]}
WAIT = {"where": "", "run": ["$open(@where, 'w').close()", "$__import__('time').sleep(300)"]}


@pytest.fixture
def config(tmp_path):
    def write(content):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write


def test_a_stage_runs_once_with_its_own_types_and_is_refused_for_other_arguments(tmp_path, config):
    target = tmp_path / "written.txt"
    arguments = {"run_id": "run", "config_file": [config(WRITE)], "where": str(target), "word": "1e-4, ['a'] "}
    assert run_stage(tmp_path / "s", "writing", arguments)
    assert target.read_text() == "1e-4, ['a'] "  # no command line in between that takes it for a number or a list
    assert not run_stage(tmp_path / "s", "writing", arguments)
    assert target.read_text() == "1e-4, ['a'] "
    with pytest.raises(ValueError, match=r"word .* there, 'b' here"):
        run_stage(tmp_path / "s", "writing", arguments | {"word": "b"})


def test_a_failing_stage_tells_its_log_and_is_not_done(tmp_path, config):
    arguments = {"run_id": "run", "config_file": [config({"run": ["$1 / 0"]})]}
    with pytest.raises(StageError, match=r"(?s)bad\.log.*exit status 1.*1 / 0"):
        run_stage(tmp_path / "s", "bad", arguments)
    assert not (tmp_path / "s" / "bad.done.json").exists()


def test_a_stage_ends_with_its_starter_even_by_a_kill(root, tmp_path, config):
    started = tmp_path / "started"
    arguments = {"run_id": "run", "config_file": [config(WAIT)], "where": str(started)}
    code = f"from scripts.common.stage import run_stage; run_stage({str(tmp_path / 's')!r}, 'wait', {arguments!r})"
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not started.exists():
        assert time.monotonic() < deadline and starter.poll() is None
        time.sleep(0.05)
    children = [int(pid) for pid in _children(starter.pid)]
    assert len(children) == 1
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _alive(pid):
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()
