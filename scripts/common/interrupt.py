"""How a program ends: when all is done, and by Ctrl-C, once in order, twice at once."""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

INTERRUPTED = 130  # exit status of a program that SIGINT ended, as shells have it


@contextlib.contextmanager
def second_interrupt_leaves() -> Iterator[None]:
    """In this block the first Ctrl-C is a KeyboardInterrupt; after it the next one ends the process at once.

    So nobody waits for a thread that reads a damaged file. Nothing changes outside of the main thread, or where another
    handler of SIGINT is at work.
    """
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not plain or threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: Any) -> None:
        os._exit(INTERRUPTED)

    def end_in_order(*_: Any) -> None:
        signal.signal(signal.SIGINT, leave)
        sys.stderr.write("\ninterrupted: ending in order; Ctrl-C again leaves at once\n")
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, end_in_order)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is end_in_order:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def leave(status: int) -> NoReturn:
    """End this process now that all is written: Python would take a second to take torch's modules apart."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody listens any more
            stream.flush()
    os._exit(status)
