"""The one error of everything that reads a user's files."""

import os
from typing import Any

from scripts.common.text import printable

PathLike = str | os.PathLike[str]
MAX_CHARACTERS = 600


class MammogramReadError(ValueError):
    """A file that cannot serve as a mammogram, a label or a data list: ``path: got ...; want ...``, on one line."""

    def __init__(self, path: PathLike, got: str, want: str) -> None:  # noqa: B042 (see `__reduce__`)
        got = got if len(got) <= MAX_CHARACTERS else f"{got[:MAX_CHARACTERS]} ..."  # what damaged tags hold may be long
        self.path, self.got, self.want = os.fspath(path), got, want
        super().__init__(printable(f"{self.path}: got {got}; want {want}"))

    def __reduce__(self) -> tuple[Any, ...]:
        """It survives pickling, so that data loader workers can raise it."""
        return type(self), (self.path, self.got, self.want)


class NoMammogramError(MammogramReadError):
    """A file that is refused for what it is, a sound one: nothing was tried on it."""


def check_file(
    path: PathLike, is_valid: Any, got: str, want: str, error: type[MammogramReadError] = MammogramReadError
) -> None:
    """The error "<path>: got ...; want ..." unless `is_valid`."""
    if not is_valid:
        raise error(path, got, want)
