"""The one error of everything that reads a user's files."""

import os
import unicodedata
from typing import Any

PathLike = str | os.PathLike[str]
MAX_CHARACTERS = 600


class MammogramReadError(ValueError):
    """A file that cannot serve as a mammogram, a label or a data list: ``path: got ...; want ...``, on one line."""

    def __init__(self, path: PathLike, got: str, want: str) -> None:
        got = got if len(got) <= MAX_CHARACTERS else f"{got[:MAX_CHARACTERS]} ..."  # what damaged tags hold may be long
        self.path, self.got, self.want = os.fspath(path), got, want
        super().__init__(printable(f"{self.path}: got {got}; want {want}"))

    def __reduce__(self) -> tuple[Any, ...]:
        """It survives pickling, so that data loader workers can raise it."""
        return type(self), (self.path, self.got, self.want)


def check_file(path: PathLike, is_valid: Any, got: str, want: str) -> None:
    """MammogramReadError "<path>: got ...; want ..." unless `is_valid`."""
    if not is_valid:
        raise MammogramReadError(path, got, want)


def printable(text: str) -> str:
    """Text from a file, or a file's name, with U+FFFD for what could forge a line of a log, steer a terminal or not be
    written at all: control characters, line separators, bytes that are not UTF-8."""
    if text.isascii() and text.isprintable():
        return text
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join("\ufffd" if unicodedata.category(character) in unsafe else character for character in text)
