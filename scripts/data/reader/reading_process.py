"""The process that reads mammograms apart: `python -m scripts.data.reader.reading_process` (see isolation.py).

It imports the decoders and neither torch nor MONAI. A request on the standard input is answered on the standard output
by a header and the pixels' bytes. It ends with its input, even while it decodes.
"""

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import warnings
from typing import Any, BinaryIO

import cv2
import numpy as np

from scripts.data.reader.errors import MammogramReadError, NoMammogramError
from scripts.data.reader.mammogram_reader import Reading, read_mammogram
from scripts.data.reader.messages import decoded, encoded

try:
    import resource
except ImportError:  # Windows, where a process cannot bound its memory
    resource = None  # type: ignore[assignment]

GRACE_S = 10  # beyond the time limit, should the one that asked be gone
MAX_RECORDS = 50  # of the log, for one file
MAX_PRINTED_BYTES = 16 << 20  # on the standard error


class Records(logging.Handler):
    """The log records of one file, as (logger, level, text)."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if len(self.kept) < MAX_RECORDS:
            self.kept.append((record.name, record.levelno, record.getMessage()))


def main() -> None:
    """Answer requests until the input ends."""
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that asked
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    records = Records()
    logging.getLogger().addHandler(records)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a decoder prints is not an answer
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    _send(answers, {"ready": True}, b"")
    while True:
        request = decoded(requests.get())
        _send(answers, {"begun": True}, b"")
        records.kept = []
        header, pixels = _answer(request["path"], Reading(**request["reading"]))
        _send(answers, {**header, "log": records.kept}, pixels)


def _listen(requests: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        requests.put(line)
    os._exit(0)  # the one that asks has ended


def _answer(path: str, reading: Reading) -> tuple[dict[str, Any], Any]:
    _limit(reading)
    try:
        image, meta = read_mammogram(path, reading)
    except MammogramReadError as error:
        return {"got": error.got, "want": error.want, "refused": isinstance(error, NoMammogramError)}, b""
    except MemoryError:
        return {"got": "a file that needs too much memory", "want": "a higher reading::memory_limit_mb"}, b""
    except Exception as error:  # a fault of ours is no reason to end badly
        return {"got": f"a file that cannot be read ({type(error).__name__}: {error})", "want": "a mammogram"}, b""
    return {"shape": image.shape, "dtype": image.dtype.str, "meta": meta}, np.ascontiguousarray(image).data.cast("B")


def _limit(reading: Reading) -> None:
    if hasattr(signal, "alarm"):  # ends this process where nobody else does any more
        signal.alarm(int(reading.time_limit_s) + GRACE_S)
    if resource is not None:
        limits = {resource.RLIMIT_AS: reading.memory_limit_mb * 10**6, resource.RLIMIT_FSIZE: MAX_PRINTED_BYTES}
        for kind, limit in (limits | {resource.RLIMIT_CORE: 0}).items():
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


def _send(answers: BinaryIO, header: dict[str, Any], pixels: Any) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(0)
    for part in (memoryview(encoded(header)), memoryview(pixels)):
        while len(part):
            part = part[answers.write(part) or 0 :]


if __name__ == "__main__":
    main()
