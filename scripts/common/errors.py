"""How a run ends that cannot go on: an expected error is one line, the last of stderr, and exit status 2.

Set BUNDLE_TRACEBACK=1 to have the traceback, too.
"""

import contextlib
import logging
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from scripts.common.files import PARTIAL
from scripts.common.interrupt import INTERRUPTED
from scripts.common.text import printable

EXPECTED, UNEXPECTED = 2, 1  # exit statuses
SCRIPTS = Path(__file__).parents[1]


def one_line(text: object, limit: int = 1000) -> str:
    """A text on one line, without characters that a terminal would obey, shortened if need be."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= limit else line[:limit] + " ..."


def root_cause(error: BaseException) -> BaseException:
    """What MONAI's "Failed to instantiate", "Failed to evaluate" and "applying transform" errors were raised from."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def is_expected(error: BaseException) -> bool:
    """Whether an error is about what the user gave or the machine has: no bug, so that nobody needs its traceback.

    That is any OSError or lack of memory, a ValueError that this bundle raises itself, and whatever MONAI raises itself
    while it resolves the config, an expression of it included.
    """
    if isinstance(error, OSError | MemoryError):
        return True
    place = _raised_in(error)
    if "monai/bundle/" in place or place.endswith("monai/utils/module.py") or place == "<string>":
        return True
    return isinstance(error, ValueError) and Path(place).is_relative_to(SCRIPTS)


def message_of(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        place = Path(os.fsdecode(error.filename)) if not isinstance(error.filename, int) else "a file"
        hidden = isinstance(place, Path) and place.name.startswith(PARTIAL)
        return one_line(f"{place.parent if isinstance(place, Path) and hidden else place}: {error.strerror}")
    if isinstance(error, OSError | ValueError) and str(error):
        return one_line(error)
    return one_line(f"{type(error).__name__}: {error.args[0] if isinstance(error, KeyError) and error.args else error}")


def end_with_one_line() -> None:
    """From now on an uncaught error ends the program as described above."""
    sys.excepthook = report_uncaught
    if not _wants_traceback():  # ignite logs what is raised anyway, MONAI's handlers with a traceback
        logging.getLogger("ignite.engine.engine").setLevel(logging.CRITICAL)


def report_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The `sys.excepthook`: SystemExit with the status of the error, its line being the last of stderr."""
    cause = root_cause(error)
    for bar in list(getattr(tqdm, "_instances", ())):  # they would write when they are deleted
        with contextlib.suppress(Exception):
            bar.close()
    logging.shutdown()
    sys.stdout.flush()
    if isinstance(cause, KeyboardInterrupt):
        line, status = "interrupted", INTERRUPTED
    elif is_expected(cause):
        line, status = f"error: {message_of(cause)}", EXPECTED
    else:
        line, status = f"error: {message_of(cause)}", UNEXPECTED
    if status == UNEXPECTED or _wants_traceback():
        traceback.print_exception(kind, error, trace)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
    raise SystemExit(status)


def _wants_traceback() -> bool:
    return os.environ.get("BUNDLE_TRACEBACK", "") not in ("", "0")


def _raised_in(error: BaseException) -> str:
    """The file in which an error was raised; "" where that is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    return Path(frames[-1].filename).as_posix() if frames else ""
