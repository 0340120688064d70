"""Reading in a process apart, so that no file can crash, stop or starve the one that asks.

The reading process (reading_process.py) is started with the first file, in about a second, and reads one file after
another. A decoder that crashes, takes longer than `Reading.time_limit_s` or wants more than `Reading.memory_limit_mb`
ends it; that file is a MammogramReadError, and the next one gets a new process. What decoders print about damage
(libjpeg: "Corrupt JPEG data") is heard here, and the file refused. Threads that read at the same time get a process
each, and so do forked processes. Every reading process ends with the process that started it.
"""

import atexit
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import types
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

if sys.platform == "linux":
    import fcntl

import numpy as np

from scripts.common.text import printable
from scripts.data.reader.errors import MammogramReadError, NoMammogramError, PathLike
from scripts.data.reader.mammogram_reader import AS_SHOWN, Metadata, Reading, read_mammogram
from scripts.data.reader.messages import decoded, encoded

ROOT = Path(__file__).parents[3]
START_LIMIT_S = 120.0  # a first start on a slow disk
MAX_STDERR_BYTES = 1 << 16
#: What libjpeg, libpng, libtiff, OpenJPEG and gdcm say of damaged data; other remarks are logged.
DAMAGE = re.compile(
    r"corrupt|premature|truncat|extraneous|damage|invalid|illegal|bogus|bad |broken|crc|missing|unexpected|"
    r"not enough|too many|too few|out of|error|fail|warning: extra|wrong",
    re.IGNORECASE,
)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

logger = logging.getLogger(__name__)


def read(path: PathLike, reading: Reading = AS_SHOWN) -> tuple[np.ndarray, Metadata]:
    """`read_mammogram`, in a process apart unless the `reading` says otherwise: the same pixels and metadata."""
    return read_isolated(path, reading) if reading.isolated else read_mammogram(path, reading)


def read_isolated(path: PathLike, reading: Reading = AS_SHOWN) -> tuple[np.ndarray, Metadata]:
    """`read_mammogram` in a process apart; MammogramReadError likewise."""
    answer = None
    while answer is None:  # a process that died while it waited is not this file's fault
        process = _idle.pop() if _idle else ReadingProcess()
        try:
            answer = process.read(path, reading)
        except BaseException:
            process.end()
            raise
        if process.lives:
            _idle.append(process)
        else:
            process.end()
    if isinstance(answer, MammogramReadError):
        raise answer
    return answer


def start_ahead() -> None:
    """Start a reading process in the background, for the first file, while the caller imports what it needs."""

    def start() -> None:
        try:
            _idle.append(ReadingProcess())
        except (RuntimeError, OSError) as error:  # the first file will tell
            logger.debug("no reading process yet: %s", error)

    threading.Thread(target=start, daemon=True, name="start-reader").start()


