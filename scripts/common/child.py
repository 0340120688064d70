"""`python -m monai.bundle`, but it ends with the process that started it, and only one at a time works in a folder.

    python -m scripts.common.child <lock file> run --args_file <file>

The starter keeps a pipe to this process's standard input open; the pipe closes when the starter ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def main() -> None:
    """Wait for the folder, watch the starter, run MONAI's command line."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    with locked(Path(sys.argv[1])):
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = ["monai.bundle", *sys.argv[2:]]
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)


def _end_with_starter() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # this process and those that it started
    os._exit(1)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system gives back when this process ends; wait for it if need be."""
    file: IO[str]
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
