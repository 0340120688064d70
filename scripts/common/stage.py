"""One run of the bundle in a process of its own: logged, skipped when done before, ended with its starter.

That process is this file as a program: `python -m monai.bundle`, one at a time in a folder.

    python -m scripts.common.stage <lock file> run --args_file <file>

The starter keeps a pipe to its standard input open; the pipe closes when the starter ends, however it ends.
"""

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from scripts.common.files import write_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).parents[2]


class StageError(RuntimeError):
    """A run of the bundle that failed; the message names its log and gives the last of it."""


def run_stage(
    folder: str | Path,
    name: str,
    arguments: Mapping[str, Any],
    watch: Callable[[], None] | None = None,
    poll_s: float = 1.0,
) -> bool:
    """Run `python -m monai.bundle run` once for these arguments.

    A process of its own survives nothing but harms nothing: memory that leaks, or a crash in a library, ends the
    stage and not the sweep. The stage ends when this process ends, even by a kill.

    The folder gets `<name>.json` (the arguments, as an args_file), `<name>.log`, and `<name>.done.json` at the end. The
    arguments are run_id, config_file and overrides, JSON types; `watch` is called every `poll_s` seconds while it runs.

    Returns False when the same stage had been done before, so that nothing was run; a folder that holds its result for
    other arguments is a ValueError, a run that failed a StageError.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted, done = json.loads(json.dumps(arguments)), folder / f"{name}.done.json"
    if done.is_file():
        made = json.loads(done.read_text(encoding="utf-8"))
        if made == wanted:
            return False
        raise ValueError(f"{done}: is of another run: {differences_text(made, wanted)}; give another output_dir")
    arguments_file, log = write_json(folder / f"{name}.json", wanted), folder / f"{name}.log"
    command = [sys.executable, "-m", "scripts.common.stage", str(folder / f"{name}.lock")]
    command += ["run", "--args_file", str(arguments_file)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with log.open("ab") as output:
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": output, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, **streams, env=environment, start_new_session=True)
        try:
            status = _wait(process, watch, poll_s)
        finally:
            if process.stdin is not None:
                process.stdin.close()  # ends it, if it still runs
            process.wait()
    if status:
        last = log.read_text(encoding="utf-8", errors="replace")[-600:].strip()
        raise StageError(f"{log}: stage {name!r} ended with exit status {status}; last of it: {last}")
    write_json(done, wanted)
    return True


def differences_text(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first five settings that two descriptions do not share, each with both values."""
    differing = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    return "; ".join(f"{key} {there.get(key)!r} there, {here.get(key)!r} here" for key in differing[:5])


def try_lock(path: Path) -> TextIO | None:
    """An open file whose lock the system gives back when it is closed or this process ends; None: another one has it.

    Where the system has no such locks, nobody is kept out.
    """
    file = path.open("a")
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:  # a file system without locks
        pass
    return file


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system gives back when this process ends; wait for it if need be."""
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _wait(process: subprocess.Popen, watch: Callable[[], None] | None, poll_s: float) -> int:
    while True:
        try:
            return process.wait(poll_s)
        except subprocess.TimeoutExpired:
            if watch is not None:
                watch()


def _end_with_starter() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # this process and those that it started
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_starter, daemon=True).start()
    with locked(Path(sys.argv[1])):
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = ["monai.bundle", *sys.argv[2:]]
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