class ReadingProcess:
    """One process that reads, and the pipes to it."""

    def __init__(self) -> None:
        self._stderr = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - `close` closes it
        places = [str(ROOT), *(place for place in sys.path if place)]
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(places), "PYTHONFAULTHANDLER": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scripts.data.reader.reading_process"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
        )
        _all.add(self)
        self._header, self._timed_out = b"", False
        if sys.platform == "linux":  # fewer, larger pieces of an image
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
        with self._at_most(START_LIMIT_S):
            started = self._line()
        if not started:
            said = self._said().decode(errors="replace")[-2000:]
            self.end()
            raise RuntimeError(f"reading process: got no start ({said}); want {sys.executable} to run the reader")

    @property
    def lives(self) -> bool:
        """Whether it can read another file."""
        return self._process.poll() is None and not self._timed_out

    def read(self, path: PathLike, reading: Reading) -> tuple[np.ndarray, Metadata] | MammogramReadError | None:
        """The mammogram, or why there is none; None where the process was gone before.

        After a crash or a time-out it no longer `lives`.
        """
        own = {name: value for name, value in asdict(reading).items() if name in Reading.__dataclass_fields__}
        begun = False
        with self._at_most(reading.time_limit_s):
            try:
                self._stdin.write(encoded({"path": str(Path(path).absolute()), "reading": own}))
                begun = bool(self._line())
                header = self._line()
                answer = decoded(header) if header else None
                pixels = self._pixels(answer) if answer and "shape" in answer else None
            except (OSError, EOFError):
                answer = None
        said = " ".join(self._said().decode(errors="replace").split())[:300]
        if answer is None:
            return self._died(path, reading, said) if begun or self._timed_out else None
        for name, level, text in answer["log"]:
            logging.getLogger(name).log(level, "%s", text)
        if "got" in answer:
            kind = NoMammogramError if answer.get("refused") else MammogramReadError
            return kind(path, answer["got"], answer["want"])
        if DAMAGE.search(said):
            return MammogramReadError(path, f"damaged data ({said})", "a complete and undamaged file")
        if said:
            logger.warning("%s: the decoder says: %s", printable(path), printable(said))
        assert pixels is not None
        return pixels, {**answer["meta"], "filename_or_obj": os.fspath(path)}

    def end(self) -> None:
        """Kill it, if it is not gone, and close the pipes."""
        self.kill()
        self.close()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(5)

    def kill(self) -> None:
        """Kill it, if it is not gone; whoever waits for it goes on."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Close the pipes; without input it ends by itself."""
        for file in (self._stdin, self._stdout, self._stderr):
            with contextlib.suppress(OSError):
                file.close()

    @property
    def _stdin(self) -> BinaryIO:
        assert self._process.stdin is not None
        return self._process.stdin  # type: ignore[return-value]

    @property
    def _stdout(self) -> BinaryIO:
        assert self._process.stdout is not None
        return self._process.stdout  # type: ignore[return-value]

    @contextlib.contextmanager
    def _at_most(self, seconds: float) -> Any:
        def stop() -> None:
            self._timed_out = True
            self._process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _line(self) -> bytes:
        """The next line, without its end; b"" where the process has ended."""
        while b"\n" not in self._header:
            more = self._stdout.read(1 << 16)
            if not more:
                return b""
            self._header += more
        line, _, self._header = self._header.partition(b"\n")
        return line

    def _pixels(self, answer: dict[str, Any]) -> np.ndarray:
        pixels = np.empty(answer["shape"], np.dtype(answer["dtype"]))
        target = pixels.reshape(-1).view(np.uint8).data
        begun = len(self._header)
        target[:begun], self._header = self._header, b""
        while begun < len(target):
            count = self._stdout.readinto(target[begun:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            begun += count
        return pixels

    def _said(self) -> bytes:
        """What decoders printed since the last call."""
        self._stderr.seek(0)
        said = self._stderr.read(MAX_STDERR_BYTES)
        self._stderr.seek(0)
        self._stderr.truncate()
        return said

    def _died(self, path: PathLike, reading: Reading, said: str) -> MammogramReadError:
        if self._timed_out:
            got = f"a file that takes more than {reading.time_limit_s:g} s to read"
            return MammogramReadError(path, got, "a mammogram, or a higher reading::time_limit_s")
        self._process.kill()
        code = self._process.wait()
        with contextlib.suppress(ValueError):
            code = signal.Signals(-code).name  # type: ignore[assignment]
        got = f"a file that crashes its decoder ({code}; {reading.memory_limit_mb} MB allowed){said and ': ' + said}"
        return MammogramReadError(path, got, "a complete and valid file")


_idle: list[ReadingProcess] = []  # list.pop and list.append are atomic
_all: weakref.WeakSet[ReadingProcess] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """After a fork: the processes belong to the parent; holding their pipes would keep them alive without it."""
    for process in _all:
        process.close()
    _idle.clear()


def end_idle_processes() -> None:
    """End those that no thread waits for."""
    while _idle:
        _idle.pop().end()


def end_reading_processes() -> None:
    """Kill all of them, also those that threads wait for; the next file gets a new one."""
    end_idle_processes()
    for process in list(_all):
        process.kill()


#: Outlives this module: MONAI Label drops the bundle's modules and imports them anew for each step of a request. The
#: idle processes of the import before are then ended, or each request would leave one behind.
_hooks: Any = sys.modules.setdefault("mammogram_reading_hooks", types.ModuleType("mammogram_reading_hooks"))
if hasattr(_hooks, "end_idle"):
    _hooks.end_idle()
else:
    atexit.register(lambda: _hooks.at_exit())
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _hooks.after_fork())
_hooks.end_idle, _hooks.at_exit, _hooks.after_fork = end_idle_processes, end_reading_processes, _leave_to_parent
